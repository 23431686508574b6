"""Builds a functional `keras.Model` from a variant.

Every layer is told its image format and its dtype policy, so that neither keras.json nor
`keras.config` can change the network.
"""

from __future__ import annotations

import math
from typing import Literal

import keras

from alexnet_tf import layers
from alexnet_tf.models.layer_summary import smallest_input
from alexnet_tf.models.spec import (
    ACTIVATION,
    ActivationName,
    Conv,
    Dense,
    Dropout,
    Init,
    Norm,
    Op,
    Pool,
    Variant,
    WithinMapNorm,
)

_CHANNELS_LAST = {"data_format": "channels_last"}


def build_model(
    variant: Variant,
    classes: int = 1000,
    include_top: bool = True,
    input_shape: tuple[int, int, int] | None = None,
    input_tensor: keras.KerasTensor | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classifier_activation: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Builds a variant as a functional Keras model with fresh weights.

    Weights are float32 and images channels-last, whatever keras.json says. Of the dtype policies
    only a mixed one (`keras.config.set_dtype_policy("mixed_bfloat16")`) is followed; the logits are
    float32 even then.

    Args:
        variant: the network.
        classes: units of the last layer.
        include_top: False ends the model after layer 5.
        input_shape: [height, width, 3]; None for the variant's own.
        input_tensor: normalised images to build the network on.
        pooling: without top, reduces the feature maps to [B, channels].
        classifier_activation: of the last layer; None for logits.
        name: of the model.

    Returns:
        A model from images [B, S, S, 3] to logits [B, classes]. Its layers are named as in the
        literature: conv1 to conv5, fc6, fc7, fc8.

    Raises:
        ValueError: the input is too small, or an argument is out of range.
    """
    inputs = x = _input(variant, input_shape, input_tensor)
    for number, conv in enumerate(variant.convs, start=1):
        x = _conv(x, conv, number)
        x = _ops(x, conv.post_ops, number, variant)
    if include_top:
        x = make_flatten()(x)
        for number, dense in enumerate(variant.denses, start=len(variant.convs) + 1):
            x = _ops(x, dense.pre_ops, number, variant)
            x = make_dense(dense, int(classes), x.shape[-1])(x)  # [B, units]
            x = _ops(x, dense.post_ops, number, variant)
        if classifier_activation is not None:
            x = keras.layers.Activation(classifier_activation, name="predictions", dtype="float32")(
                x
            )
    elif pooling is not None:
        kinds = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
        x = kinds[pooling](name=f"{pooling}_pool", dtype=_policy(), **_CHANNELS_LAST)(x)
    if input_tensor is not None:
        sources = keras.utils.get_source_inputs(input_tensor)
        inputs = sources[0] if len(sources) == 1 else sources  # a list wants lists of images
    return keras.Model(inputs, x, name=name or f"alexnet_{variant.name}")


def _input(
    variant: Variant,
    input_shape: tuple[int, int, int] | None,
    input_tensor: keras.KerasTensor | None,
) -> keras.KerasTensor:
    """The network's input [B, H, W, 3].

    Raises:
        ValueError: the shape is not that of images, or too small for the layers.
    """
    if input_tensor is not None:
        return input_tensor
    if input_shape is None:
        return make_input(variant)
    shape = tuple(input_shape)
    least = smallest_input(variant)
    if len(shape) != 3 or shape[2] != 3 or any(n is not None and n < least for n in shape[:2]):
        raise ValueError(
            f"`input_shape` must be (height, width, 3) with at least {least} pixels for "
            f"{variant.name}. Received: input_shape={input_shape}"
        )
    return keras.Input(shape, name="image", dtype="float32")


def _policy() -> keras.DTypePolicy:
    """The global dtype policy if it has float32 weights, as mixed ones have; else float32.

    Weights of 16 bits (keras.json's floatx, for example) would stop learning at small rates.
    """
    policy = keras.config.dtype_policy()
    return policy if policy.variable_dtype == "float32" else keras.DTypePolicy("float32")


def _initializers(init: Init, bias: float, fan_in: int) -> dict[str, keras.Initializer]:
    """Initialisers for kernel and bias of a layer whose units have `fan_in` inputs."""
    if init == "torch":  # PyTorch's default for Conv2d and Linear, for kernel and bias alike
        bound = 1 / math.sqrt(fan_in)
        return {
            "kernel_initializer": keras.initializers.RandomUniform(-bound, bound),
            "bias_initializer": keras.initializers.RandomUniform(-bound, bound),
        }
    sigma = math.sqrt(2 / fan_in) if init == "he" else init
    return {
        "kernel_initializer": keras.initializers.RandomNormal(0.0, sigma),
        "bias_initializer": keras.initializers.Constant(bias),
    }


def make_input(variant: Variant) -> keras.KerasTensor:
    """Normalised images, float32 [B, S, S, 3]."""
    size = variant.preprocessing.crop_size
    return keras.Input((size, size, 3), name="image", dtype="float32")


def pad(conv: Conv, number: int) -> keras.Layer | None:
    """The layer that adds zeros around a convolution's input; None for "same" or no padding."""
    if conv.padding == "same" or not any(conv.padding):
        return None
    return keras.layers.ZeroPadding2D(
        (conv.padding, conv.padding), name=f"pad{number}", dtype=_policy(), **_CHANNELS_LAST
    )


def make_conv(conv: Conv, fan_in: int) -> keras.Layer:
    """A layer from [B, H, W, C] to [B, H', W', filters]; each kernel has `fan_in` weights."""
    start = _initializers(conv.init, conv.bias, fan_in)
    padding = "same" if conv.padding == "same" else "valid"
    if conv.towers == 1:
        return keras.layers.Conv2D(
            conv.filters, conv.kernel, conv.stride, padding,
            name=conv.name, dtype=_policy(), **_CHANNELS_LAST, **start,
        )  # fmt: skip
    return layers.GroupedConv2D(
        conv.filters, conv.kernel, conv.towers, conv.stride, padding,
        name=conv.name, dtype=_policy(), **start,
    )  # fmt: skip


def _conv(x: keras.KerasTensor, conv: Conv, number: int) -> keras.KerasTensor:
    """[B, H, W, C] to [B, H', W', filters]."""
    if padding := pad(conv, number):
        x = padding(x)
    return make_conv(conv, conv.kernel**2 * x.shape[-1] // conv.towers)(x)


def make_flatten() -> keras.Layer:
    """[B, H, W, C] to [B, H · W · C]."""
    return keras.layers.Flatten(name="flatten", dtype=_policy(), **_CHANNELS_LAST)


def make_dense(dense: Dense, classes: int, fan_in: int) -> keras.Layer:
    """A layer from [B, fan_in] to [B, units]; logits are float32 under mixed precision, too."""
    start = _initializers(dense.init, dense.bias, fan_in)
    dtype = _policy() if dense.units else keras.DTypePolicy("float32")
    return keras.layers.Dense(dense.units or classes, name=dense.name, dtype=dtype, **start)


def _ops(
    x: keras.KerasTensor, ops: tuple[Op, ...], number: int, variant: Variant
) -> keras.KerasTensor:
    """Applies the operations that a variant lists before or after a layer's weights."""
    for op in ops:
        x = make_layer(op, number, variant)(x)
    return x


def make_layer(op: Op, number: int, variant: Variant) -> keras.Layer:
    """The Keras layer for one operation, named as in Caffe: relu1, norm1, pool1, drop6."""
    if op == ACTIVATION:
        return _activation(variant.activation, number)
    dtype = _policy()
    if isinstance(op, Norm):
        return layers.LocalResponseNormalization(
            op.size, op.k, op.alpha, op.beta, op.divide_by_size, op.towers,
            name=f"norm{number}", dtype=dtype,
        )  # fmt: skip
    if isinstance(op, WithinMapNorm):
        return layers.WithinMapResponseNormalization(
            op.size, op.k, op.alpha, op.beta, name=f"within_map_norm{number}", dtype=dtype
        )
    if isinstance(op, Pool):
        return keras.layers.MaxPooling2D(
            op.size, op.stride, name=f"pool{number}", dtype=dtype, **_CHANNELS_LAST
        )
    if isinstance(op, Dropout):
        layer = {"unscaled": layers.UnscaledDropout, "inverted": layers.InvertedDropout}
        return layer[op.convention](op.rate, name=f"drop{number}", dtype=dtype)
    raise TypeError(f"Expected an operation of alexnet_tf.models.spec. Received: {op!r}")


def _activation(activation: ActivationName, number: int) -> keras.Layer:
    """The layer for a variant's nonlinearity: relu1, tanh2."""
    settings = {"name": f"{activation}{number}", "dtype": _policy()}
    if activation == "relu":
        return keras.layers.ReLU(**settings)
    if activation == "leaky_relu":
        return keras.layers.LeakyReLU(negative_slope=0.01, **settings)
    if activation == "noisy_relu":
        return layers.NoisyReLU(**settings)
    return keras.layers.Activation(activation, **settings)  # tanh, sigmoid
