"""Narrow networks with the layers of the full ones, random arrays, and a NumPy reference."""

import dataclasses

import numpy as np

from alexnet_tf.models.layer_summary import layer_summary
from alexnet_tf.models.variants import CAFFE, CAFFENET, ONE_WEIRD_TRICK, PAPER
from alexnet_tf.weights.arrays import LayerArrays

CLASSES = 10
_FILTERS = (8, 16, 12, 8, 8)


def narrow(variant, units=24):
    """The variant with few filters and units; its geometry stays."""
    convs = (
        dataclasses.replace(conv, filters=filters)
        for conv, filters in zip(variant.convs, _FILTERS, strict=True)
    )
    denses = (dataclasses.replace(d, units=d.units and units) for d in variant.denses)
    return dataclasses.replace(variant, convs=tuple(convs), denses=tuple(denses))


NARROW = {v.name: narrow(v) for v in (CAFFE, CAFFENET, ONE_WEIRD_TRICK, PAPER)}


def random_arrays(variant, seed=0, classes=CLASSES):
    """Weights that keep the size of activations, and biases that are not 0."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for layer in layer_summary(variant, classes):
        filters = layer.outputs[-1]
        size = (layer.kernel,) * 2 if layer.kernel else ()
        shape = (*size, layer.inputs[-1] // layer.towers, filters)
        kernel = rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
        arrays[layer.name] = LayerArrays(
            np.float32(kernel), np.float32(rng.normal(0, 0.1, filters))
        )
    return arrays


def assert_equal(actual, expected):
    assert list(actual) == list(expected)
    for name, layer in expected.items():
        for one, other in (
            (actual[name].kernel, layer.kernel),
            (actual[name].bias, layer.bias),
        ):
            assert one.dtype == np.float32
            np.testing.assert_array_equal(one, other, err_msg=name)


def images(variant, number=2):
    """Normalised images, NHWC."""
    size = variant.preprocessing.crop_size
    return np.float32(np.random.default_rng(9).normal(0, 60, (number, size, size, 3)))


# What follows a layer in each network, with the convolutions' stride, zeros and groups, as Caffe's
# prototxts and PyTorch's modules have it.
_CONVS = {
    "caffe": {"conv1": (4, 0, 1), "conv2": (1, 2, 2), "conv3": (1, 1, 1), "conv4": (1, 1, 2)},
    "one_weird_trick": {name: (1, 1, 1) for name in ("conv3", "conv4", "conv5")},
}
_CONVS["caffe"]["conv5"] = (1, 1, 2)
_CONVS["caffenet"] = _CONVS["caffe"]
_CONVS["one_weird_trick"] |= {"conv1": (4, 2, 1), "conv2": (1, 2, 1)}
_AFTER = {
    "caffe": {"conv1": ("norm", "pool"), "conv2": ("norm", "pool"), "conv5": ("pool",)},
    "caffenet": {"conv1": ("pool", "norm"), "conv2": ("pool", "norm"), "conv5": ("pool",)},
    "one_weird_trick": {name: ("pool",) for name in ("conv1", "conv2", "conv5")},
}


def reference(network, kernels, x):
    """Outputs of each layer's weights, computed by NumPy in float64, channels first.

    Args:
        network: a key of `_CONVS`.
        kernels: by layer: kernel [filters, inputs, height, width] or [units, inputs], and bias.
        x: [B, 3, H, W].
    """
    outputs = {}
    x = np.float64(x)
    for name, (kernel, bias) in kernels.items():
        if name in _CONVS[network]:
            x = _convolve(x, np.float64(kernel), *_CONVS[network][name]) + bias[:, None, None]
        else:
            x = x.reshape(len(x), -1) @ np.float64(kernel).T + bias
        outputs[name] = x
        x = np.maximum(x, 0)
        for step in _AFTER[network].get(name, ()):
            x = {"norm": _normalise, "pool": _pool}[step](x)
    return outputs


def _windows(x, size, stride):
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))
    return windows[:, :, ::stride, ::stride]  # [B, C, H, W, size, size]


def _convolve(x, kernel, stride, zeros, groups):
    windows = _windows(np.pad(x, [(0, 0)] * 2 + [(zeros, zeros)] * 2), kernel.shape[-1], stride)
    parts = zip(np.split(windows, groups, 1), np.split(kernel, groups), strict=True)
    return np.concatenate([np.einsum("bchwyx,fcyx->bfhw", w, k) for w, k in parts], 1)


def _pool(x):
    return _windows(x, 3, 2).max((4, 5))


def _normalise(x):
    """Caffe's: (1 + 1e-4 / 5 · Σ x²)^0.75."""
    squares = np.pad(x**2, [(0, 0), (2, 2), (0, 0), (0, 0)])
    sums = sum(squares[:, i : i + x.shape[1]] for i in range(5))
    return x / (1 + 1e-4 / 5 * sums) ** 0.75
