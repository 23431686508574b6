"""The mean image and the principal components of a training set's colours."""

from __future__ import annotations

import dataclasses

import numpy as np

from alexnet_tf.data.dataset import Split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.moments import Moments
from alexnet_tf.data.pipeline import decoded_batches
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import write_atomically
from alexnet_tf.system.untrusted import read_arrays

# A mean over 50,000 images has a standard error of about 0.3 of 255 in each pixel: more of them
# cost an hour on ImageNet's original photographs and change nothing.
MAX_IMAGES = 50_000
_MAX_BYTES = 64 * 2**20  # of an array: squares of 2,048 pixels take 50 MB


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Mean image and principal components of the RGB values of a training set.

    Attributes:
        mean: float32 [S, S, 3], RGB, 0 to 255.
        eigenvalues: float32 [3], of the covariance of RGB values in [0, 1], largest first.
        eigenvectors: float32 [3, 3], column i belongs to eigenvalue i.
    """

    mean: np.ndarray
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray

    @classmethod
    def of(cls, moments: Moments) -> Statistics:
        """From sums over all images."""
        values, vectors = principal_components(moments.covariance())
        return cls(moments.mean().astype(np.float32), values, vectors)

    def save(self, path: str) -> None:
        """Writes an .npz file, under another name first so that it is never incomplete."""
        with write_atomically(path) as file:
            np.savez(file, **dataclasses.asdict(self))

    @classmethod
    def load(cls, path: str) -> Statistics:
        """Reads what `save` wrote; no pickled objects.

        Raises:
            UserError: missing or damaged.
        """
        try:
            found = cls(**read_arrays(path, [f.name for f in dataclasses.fields(cls)], _MAX_BYTES))
            found._check()
            return found
        except (OSError, ValueError) as error:
            raise UserError(
                f"The training set's statistics in {path} are missing or damaged: {error}. "
                "Remove the file, and alexnet_tf.train computes them again"
            ) from None

    def _check(self) -> None:
        """Checks types and shapes, and that all values are finite.

        Raises:
            ValueError: a wrong type, shape or value.
        """
        size = self.mean.shape[0] if self.mean.ndim else 0
        shapes = {"mean": (size, size, 3), "eigenvalues": (3,), "eigenvectors": (3, 3)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.dtype.kind != "f" or array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} of shape {array.shape}, or not finite floats")


def principal_components(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues [3], largest first, and eigenvectors [3, 3] in columns, of a symmetric [3, 3].

    The sign of an eigenvector is arbitrary; here its largest entry is positive.
    """
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = vectors[np.argmax(np.abs(vectors), axis=0), np.arange(3)]
    return np.maximum(values, 0).astype(np.float32), (vectors * np.sign(largest)).astype(np.float32)


def compute_statistics(
    split: Split, preprocessing: Preprocessing, decode_errors: DecodeErrors | None = None
) -> Statistics:
    """Goes once over a training set, or over `MAX_IMAGES` of it spread evenly.

    Args:
        split: the training set.
        preprocessing: says S and how to resize.
        decode_errors: records images that do not decode; they are left out.

    Raises:
        UserError: no image could be decoded, or too many could not.
    """
    decode_errors = DecodeErrors(split) if decode_errors is None else decode_errors
    stride = -(-split.examples // MAX_IMAGES)
    moments = Moments(preprocessing.image_size)
    for batch in decoded_batches(split, preprocessing, decode_errors, "statistics", stride):
        for pixels in batch["image"][batch["weight"] > 0]:
            moments.add_pixels(pixels)
    if not moments.pictures:
        raise UserError(
            f"None of the {split.examples} images of the training set can be used: {decode_errors}"
        )
    return Statistics.of(moments)
