import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.layers import GroupedConv2D


def reference(x, kernel, bias, groups, stride, padding):
    """One output pixel and one group of maps at a time, in float64."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    side, _, maps_in, filters = kernel.shape
    if padding == "same":  # ceil(size / stride) outputs; the odd zero goes below and to the right
        missing = [max((-(-n // stride) - 1) * stride + side - n, 0) for n in x.shape[1:3]]
        x = np.pad(x, [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)])
    rows, columns = ((n - side) // stride + 1 for n in x.shape[1:3])
    y = np.empty((len(x), rows, columns, filters))
    maps_out = filters // groups
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride, column * stride
            window = x[:, top : top + side, left : left + side]
            for g in range(groups):
                seen = window[..., g * maps_in : (g + 1) * maps_in]
                out = slice(g * maps_out, (g + 1) * maps_out)
                y[:, row, column, out] = np.tensordot(seen, kernel[..., out], 3)
    return y + bias


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def output_and_gradients(layer, x):
    """The output and, of a loss that weighs each of its values differently, the gradients."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(y * tf.reshape(tf.linspace(-1.0, 2.0, tf.size(y)), y.shape))
    return [y, *tape.gradient(loss, [x, layer.kernel, layer.bias])]


def conv2_at_random():
    """Output and gradients of a small conv2 whose weights are the same in every process."""
    layer = GroupedConv2D(8, 5)
    layer.build((None, 9, 9, 6))
    layer.set_weights([images(5, 5, 3, 8), images(8)])
    with tf.device("CPU:0"):
        return [np.asarray(value) for value in output_and_gradients(layer, images(2, 9, 9, 6))]


@pytest.mark.parametrize("size", [(7, 7), (8, 11)], ids=str)
@pytest.mark.parametrize(
    "groups, kernel_size, strides, padding",
    [
        (2, 5, 1, "same"),
        (2, 3, 1, "valid"),
        (4, 3, 2, "same"),
        (2, 4, 3, "valid"),
        (1, 2, 2, "same"),
    ],
)
def test_matches_the_definition(size, groups, kernel_size, strides, padding):
    layer = GroupedConv2D(12, kernel_size, groups, strides, padding, bias_initializer="normal")
    x = images(2, *size, 8)
    actual = layer(x)
    expected = reference(x, *layer.get_weights(), groups, strides, padding)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == expected.shape
    assert layer.compute_output_shape((None, None, None, 8)) == (None, None, None, 12)


def test_matches_keras_in_output_and_gradients():
    ours, keras_own = GroupedConv2D(8, 5, 2), keras.layers.Conv2D(8, 5, padding="same", groups=2)
    x = images(2, 9, 9, 6)
    ours.build(x.shape)
    keras_own.build(x.shape)
    keras_own.set_weights([ours.kernel, images(8)])
    ours.set_weights(keras_own.get_weights())
    for actual, expected in zip(
        output_and_gradients(ours, x), output_and_gradients(keras_own, x), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_towers_do_not_see_each_other():
    x = images(1, 5, 5, 4)
    changed = x.copy()
    changed[..., 2:] += 1
    layer = GroupedConv2D(6, 3)
    before, after = layer(x), layer(changed)
    np.testing.assert_array_equal(before[..., :3], after[..., :3])
    assert np.all(np.abs(before[..., 3:] - after[..., 3:]) > 0)


def test_runs_without_onednn(tmp_path):
    """Where grouped `tf.nn.conv2d` has no gradient on CPU."""
    path = tmp_path / "values.npz"
    environment = {
        **os.environ,
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run([sys.executable, __file__, str(path)], env=environment, check=True)
    with np.load(path) as without:
        for actual, expected in zip(without.values(), conv2_at_random(), strict=True):
            scale = np.abs(expected).max()
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6 * scale)


if __name__ == "__main__":  # the other process of the test above
    np.savez(sys.argv[1], *conv2_at_random())
