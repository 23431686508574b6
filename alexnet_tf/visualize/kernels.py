"""The kernels of the first layer (paper §6, figure 3)."""

from __future__ import annotations

import numpy as np

from alexnet_tf.visualize.grid import grid

_SIDE = 44  # pixels that a kernel should at least be shown at


def kernel_pictures(kernels: np.ndarray, channels: str = "rgb") -> np.ndarray:
    """Kernels as colours: grey is 0, and a kernel's largest weight is a full colour.

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
    """All of them in one picture, the first tower's above the second's.

    Args:
        kernels: float [K, K, 3, F].
        channels: "rgb" or "bgr", the order of the third axis.

    Returns:
        uint8 [H, W, 3].
    """
    return grid(kernel_pictures(kernels, channels), scale=-(-_SIDE // len(kernels)))
