"""Exact nearest neighbours by the faiss library, with an index on disk."""

from __future__ import annotations

import pathlib
from zipfile import BadZipFile

import numpy as np

from alexnet_tf.system.errors import UserError

try:
    import faiss
except ImportError as error:
    raise UserError(
        f"Expected faiss, for nearest neighbours: pip install '.[figures]'. Received: {error}"
    ) from None


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

        Raises:
            OSError: the disk is full, say.
        """
        np.savez(folder / "features.npz", features=self.features, **more)
        try:
            faiss.write_index(self.index, str(folder / "features.faiss"))
        except RuntimeError as error:  # what faiss makes of every failure
            raise OSError(f"{folder / 'features.faiss'} cannot be written") from error

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


def precision(features: np.ndarray, labels: np.ndarray, number: int) -> float:
    """The share of the nearest images, all others searched, that are of the query's class.

    Args:
        features: [N, F].
        labels: int64 [N].
        number: of neighbours.
    """
    _, places = Neighbors(features).others(np.arange(len(labels)), number)
    return float((labels[places] == labels[:, None]).mean())
