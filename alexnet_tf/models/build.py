"""Builds a functional `keras.Model` from a variant.

Every layer is told its image format and its dtype policy, so that neither keras.json nor
`keras.config` can change the network.
"""

from __future__ import annotations

import math
import numbers
import os
import warnings

import keras

from alexnet_tf import layers
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
from alexnet_tf.models.variants import get_variant

_CHANNELS_LAST = {"data_format": "channels_last"}


def AlexNet(  # noqa: N802 - a constructor in the eyes of its users, as in keras.applications
    variant: str | Variant = "paper",
    classes: int = 1000,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
) -> keras.Model:
    """Builds AlexNet as a functional Keras model.

    The model takes images that have been normalised as the variant needs it
    (`alexnet_tf.data.preprocess.Preprocessor` does this); S is 224 for most variants. Weights are
    float32 and images channels-last, whatever keras.json says. Of the dtype policies only a mixed
    one (`keras.config.set_dtype_policy("mixed_bfloat16")`) is followed.

    Example:
        >>> model = alexnet_tf.AlexNet(variant="paper", classes=1000)
        >>> model.count_params()
        60965224

    Args:
        variant: a name that `alexnet_tf.variants()` lists, or a `Variant` of your own.
        classes: units of fc8; an integer of Python or NumPy.
        include_top: False ends the model after layer 5, with feature maps [B, 6, 6, 256].
        weights: None for fresh weights, or a `.weights.h5` file that `model.save_weights` wrote
            for a variant with the same layers. A file written with the top also loads without it.

    Returns:
        A model from [B, S, S, 3] to logits [B, classes]. Its layers are named as in the
        literature: conv1 to conv5, fc6, fc7, fc8.

    Raises:
        UserError: no such variant.
        ValueError: classes is no integer or below 1, or the weights do not fit.
        FileNotFoundError: no such weights file.
    """
    variant = variant if isinstance(variant, Variant) else get_variant(variant)
    if isinstance(classes, bool) or not isinstance(classes, numbers.Integral) or classes < 1:
        raise ValueError(f"`classes` must be a positive integer. Received: classes={classes!r}")
    inputs = x = make_input(variant)
    for number, conv in enumerate(variant.convs, start=1):
        x = _conv(x, conv, number)
        x = _ops(x, conv.post_ops, number, variant)
    if include_top:
        x = make_flatten()(x)
        for number, dense in enumerate(variant.denses, start=len(variant.convs) + 1):
            x = _ops(x, dense.pre_ops, number, variant)
            x = make_dense(dense, int(classes), x.shape[-1])(x)  # [B, units]
            x = _ops(x, dense.post_ops, number, variant)
    model = keras.Model(inputs, x, name=f"alexnet_{variant.name}")
    if weights is not None:
        _load_weights(model, os.fspath(weights))
    return model


def _load_weights(model: keras.Model, path: str) -> None:
    """Loads a `.weights.h5` file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged or of another network; the message is one line.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(
            "Expected a .weights.h5 file made by `model.save_weights` (no weights are published "
            f"with this package). Received: weights={path!r}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras repeats in warnings what its error says
            model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        first_line = str(error).strip().splitlines()[0][:200]
        raise ValueError(
            f"Expected weights of {model.name} with outputs {model.output_shape}. "
            f"Received: weights={path!r} ({first_line})"
        ) from None


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
    """A layer from [B, fan_in] to [B, units]."""
    start = _initializers(dense.init, dense.bias, fan_in)
    return keras.layers.Dense(dense.units or classes, name=dense.name, dtype=_policy(), **start)


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
