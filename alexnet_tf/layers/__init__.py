"""Layers that Keras does not have, or has too slowly for this network.

Feature maps are [batch, height, width, channels]. Every layer runs in the dtype policy it is
given; those that add up squares do so in float32, because 16 bits overflow or lose the sum.
"""

import keras

from alexnet_tf.system.errors import UserError

if keras.backend.backend() != "tensorflow":
    raise UserError(
        "alexnet_tf needs Keras on TensorFlow. Expected the environment variable "
        f"KERAS_BACKEND=tensorflow or none. Received backend: {keras.backend.backend()}"
    )

from alexnet_tf.layers.dropout import InvertedDropout, UnscaledDropout
from alexnet_tf.layers.grouped_conv import GroupedConv2D
from alexnet_tf.layers.local_response_normalization import (
    LocalResponseNormalization,
)
from alexnet_tf.layers.noisy_relu import NoisyReLU
from alexnet_tf.layers.within_map_response_normalization import (
    WithinMapResponseNormalization,
)

__all__ = [
    "GroupedConv2D",
    "InvertedDropout",
    "LocalResponseNormalization",
    "NoisyReLU",
    "UnscaledDropout",
    "WithinMapResponseNormalization",
]
