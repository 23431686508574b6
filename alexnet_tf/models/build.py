"""From a row of `variants.py` to a functional `keras.Model`."""

from __future__ import annotations

import math
import os
import warnings

import keras

from alexnet_tf import layers
from alexnet_tf.models.spec import (
    ACTIVATION,
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

_ACTIVATIONS = {  # spec.ActivationName -> layer
    "relu": lambda name: keras.layers.ReLU(name=name),
    "tanh": lambda name: keras.layers.Activation("tanh", name=name),
    "sigmoid": lambda name: keras.layers.Activation("sigmoid", name=name),
    "leaky_relu": lambda name: keras.layers.LeakyReLU(negative_slope=0.01, name=name),
    "noisy_relu": lambda name: layers.NoisyReLU(name=name),
}


def AlexNet(  # noqa: N802 - a constructor in the eyes of its users, as in keras.applications
    variant: str | Variant = "paper",
    classes: int = 1000,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
) -> keras.Model:
    """Builds AlexNet as a functional Keras model.

    The model takes images that are already normalised as the variant wants them
    (`alexnet_tf.data.preprocess.Preprocessor` does it); S is 224 for most variants.

    Example:
        >>> model = alexnet_tf.AlexNet(variant="paper", classes=1000)
        >>> model.count_params()
        60965224

    Args:
        variant: a name that `alexnet_tf.variants()` lists, or a `Variant` of your own.
        classes: units of fc8.
        include_top: False ends the model after layer 5, with feature maps [B, 6, 6, 256].
        weights: None for fresh ones, or a `.weights.h5` file made by `model.save_weights` of a
            variant with the same layers; one made with the top loads without it as well.

    Returns:
        A model from [B, S, S, 3] to logits [B, classes], its layers named as in the literature:
        conv1 to conv5, fc6, fc7, fc8.

    Raises:
        UserError: no such variant.
        ValueError: classes below 1, or weights that do not fit.
        FileNotFoundError: no such weights file.
    """
    spec = variant if isinstance(variant, Variant) else get_variant(variant)
    if not isinstance(classes, int) or classes < 1:
        raise ValueError(f"`classes` must be a positive integer. Received: classes={classes!r}")
    side = spec.preprocessing.crop_size
    inputs = keras.Input((side, side, 3), name="image")
    x = inputs
    for number, conv in enumerate(spec.convs, start=1):
        x = _conv(x, conv, number)
        x = _ops(x, conv.post_ops, number, spec)
    if include_top:
        x = keras.layers.Flatten(name="flatten")(x)
        for number, dense in enumerate(spec.denses, start=len(spec.convs) + 1):
            x = _ops(x, dense.pre_ops, number, spec)
            x = make_dense(dense, classes, x.shape[-1])(x)  # [B, units]
            x = _ops(x, dense.post_ops, number, spec)
    model = keras.Model(inputs, x, name=f"alexnet_{spec.name}")
    if weights is not None:
        _load_weights(model, os.fspath(weights))
    return model


def _load_weights(model: keras.Model, path: str) -> None:
    """Loads a `.weights.h5` file, or says in one line why not."""
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


def _initializers(init: Init, bias: float, fan_in: int) -> dict[str, keras.Initializer]:
    """Kernel and bias initialisers of a layer whose units see `fan_in` inputs."""
    if init == "torch":  # PyTorch's default for Conv2d and Linear, of kernel and bias alike
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


def pad(conv: Conv, number: int) -> keras.Layer | None:
    """The zeros around a convolution's input, where they are not those of "same"."""
    if conv.padding == "same" or not any(conv.padding):
        return None
    return keras.layers.ZeroPadding2D((conv.padding, conv.padding), name=f"pad{number}")


def make_conv(conv: Conv, fan_in: int) -> keras.Layer:
    """A layer from [B, H, W, C] to [B, H', W', filters], whose kernels see `fan_in` inputs."""
    start = _initializers(conv.init, conv.bias, fan_in)
    padding = "same" if conv.padding == "same" else "valid"
    if conv.towers == 1:
        return keras.layers.Conv2D(
            conv.filters, conv.kernel, conv.stride, padding, name=conv.name, **start
        )
    return layers.GroupedConv2D(
        conv.filters, conv.kernel, conv.towers, conv.stride, padding, name=conv.name, **start
    )


def _conv(x: keras.KerasTensor, conv: Conv, number: int) -> keras.KerasTensor:
    """[B, H, W, C] to [B, H', W', filters]."""
    if padding := pad(conv, number):
        x = padding(x)
    return make_conv(conv, conv.kernel**2 * x.shape[-1] // conv.towers)(x)


def make_dense(dense: Dense, classes: int, fan_in: int) -> keras.Layer:
    """A layer from [B, fan_in] to [B, units]."""
    start = _initializers(dense.init, dense.bias, fan_in)
    return keras.layers.Dense(dense.units or classes, name=dense.name, **start)


def _ops(x: keras.KerasTensor, ops: tuple[Op, ...], number: int, spec: Variant):
    """Applies what a row lists around its weights."""
    for op in ops:
        x = make_layer(op, number, spec)(x)
    return x


def make_layer(op: Op, number: int, spec: Variant) -> keras.Layer:
    """The Keras layer of one operation, named as in Caffe: relu1, norm1, pool1, drop6."""
    if op == ACTIVATION:
        return _ACTIVATIONS[spec.activation](f"{spec.activation}{number}")
    if isinstance(op, Norm):
        return layers.LocalResponseNormalization(
            op.size, op.k, op.alpha, op.beta, op.divide_by_size, op.towers, name=f"norm{number}"
        )
    if isinstance(op, WithinMapNorm):
        return layers.WithinMapResponseNormalization(
            op.size, op.k, op.alpha, op.beta, name=f"within_map_norm{number}"
        )
    if isinstance(op, Pool):
        return keras.layers.MaxPooling2D(op.size, op.stride, name=f"pool{number}")
    if isinstance(op, Dropout):
        layer = {"unscaled": layers.UnscaledDropout, "inverted": layers.InvertedDropout}
        return layer[op.convention](op.rate, name=f"drop{number}")
    raise TypeError(f"Expected an operation of alexnet_tf.models.spec. Received: {op!r}")
