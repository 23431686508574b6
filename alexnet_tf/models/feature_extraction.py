"""Models that end at an inner layer and share a network's weights; the variant of a network."""

from __future__ import annotations

import dataclasses

import keras

from alexnet_tf.layers import NoisyReLU
from alexnet_tf.models.layer_summary import layer_summary
from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import VARIANTS
from alexnet_tf.system.errors import UserError


def first_layer_model(model: keras.Model) -> keras.Model:
    """From images to the outputs of conv1, before any nonlinearity: [B, H, W, kernels]."""
    return keras.Model(model.inputs, model.get_layer("conv1").output)


def feature_model(model: keras.Model) -> keras.Model:
    """From images to fc7, the last hidden layer, after its nonlinearity: [B, 4096] (paper §6.1).

    The model ends before fc7's dropout, so its outputs are not scaled.

    Raises:
        ValueError: the model has no hidden fully connected layer.
    """
    denses = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    if len(denses) < 2:
        raise ValueError(f"Expected a model with fc7 and fc8. Received: {model.name}")
    return unit_model(model, denses[-2].name)


def layer_names(model: keras.Model) -> list[str]:
    """Names of the layers with weights: conv1 ... fc8."""
    return [layer.name for layer in model.layers if layer.weights]


def unit_model(model: keras.Model, layer: str) -> keras.Model:
    """From images to the units of a layer, after their nonlinearity.

    Args:
        model: built by `build.AlexNet`.
        layer: a layer with weights: "conv1" ... "fc8". The last has no nonlinearity.

    Returns:
        A model to [B, H, W, channels], or to [B, units].

    Raises:
        UserError: no such layer.
    """
    names = layer_names(model)
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


def variant_of(model: keras.Model, variant: Variant | None = None) -> Variant:
    """The variant that a network was built from.

    Args:
        model: built by `build.AlexNet`, with its top.
        variant: the variant, if it is not one of the package's; it is compared with the model.

    Returns:
        The variant, with the network's own nonlinearity.

    Raises:
        UserError: the variant is unknown, or the network was built from another.
    """
    name = model.name.removeprefix("alexnet_")
    if len(model.output_shape) != 2:
        raise UserError(
            f"Expected a model with its fully connected layers (include_top=True). Received: "
            f"{model.name}, which ends with {model.layers[-1].name}"
        )
    used = next((layer.name for layer in model.layers if is_nonlinearity(layer)), "")
    if variant is None:
        if name not in VARIANTS:
            raise UserError(
                "Expected variant=, the Variant that the model was built from. Received: none, "
                f"and {model.name} is not one of {', '.join(VARIANTS)}"
            )
        variant = dataclasses.replace(VARIANTS[name], activation=used.rstrip("0123456789"))
    layers = layer_summary(variant, model.output_shape[-1])
    expected = [(layer.name, layer.outputs, layer.parameters) for layer in layers]
    built = [
        (layer.name, tuple(layer.output.shape[1:]), layer.count_params())
        for layer in map(model.get_layer, layer_names(model))
    ]
    differing = next((pair for pair in zip(expected, built, strict=False) if len({*pair}) > 1), ())
    if differing or len(expected) != len(built) or used.rstrip("0123456789") != variant.activation:
        (name, shape, parameters), (_, own_shape, own) = differing or (expected[0], built[0])
        raise UserError(
            f"Expected a model of the variant {variant.name} with {variant.activation} (give a "
            f"Variant of your own as variant=): {len(expected)} layers, {name} with "
            f"{parameters:,} parameters to {shape}. Received: {model.name} with {used}, "
            f"{len(built)} layers, {own:,} parameters to {own_shape} there"
        )
    return variant
