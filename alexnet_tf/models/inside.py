"""Parts of a built network, with the same weights."""

from __future__ import annotations

import keras


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
