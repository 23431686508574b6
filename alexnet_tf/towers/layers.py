"""Layers of one tower: on its device, with the random numbers of its part of the whole layer."""

from __future__ import annotations

import keras
import tensorflow as tf

from alexnet_tf.layers import InvertedDropout, NoisyReLU, UnscaledDropout


class ChannelShard(keras.layers.Layer):
    """Mixin for layers that draw random numbers: draws for all towers and takes its own part.

    Towers side by side then have the random numbers of the whole layer, and need to agree on
    nothing but the seed.

    Args:
        channel_shard: number of the part, and of all parts, along the last axis.

    Raises:
        ValueError: there is no such part.
    """

    def __init__(self, *args, channel_shard: tuple[int, int], **kwargs):
        super().__init__(*args, **kwargs)
        number, parts = channel_shard
        if not 0 <= number < parts:
            raise ValueError(
                "`channel_shard` must be (number, parts), number < parts. "
                f"Received: {channel_shard}"
            )
        self.channel_shard = number, parts

    def random_numbers(self, shape: tf.Tensor) -> tf.Tensor:
        """The random numbers that the whole layer would use for this part."""
        number, parts = self.channel_shard
        whole = super().random_numbers(tf.concat([shape[:-1], shape[-1:] * parts], axis=0))
        return tf.split(whole, parts, axis=-1)[number]

    def get_config(self) -> dict:
        """The arguments."""
        return {**super().get_config(), "channel_shard": self.channel_shard}


class ShardedUnscaledDropout(ChannelShard, UnscaledDropout):
    """`UnscaledDropout` of one tower's units."""


class ShardedInvertedDropout(ChannelShard, InvertedDropout):
    """`InvertedDropout` of one tower's units."""


class ShardedNoisyReLU(ChannelShard, NoisyReLU):
    """`NoisyReLU` of one tower's maps."""


_SHARDED = {
    UnscaledDropout: ShardedUnscaledDropout,
    InvertedDropout: ShardedInvertedDropout,
    NoisyReLU: ShardedNoisyReLU,
}


def copy_for_tower(layer: keras.Layer, name: str, channel_shard: tuple[int, int]) -> keras.Layer:
    """The same layer for one tower, not built.

    Args:
        layer: not built.
        name: of the copy.
        channel_shard: number of the tower, and of all towers.
    """
    kind, config = type(layer), {**layer.get_config(), "name": name}
    if kind in _SHARDED:
        kind, config["channel_shard"] = _SHARDED[kind], channel_shard
    return kind.from_config(config)


class OnDevice(keras.layers.Layer):
    """A layer whose weights and operations are on one device.

    Args:
        layer: not built yet.
        device: as TensorFlow names it, e.g. "/GPU:1".
    """

    def __init__(self, layer: keras.Layer, device: str):
        super().__init__(name=layer.name)
        self.layer, self.device = layer, device

    def build(self, input_shape: tuple | list[tuple]) -> None:
        """Makes the weights of the layer."""
        with tf.device(self.device):
            self.layer.build(input_shape)

    def call(self, inputs: tf.Tensor | list[tf.Tensor]) -> tf.Tensor:
        """The output of the layer; Keras passes `training` on by itself."""
        with tf.device(self.device):
            return self.layer(inputs)

    def compute_output_shape(self, input_shape: tuple | list[tuple]) -> tuple:
        """The shape of the layer's output."""
        return self.layer.compute_output_shape(input_shape)
