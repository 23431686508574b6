"""Layers that Keras lacks, or has in a form that is too slow for this network.

Feature maps are [batch, height, width, channels]. Every layer follows its dtype policy. Layers that
add up squares do so in float32, because 16 bits overflow or lose the sum.
"""

from alexnet_tf.layers.dropout import InvertedDropout, UnscaledDropout
from alexnet_tf.layers.grouped_conv import GroupedConv2D
from alexnet_tf.layers.local_response_normalization import (
    LocalResponseNormalization,
)
from alexnet_tf.layers.noisy_relu import NoisyReLU
from alexnet_tf.layers.normalize_images import NormalizeImages
from alexnet_tf.layers.within_map_response_normalization import (
    WithinMapResponseNormalization,
)
from alexnet_tf.system.keras_setup import check_backend

check_backend()

__all__ = [
    "GroupedConv2D",
    "InvertedDropout",
    "LocalResponseNormalization",
    "NoisyReLU",
    "NormalizeImages",
    "UnscaledDropout",
    "WithinMapResponseNormalization",
]
