"""Exact nearest neighbours by the faiss library, with an index on disk."""

from __future__ import annotations

import pathlib

import numpy as np

from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import write_atomically
from alexnet_tf.system.untrusted import read_arrays, read_bytes

try:
    import faiss
except ImportError as error:
    raise UserError(
        f"Nearest neighbours need faiss: pip install '.[figures]'. The import failed with: {error}"
    ) from None


_MAX_BYTES = 2**33  # of a file: features of 500,000 images
_FLAT = b"IxF2"  # with which faiss begins an IndexFlatL2


class Neighbors:
    """Exact nearest neighbours by Euclidean distance, in a faiss index.

    Args:
        features: float32 [N, F].
    """

    def __init__(self, features: np.ndarray):
        self.features = np.ascontiguousarray(features, np.float32)
        self.index = faiss.IndexFlatL2(features.shape[1])
        self.index.add(self.features)

    def save(self, folder: pathlib.Path, **arrays: np.ndarray) -> None:
        """Writes `features.npz` and `features.faiss`.

        Args:
            folder: must exist.
            arrays: further arrays for the npz file, e.g. labels.

        Raises:
            OSError: a file cannot be written.
        """
        with write_atomically(folder / "features.npz") as file:
            np.savez(file, features=self.features, **arrays)
        with write_atomically(folder / "features.faiss") as file:
            file.write(faiss.serialize_index(self.index))

    @classmethod
    def load(cls, folder: pathlib.Path) -> Neighbors:
        """Reads the files of `save`.

        Raises:
            UserError: a file is missing or damaged, or the two do not match.
        """
        found = cls.__new__(cls)
        try:
            path = folder / "features.npz"
            found.features = read_arrays(path, ["features"], _MAX_BYTES)["features"]
            index = read_bytes(folder / "features.faiss", _MAX_BYTES)
            # An index of another type may name a file, which faiss opens for writing.
            if not index.startswith(_FLAT):
                raise ValueError("features.faiss holds an index of another type")
            found.index = faiss.deserialize_index(np.frombuffer(index, np.uint8))
        except (OSError, ValueError, RuntimeError) as error:
            first_line = (str(error).strip().splitlines() or ["damaged"])[0]
            raise UserError(
                f"features.npz and features.faiss in {folder} cannot be read: {first_line}. "
                "Draw the figure `neighbours` again"
            ) from None
        if (found.index.ntotal, found.index.d) != found.features.shape:
            raise UserError(
                f"features.faiss and features.npz in {folder} do not match: "
                f"{(found.index.ntotal, found.index.d)} and {found.features.shape}. "
                "Draw the figure `neighbours` again"
            )
        return found

    def search(self, queries: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Finds the nearest vectors of each query, the nearest first.

        Args:
            queries: float32 [Q, F].
            number: of neighbours; fewer are found if the index has fewer.

        Returns:
            Euclidean distances, float32 [Q, number], and rows of `features`, int64 [Q, number].
        """
        queries = np.ascontiguousarray(queries, np.float32)
        squared, rows = self.index.search(queries, min(number, self.index.ntotal))
        return np.sqrt(np.maximum(squared, 0)), rows

    def search_others(self, members: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Finds the nearest vectors of some indexed vectors, without the vector itself.

        Args:
            members: int64 [M], rows of `features`.
            number: of neighbours, fewer if the index has fewer.

        Returns:
            Distances and rows, as from `search`.
        """
        distances, rows = self.search(self.features[members], number + 1)
        itself = rows == members[:, None]
        itself[~itself.any(axis=1), -1] = True  # equal vectors came first: drop the farthest
        shape = (len(members), rows.shape[1] - 1)
        return distances[~itself].reshape(shape), rows[~itself].reshape(shape)


def precision(features: np.ndarray, labels: np.ndarray, number: int) -> float:
    """The share of nearest neighbours that have the query's class; every vector is a query once.

    Args:
        features: [N, F].
        labels: int64 [N].
        number: of neighbours.
    """
    _, rows = Neighbors(features).search_others(np.arange(len(labels)), number)
    return float((labels[rows] == labels[:, None]).mean())
