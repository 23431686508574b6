"""Images that excite the same neurons: nearest neighbours by fc7 (paper §6.1, figure 4, right)."""

from __future__ import annotations

import functools
import pathlib

import numpy as np
from matplotlib.figure import Figure

from alexnet_tf.figures.activations import Activations
from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.search import Neighbors, precision
from alexnet_tf.figures.style import (
    BLUE,
    ORANGE,
    SLIDE,
    SMALL,
    frame,
    in_style,
    new_figure,
    show_image,
)
from alexnet_tf.figures.text import fit, width_of
from alexnet_tf.system.errors import UserError

NEAREST = 5  # neighbours that precision is about
_QUERIES, _SHOWN = 5, 6  # the paper's figure has five rows of a query and six neighbours


@in_style
def draw_neighbors(
    queries: np.ndarray,
    neighbors: np.ndarray,
    names: list[str],
    neighbor_names: list[list[str]],
    same: list[list[bool | None]],
) -> Figure:
    """A row for each query, its neighbours to the right, framed by whether they are its class.

    Args:
        queries: uint8 [Q, S, S, 3].
        neighbors: uint8 [Q, n, S, S, 3], the nearest first.
        names: of the queries' classes, "" where they are not known.
        neighbor_names: of the neighbours'.
        same: whether a neighbour is of its query's class; None where that is not known.
    """
    figure = new_figure("Images that excite the same neurons (fc7)")
    columns = neighbors.shape[1]
    cells = figure.subplots(
        len(queries), columns + 2, width_ratios=(1, 0.25, *[1] * columns), squeeze=False
    )
    room = SLIDE[0] / (columns + 1.25) - 0.25  # inches; the columns' own pads are .2
    for row, query, near, name, theirs, hits in zip(
        cells, queries, neighbors, names, neighbor_names, same, strict=True
    ):
        show_image(row[0], query)
        label = fit(name, room, SMALL, "bold") if name else ""
        row[0].set_xlabel(label, fontsize=SMALL, weight="bold", labelpad=3)
        row[1].axis("off")
        for axes, image, its, hit in zip(row[2:], near, theirs, hits, strict=True):
            show_image(axes, image)
            if hit is not None:
                frame(axes, BLUE if hit else ORANGE, 3, "-" if hit else "--")
            sign = {True: "✓ ", False: "✗ ", None: ""}[hit]
            label = sign + fit(its, room - width_of(sign)) if its else ""
            axes.set_xlabel(label, fontsize=SMALL, labelpad=3)
    cells[0, 0].set_title("query")
    cells[0, 2].set_title("nearest")
    if columns > 3:
        cells[0, -1].set_title(f"{columns}th nearest")
    return figure


def picture(subject: FigureContext) -> Picture:
    """Five queries, the photograph first if there is one, and the precision of all neighbours.

    Raises:
        UserError: there are no others to be neighbours.
    """
    survey = subject.survey
    labels, number = survey.labels, min(_SHOWN, len(survey.index) - 1)
    if number < 1:
        raise UserError(f"Expected two images or more. Received: {len(survey.index)}")
    index, own = Neighbors(survey.features), bool(subject.photo)
    queries = subject.shown[: _QUERIES - own]
    distances, places = index.others(queries, number)
    squares, names = subject.squares(queries), subject.names(queries)
    same: list[list[bool | None]] = [[None] * number] * (own + len(queries))
    if labels is not None:
        same[own:] = (labels[places] == labels[queries][:, None]).tolist()
    if own:
        nearest = index.search(subject.features(subject.square[None]), number)
        distances, places = map(np.concatenate, zip(nearest, (distances, places), strict=True))
        squares, names = np.concatenate([subject.square[None], squares]), ["the photograph", *names]
    near = subject.squares(places.ravel()).reshape(*places.shape, *squares.shape[1:])
    precisions, sentence = _precisions(survey)
    return Picture(
        "neighbours",
        "Images that excite the same neurons",
        f"Left: {len(squares)} images{', the first a photograph of your own' if own else ''}; "
        f"right: those among {len(survey.index):,} whose {survey.features.shape[1]:,} numbers in "
        f"the last hidden layer, fc7, are nearest in Euclidean distance (paper §6.1). {sentence}",
        draw_neighbors(squares, near, names, [subject.names(row) for row in places], same),
        {
            "images": len(survey.index),
            **precisions,
            "distances": [[float(value) for value in row] for row in distances],
        },
        functools.partial(_save_index, survey),
    )


def _precisions(survey: Activations) -> tuple[dict[str, float], str]:
    """How often neighbours are of one class, where classes are known, as numbers and in words."""
    labels, nearest = survey.labels, min(NEAREST, len(survey.index) - 1)
    if labels is None:
        return {}, "It is not known which classes they are of."
    by_features = precision(survey.features, labels, nearest)
    by_pixels = precision(survey.pixels, labels, nearest)
    chance = float(((np.bincount(labels)[labels] - 1) / (len(labels) - 1)).mean())
    return (
        {
            f"precision@{nearest}, fc7": by_features,
            f"precision@{nearest}, pixels": by_pixels,
            f"precision@{nearest}, chance": chance,
        },
        f"Solid blue and ✓: the same class. Of all images' {nearest} nearest, {by_features:.1%} "
        f"are of the same class; of the {nearest} nearest by their pixels (at 32 × 32), "
        f"{by_pixels:.1%}; by chance it would be {chance:.1%}.",
    )


def _save_index(survey: Activations, folder: pathlib.Path) -> None:
    """Beside the picture, the features with their index, for programs of one's own."""
    known = {} if survey.labels is None else {"labels": survey.labels}
    (folder / "neighbours").mkdir(exist_ok=True)
    Neighbors(survey.features).save(folder / "neighbours", index=survey.index, **known)
