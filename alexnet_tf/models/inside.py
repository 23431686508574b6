"""Parts of a built network, with the same weights."""

from __future__ import annotations

import keras

from alexnet_tf.errors import UserError
from alexnet_tf.layers import NoisyReLU


def first_layer_model(model: keras.Model) -> keras.Model:
    """From images to what conv1 makes of them, before any nonlinearity: [B, H, W, kernels]."""
    return keras.Model(model.inputs, model.get_layer("conv1").output)


def feature_model(model: keras.Model) -> keras.Model:
    """From images to the last hidden layer, fc7, after its nonlinearity: [B, 4096] (paper §6.1).

    Dropout comes after it, so that nothing is scaled by half.

    Raises:
        ValueError: the model has no hidden fully connected layer.
    """
    denses = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    if len(denses) < 2:
        raise ValueError(f"Expected a model with fc7 and fc8. Received: {model.name}")
    hidden = model.layers.index(denses[-2])
    return keras.Model(model.inputs, model.layers[hidden + 1].output)


def unit_model(model: keras.Model, layer: str) -> keras.Model:
    """From images to the units of a layer, after their nonlinearity.

    Args:
        model: of `build.AlexNet`.
        layer: with weights: "conv1" ... "fc8"; the last has no nonlinearity.

    Returns:
        A model to [B, H, W, maps], or to [B, units].

    Raises:
        UserError: no such layer.
    """
    names = [each.name for each in model.layers if each.name.startswith(("conv", "fc"))]
    if layer not in names:
        raise UserError(f"Expected a layer among {', '.join(names)}. Received: {layer}")
    found = model.get_layer(layer)
    for after in model.layers[model.layers.index(found) + 1 :]:
        if after.name in names:
            break
        if is_nonlinearity(after):
            found = after
            break
    return keras.Model(model.inputs, found.output)


def is_nonlinearity(layer: keras.Layer) -> bool:
    """Whether a layer applies one of `spec.ActivationName`."""
    kinds = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.Activation, NoisyReLU)
    return isinstance(layer, kinds)
