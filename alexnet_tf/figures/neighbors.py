"""Images that excite the same neurons: nearest neighbours by fc7 (paper §6.1, figure 4, right)."""

from __future__ import annotations

import pathlib
from zipfile import BadZipFile

import numpy as np
from matplotlib.figure import Figure

from alexnet_tf.errors import UserError
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import BLUE, ORANGE, frame, in_style, new_figure, shorten, show_image
from alexnet_tf.figures.subject import Subject

try:
    import faiss
except ImportError as error:
    raise UserError(
        f"Expected faiss, for nearest neighbours: pip install '.[figures]'. Received: {error}"
    ) from None

NEAREST = 5  # neighbours that precision is about
_QUERIES, _SHOWN = 5, 6  # the paper's figure has five rows of a query and six neighbours


class Neighbors:
    """Exact nearest neighbours by Euclidean distance, in an index of the faiss library.

    Args:
        features: float32 [N, F].
    """

    def __init__(self, features: np.ndarray):
        self.features = np.ascontiguousarray(features, np.float32)
        self.index = faiss.IndexFlatL2(features.shape[1])
        self.index.add(self.features)

    def save(self, folder: pathlib.Path, **more: np.ndarray) -> None:
        """Writes `features.npz` and, beside it, `features.faiss`.

        Args:
            folder: which exists.
            more: arrays to be kept with the features, e.g. labels.
        """
        np.savez(folder / "features.npz", features=self.features, **more)
        faiss.write_index(self.index, str(folder / "features.faiss"))

    @classmethod
    def load(cls, folder: pathlib.Path) -> Neighbors:
        """Reads what `save` wrote.

        Raises:
            UserError: it is not there, or damaged.
        """
        found = cls.__new__(cls)
        try:
            with np.load(folder / "features.npz", allow_pickle=False) as arrays:
                found.features = arrays["features"]
            found.index = faiss.read_index(str(folder / "features.faiss"))
        except (OSError, ValueError, KeyError, RuntimeError, EOFError, BadZipFile) as error:
            first_line = (str(error).strip().splitlines() or ["damaged"])[0]
            raise UserError(
                f"Expected features.npz and features.faiss in {folder}. Received: {first_line}"
            ) from None
        if (found.index.ntotal, found.index.d) != found.features.shape:
            raise UserError(
                f"Expected an index of the features beside it. Received: {found.index.ntotal} "
                f"of {found.index.d} numbers beside {found.features.shape} in {folder}"
            )
        return found

    def search(self, queries: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest ones of each query, the nearest first.

        Args:
            queries: float32 [Q, F].
            number: of neighbours; no more than there are.

        Returns:
            float32 [Q, number], Euclidean distances, and int64 [Q, number], places.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        squares, places = self.index.search(queries, min(number, self.index.ntotal))
        return np.sqrt(np.maximum(squares, 0)), places

    def others(self, members: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest ones of some of the indexed vectors, themselves left out.

        Args:
            members: int64 [M], places.
            number: of neighbours.

        Returns:
            Distances and places, as `search`, at most one fewer than there are vectors.
        """
        distances, places = self.search(self.features[members], number + 1)
        itself = places == members[:, None]
        itself[~itself.any(axis=1), -1] = True  # where twins come first, the farthest goes
        shape = (len(members), places.shape[1] - 1)
        return distances[~itself].reshape(shape), places[~itself].reshape(shape)


def precision(features: np.ndarray, labels: np.ndarray, number: int = NEAREST) -> float:
    """The share of the nearest images, all others searched, that are of the query's class.

    Args:
        features: [N, F].
        labels: int64 [N].
        number: of neighbours.
    """
    _, places = Neighbors(features).others(np.arange(len(labels)), number)
    return float((labels[places] == labels[:, None]).mean())


@in_style
def draw_neighbors(
    queries: np.ndarray, neighbors: np.ndarray, names: list[str], neighbor_names: list[list[str]]
) -> Figure:
    """A row for each query, its neighbours to the right, framed by whether they are its class.

    Args:
        queries: uint8 [Q, S, S, 3].
        neighbors: uint8 [Q, n, S, S, 3], the nearest first.
        names: of the queries' classes.
        neighbor_names: of the neighbours'.
    """
    figure = new_figure("Images that excite the same neurons (fc7)")
    columns = neighbors.shape[1]
    cells = figure.subplots(
        len(queries), columns + 2, width_ratios=(1, 0.25, *[1] * columns), squeeze=False
    )
    for row, query, near, name, theirs in zip(
        cells, queries, neighbors, names, neighbor_names, strict=True
    ):
        show_image(row[0], query)
        row[0].set_xlabel(shorten(name, 18), fontsize=12, weight="bold", labelpad=3)
        row[1].axis("off")
        for axes, image, its in zip(row[2:], near, theirs, strict=True):
            show_image(axes, image)
            same = its == name
            frame(axes, BLUE if same else ORANGE, 3, "-" if same else "--")
            sign = "✓" if same else "✗"
            axes.set_xlabel(f"{sign} {shorten(its, 16)}", fontsize=12, labelpad=3)
    cells[0, 0].set_title("query")
    cells[0, 2].set_title("nearest")
    if columns > 3:
        cells[0, -1].set_title(f"{columns}th nearest")
    return figure


def picture(subject: Subject) -> Picture:
    """Five queries, and the precision of all images' neighbours, by fc7 and by pixels."""
    survey = subject.survey
    labels, number = survey.labels, min(_SHOWN, len(survey.labels) - 1)
    if number < 1:
        raise UserError(f"Expected two images or more. Received: {len(labels)}")
    queries = subject.shown[:_QUERIES]
    distances, places = Neighbors(survey.features).others(queries, number)
    squares = subject.squares(np.concatenate([queries, places.ravel()]))
    near = squares[len(queries) :].reshape(*places.shape, *squares.shape[1:])
    by_features = precision(survey.features, labels)
    by_pixels = precision(survey.pixels, labels)
    chance = float(((np.bincount(labels)[labels] - 1) / max(1, len(labels) - 1)).mean())
    return Picture(
        "neighbours",
        "Images that excite the same neurons",
        f"Left: five images; right: those among {len(labels):,} whose {survey.features.shape[1]:,} "
        f"numbers in the last hidden layer, fc7, are nearest in Euclidean distance (paper §6.1). "
        f"Solid blue and ✓: the same class. Of all images' {NEAREST} nearest, {by_features:.1%} "
        f"are of the same class; of the {NEAREST} nearest by their pixels (at 32 × 32), "
        f"{by_pixels:.1%}; by chance it would be {chance:.1%}.",
        draw_neighbors(
            squares[: len(queries)], near,
            [subject.classes[label] for label in labels[queries]],
            [[subject.classes[label] for label in row] for row in labels[places]],
        ),
        {
            "images": len(labels),
            f"precision@{NEAREST}, fc7": by_features,
            f"precision@{NEAREST}, pixels": by_pixels,
            f"precision@{NEAREST}, chance": chance,
            "distances": [[float(value) for value in row] for row in distances],
        },
    )  # fmt: skip
