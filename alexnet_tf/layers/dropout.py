"""Dropout as in the paper (paper §4.2; `layer.cu` in the original code), and inverted dropout."""

from __future__ import annotations

import keras
import tensorflow as tf

from alexnet_tf.layers.replica_seed import replica_seed


@keras.saving.register_keras_serializable(package="alexnet_tf")
class UnscaledDropout(keras.layers.Layer):
    """Sets units to zero in training and scales all of them down at test.

        training:  y = x · m,  m ~ Bernoulli(1 - rate), one draw a unit
        test:      y = x · (1 - rate)

    Keras's `Dropout` divides by 1 - rate in training instead and leaves the test alone. The
    expected output is the same up to the factor 1 - rate. The learned weights are not: here the
    next layer sees smaller inputs, half as large with a rate of 0.5.

    Example:
        >>> UnscaledDropout(0.5)(keras.ops.ones((1, 4)), training=False)
        <tf.Tensor: shape=(1, 4), dtype=float32, numpy=array([[0.5, 0.5, 0.5, 0.5]], ...)>

    Args:
        rate: probability of dropping a unit, in [0, 1). Default 0.5.
        seed: of the masks; None for one drawn from Keras's global seed.

    Input and output shape: any.

    Raises:
        ValueError: a rate outside [0, 1).
    """

    def __init__(self, rate: float = 0.5, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must lie in [0, 1). Received: rate={rate}")
        self.rate, self.seed = rate, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[B, ...] to the same."""
        if not training:
            return inputs * tf.cast(1 - self.rate, inputs.dtype)
        draws = self.random_numbers(tf.shape(inputs))
        return tf.where(draws >= self.rate, inputs, tf.zeros_like(inputs))

    def random_numbers(self, shape: tf.Tensor) -> tf.Tensor:
        """Uniform on [0, 1), float32 of that shape; different ones at each call."""
        return tf.random.stateless_uniform(shape, replica_seed(self.seed_generator))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input's."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict) -> UnscaledDropout:
        """The layer; models saved by version 0.1 have an argument more, which is left out."""
        return super().from_config({n: v for n, v in config.items() if n != "share"})


@keras.saving.register_keras_serializable(package="alexnet_tf")
class InvertedDropout(UnscaledDropout):
    """Dropout that scales the kept units up in training and does nothing at test.

        training:  y = x · m / (1 - rate),  m ~ Bernoulli(1 - rate), one draw a unit
        test:      y = x

    The convention of Caffe, PyTorch and Keras. Keras's own layer is not used, because under
    `tf.distribute` it drops the same units on every replica.

    Args:
        rate: probability of dropping a unit, in [0, 1). Default 0.5.
        seed: of the masks; None for one drawn from Keras's global seed.

    Input and output shape: any.

    Raises:
        ValueError: a rate outside [0, 1).
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[B, ...] to the same."""
        if not training:
            return inputs
        return super().call(inputs, training=True) / tf.cast(1 - self.rate, inputs.dtype)
