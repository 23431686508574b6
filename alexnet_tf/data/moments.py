"""Exact sums over square images, from which the mean image and the covariance follow.

The sum of integers does not depend on their order. So a preparation that was interrupted, or had
another number of workers, ends with the same statistics to the bit. `statistics.py` imports
TensorFlow, and the preparation's worker processes must not: hence a module of its own.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


class Moments:
    """Sums over RGB images of S×S pixels.

    Attributes:
        pictures: how many.
        total: int64 [S, S, 3], the sum of each value.
        products: int64 [3, 3], the sum over all pixels of one channel times another.
    """

    def __init__(self, size: int):
        self.pictures = 0
        self.total = np.zeros((size, size, 3), np.int64)
        self.products = np.zeros((3, 3), np.int64)

    def add(self, jpeg: bytes) -> None:
        """Adds an image as readers of the dataset will see it: decoded from its JPEG."""
        self.add_pixels(np.asarray(Image.open(io.BytesIO(jpeg))))

    def add_pixels(self, pixels: np.ndarray) -> None:
        """Adds an image, uint8 [S, S, 3]."""
        self.pictures += 1
        self.total += pixels
        # float64 holds these integers exactly, and NumPy multiplies it several times faster.
        channels = pixels.reshape(-1, 3).T.astype(np.float64, order="C")  # [3, S·S]
        self.products += np.einsum("in,jn->ij", channels, channels).astype(np.int64)

    def merge(self, other: Moments) -> None:
        """Adds all images of another."""
        self.pictures += other.pictures
        self.total += other.total
        self.products += other.products

    def mean(self) -> np.ndarray:
        """The mean image, float64 [S, S, 3], 0 to 255."""
        return self.total / self.pictures

    def covariance(self) -> np.ndarray:
        """The covariance of the RGB values of all pixels, in [0, 1]: float64 [3, 3]."""
        pixels = self.pictures * self.total.shape[0] * self.total.shape[1]
        mean = self.total.sum(axis=(0, 1)) / pixels
        return (self.products / pixels - np.outer(mean, mean)) / 255**2
