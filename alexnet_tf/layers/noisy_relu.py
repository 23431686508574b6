"""The noisy rectifier of Nair and Hinton (2010), the paper's reference for ReLUs."""

from __future__ import annotations

import keras
import tensorflow as tf

from alexnet_tf.layers.replica_seed import replica_seed


@keras.saving.register_keras_serializable(package="alexnet_tf")
class NoisyReLU(keras.layers.Layer):
    """Rectifies after adding noise whose variance is the sigmoid of the input.

        training:  y = max(0, x + n),  n ~ N(0, sigmoid(x))
        test:      y = max(0, x)

    Source: Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, §2.

    Args:
        seed: of the noise; None for one drawn from Keras's global seed.

    Input and output shape: any.
    """

    def __init__(self, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[B, ...] to the same."""
        if not training:
            return tf.nn.relu(inputs)
        noise = self.random_numbers(tf.shape(inputs))
        # No gradient flows through the size of the noise: Nair and Hinton sample it, too.
        sigma = tf.stop_gradient(tf.sqrt(tf.sigmoid(inputs)))
        return tf.nn.relu(inputs + tf.cast(noise, inputs.dtype) * sigma)

    def random_numbers(self, shape: tf.Tensor) -> tf.Tensor:
        """Standard normal, float32 of that shape; different ones at each call."""
        return tf.random.stateless_normal(shape, replica_seed(self.seed_generator))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input's."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments."""
        return {**super().get_config(), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict) -> NoisyReLU:
        """The layer; models saved by version 0.1 have an argument more, which is left out."""
        return super().from_config({n: v for n, v in config.items() if n != "share"})
