"""Moves arrays between a Keras model of this package and `Arrays`."""

from __future__ import annotations

import keras
import numpy as np

from alexnet_tf.models.feature_extraction import layer_names
from alexnet_tf.models.spec import Variant
from alexnet_tf.weights.arrays import Arrays, LayerArrays, WeightFile
from alexnet_tf.weights.files import arrays_for


def arrays_of(model: keras.Model) -> Arrays:
    """What a network has learnt, by layer."""
    return {
        name: LayerArrays(*(np.asarray(value) for value in model.get_layer(name).get_weights()))
        for name in layer_names(model)
    }


def assign(
    model: keras.Model, variant: Variant, found: WeightFile, exclude: tuple[str, ...] = ()
) -> None:
    """Gives a network the weights of a file.

    Args:
        model: built by `models.build`.
        variant: that it was built from.
        found: what `weights.files.read_weights` returned.
        exclude: layers that keep their own weights.

    Raises:
        UserError: they do not fit; the message says which variants do. The network is unchanged.
    """
    shapes = {name: tuple(model.get_layer(name).kernel.shape) for name in layer_names(model)}
    for name, layer in arrays_for(found, variant, shapes, exclude).items():
        model.get_layer(name).set_weights([layer.kernel, layer.bias])
