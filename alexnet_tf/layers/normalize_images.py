"""The fixed part of a variant's preprocessing as a layer, to be saved with a model."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="alexnet_tf")
class NormalizeImages(keras.layers.Layer):
    """Subtracts a mean colour, divides by a standard deviation, and orders the channels.

        y = (x - mean) / std, then RGB or BGR

    Example:
        >>> NormalizeImages((128, 128, 128), channels="bgr")(keras.ops.ones((1, 227, 227, 3))).shape
        TensorShape([1, 227, 227, 3])

    Args:
        mean: R, G, B, in 0 to 255.
        std: R, G, B; divides after the mean is removed.
        channels: "rgb" or "bgr", the order of the output.

    Input shape: RGB images [B, H, W, 3], 0 to 255, of any type. Output: float32, or the layer's
    dtype, of the same shape.

    Raises:
        ValueError: not three values, a std of 0, or other channels.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float] = (1.0, 1.0, 1.0),
        channels: str = "rgb",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        if len(self.mean) != 3 or len(self.std) != 3 or 0 in self.std:
            raise ValueError(
                f"`mean` and `std` must be three numbers, `std` not 0. Received: mean={mean}, "
                f"std={std}"
            )
        if channels not in ("rgb", "bgr"):
            raise ValueError(f'`channels` must be "rgb" or "bgr". Received: channels={channels}')
        self.channels = channels

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, H, W, 3] to the same."""
        x = (tf.cast(inputs, tf.float32) - tf.constant(self.mean)) / tf.constant(self.std)
        return tf.cast(x[..., ::-1] if self.channels == "bgr" else x, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input's."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments."""
        return {
            **super().get_config(),
            "mean": self.mean,
            "std": self.std,
            "channels": self.channels,
        }
