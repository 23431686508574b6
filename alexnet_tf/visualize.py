"""Arranges images in a grid, and draws kernels as images: uint8 [height, width, 3], RGB."""

from __future__ import annotations

import math

import numpy as np

_GAP = 2  # pixels between images
_KERNEL_SIZE = 44  # pixels; the smallest width of a kernel in `kernel_grid`


def grid(images: np.ndarray, columns: int | None = None, scale: int = 1) -> np.ndarray:
    """Arranges images of one size in rows, from the left and from the top.

    Args:
        images: uint8 [N, H, W, 3].
        columns: images in a row. Default: the smallest number that fills every row and makes the
            grid of square images no higher than wide; for 96 images 12, as in the paper's figure 3.
        scale: factor by which the images are enlarged.

    Returns:
        uint8 [H', W', 3], white between the images and in empty cells.
    """
    number, height, width, _ = images.shape
    if columns is None:
        start = math.ceil(math.sqrt(number))
        columns = next(c for c in range(start, number + 1) if number % c == 0)
    rows = math.ceil(number / columns)
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale, width * scale
    sheet = np.full(
        (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, np.uint8
    )
    for index, image in enumerate(images):
        top = _GAP + index // columns * (height + _GAP)
        left = _GAP + index % columns * (width + _GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def kernel_pictures(kernels: np.ndarray, channels: str = "rgb") -> np.ndarray:
    """Draws kernels of the first layer as colours (paper §6, figure 3).

    Grey is 0, and a kernel's largest weight is a full colour.

    Args:
        kernels: float [K, K, 3, F], as a Keras convolution has them.
        channels: "rgb" or "bgr", the order of the third axis.

    Returns:
        uint8 [F, K, K, 3], RGB.
    """
    if channels == "bgr":
        kernels = kernels[:, :, ::-1]
    largest = np.maximum(np.abs(kernels).max(axis=(0, 1, 2)), np.finfo(np.float32).tiny)
    colours = 127.5 + 127.5 * kernels / largest
    return np.round(colours).astype(np.uint8).transpose(3, 0, 1, 2)


def kernel_grid(kernels: np.ndarray, channels: str = "rgb") -> np.ndarray:
    """Draws all kernels in one image, the first tower's above the second's.

    Args:
        kernels: float [K, K, 3, F].
        channels: "rgb" or "bgr", the order of the third axis.

    Returns:
        uint8 [H, W, 3].
    """
    return grid(kernel_pictures(kernels, channels), scale=-(-_KERNEL_SIZE // len(kernels)))
