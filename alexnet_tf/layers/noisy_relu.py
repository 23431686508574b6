"""The noisy rectifier of Nair and Hinton (2010), the paper's reference for ReLUs."""

import keras
import tensorflow as tf

from alexnet_tf.layers.channel_shard import check_channel_shard, draw_channel_shard
from alexnet_tf.layers.replica_seed import replica_seed


@keras.saving.register_keras_serializable(package="alexnet_tf")
class NoisyReLU(keras.layers.Layer):
    """Rectifies after adding noise whose variance is the sigmoid of the input.

        training:  y = max(0, x + n),  n ~ N(0, sigmoid(x))
        test:      y = max(0, x)

    ImageDataset: Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, §2.

    Args:
        seed: of the noise; None for one drawn from Keras's global seed.
        share: which of how many equal parts of the maps the input holds; each part gets the noise
            that a layer of all of them would give it. Default (0, 1), all.

    Input and output shape: any.

    Raises:
        ValueError: a share that does not exist.
    """

    def __init__(self, seed: int | None = None, share: tuple[int, int] = (0, 1), **kwargs):
        super().__init__(**kwargs)
        self.seed, self.share = seed, check_channel_shard(share)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[B, ...] to the same."""
        if not training:
            return tf.nn.relu(inputs)
        seed = replica_seed(self.seed_generator)
        noise = draw_channel_shard(tf.random.stateless_normal, tf.shape(inputs), seed, self.share)
        # The noise is a sample, not a path for the gradient: Nair and Hinton sample, too.
        sigma = tf.stop_gradient(tf.sqrt(tf.sigmoid(inputs)))
        return tf.nn.relu(inputs + tf.cast(noise, inputs.dtype) * sigma)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input's."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments."""
        return {**super().get_config(), "seed": self.seed, "share": self.share}
