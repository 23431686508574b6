"""What normalisation and lighting need to know of a training set."""

from __future__ import annotations

import dataclasses
import os
import zipfile

import numpy as np

from alexnet_tf.data.dataset import Split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.moments import Moments
from alexnet_tf.data.pipeline import evaluation_dataset
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress

# A mean over 50,000 images has a standard error of about 0.3 of 255 a pixel: more of them cost
# an hour on ImageNet's original photographs and change nothing.
MAX_IMAGES = 50_000
_BATCH = 64


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
        """From sums over the pictures."""
        values, vectors = principal_components(moments.covariance())
        return cls(moments.mean().astype(np.float32), values, vectors)

    def save(self, path: str) -> None:
        """Writes an .npz file, under another name first so that it is never half there."""
        partial = f"{path}.partial.npz"
        np.savez(partial, **dataclasses.asdict(self))
        os.replace(partial, path)

    @classmethod
    def load(cls, path: str) -> Statistics:
        """Reads what `save` wrote; no pickled objects.

        Raises:
            UserError: missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found = cls(**{f.name: arrays[f.name] for f in dataclasses.fields(cls)})
            found._check()
            return found
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"Expected the training set's statistics in {path}, as training writes them. "
                f"Received: {error}; without the file, alexnet_tf.train computes them again"
            ) from None

    def _check(self) -> None:
        """Refuses other shapes than the attributes' and what is not finite.

        Raises:
            ValueError: that.
        """
        side = len(self.mean)
        shapes = {"mean": (side, side, 3), "eigenvalues": (3,), "eigenvectors": (3, 3)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} of shape {array.shape}, or not finite")


def principal_components(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues [3], largest first, and eigenvectors [3, 3] in columns, of a symmetric [3, 3].

    The sign of an eigenvector is arbitrary; here its largest entry is positive.
    """
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = vectors[np.argmax(np.abs(vectors), axis=0), np.arange(3)]
    return np.maximum(values, 0).astype(np.float32), (vectors * np.sign(largest)).astype(np.float32)


def compute_statistics(
    split: Split, spec: Preprocessing, unreadable: DecodeErrors | None = None
) -> Statistics:
    """Goes once over a training set, or over `MAX_IMAGES` of it spread evenly.

    Args:
        split: the training set.
        spec: says the side of the square images.
        unreadable: is told of images that do not decode; they are left out.

    Raises:
        UserError: no image could be decoded, or too many could not.
    """
    unreadable = DecodeErrors(split) if unreadable is None else unreadable
    stride = -(-split.examples // MAX_IMAGES)
    expected = -(-split.examples // stride)
    moments = Moments(spec.image_size)
    batches = evaluation_dataset(split, spec, _BATCH, unreadable, every=stride)
    with Progress("statistics", expected, "images") as progress:
        for batch in batches.as_numpy_iterator():
            for pixels in batch["image"][batch["weight"] > 0]:
                moments.add_pixels(pixels)
            progress.advance(int((batch["index"] >= 0).sum()))
            unreadable.check()
    if not moments.pictures:
        raise UserError(
            f"Expected {split.examples} images in the training set. Received: none that decodes; "
            f"{unreadable}"
        )
    return Statistics.of(moments)
