"""Weights for the networks of all libraries, so that all compute the same."""

from __future__ import annotations

import numpy as np

from alexnet_tf.models.layer_summary import layer_summary
from alexnet_tf.models.spec import Variant


def draw_weights(variant: Variant, classes: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of each layer in the layout of Keras, large enough for distinct logits.

    Returns:
        By layer name, float32: [K, K, C / towers, F] and [F], or [units in, units out] and
        [units out].
    """
    draw = np.random.default_rng(0)
    weights = {}
    for layer in layer_summary(variant, classes):
        fan_in = layer.inputs[-1] // layer.towers * (layer.kernel or 1) ** 2
        size = (layer.kernel,) * 2 if layer.kernel else ()
        shape = (*size, layer.inputs[-1] // layer.towers, layer.outputs[-1])
        kernel = draw.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)
        weights[layer.name] = kernel, draw.normal(0, 0.1, shape[-1]).astype(np.float32)
    return weights


def to_channels_first(
    name: str, kernel: np.ndarray, before: tuple[int, int, int] | None
) -> np.ndarray:
    """A Keras kernel in the layout of PyTorch and ONNX.

    Args:
        name: of the layer.
        kernel: [K, K, C, F] or [units in, units out].
        before: [H, W, C] of the input, if a fully connected layer flattens it.

    Returns:
        [F, C, K, K], or [units out, units in] with inputs in the order C, H, W.

    Raises:
        ValueError: the input does not fit the kernel.
    """
    if kernel.ndim == 4:
        return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
    if before:
        if np.prod(before) != len(kernel):
            raise ValueError(f"Expected {name} to see {before}. Received: {len(kernel)} inputs")
        kernel = kernel.reshape(*before, -1).transpose(2, 0, 1, 3).reshape(len(kernel), -1)
    return np.ascontiguousarray(kernel.T)


def draw_images(variant: Variant, number: int) -> np.ndarray:
    """Normalised images, float32 [number, S, S, 3]."""
    size = variant.preprocessing.crop_size
    return np.random.default_rng(1).normal(0, 1, (number, size, size, 3)).astype(np.float32)
