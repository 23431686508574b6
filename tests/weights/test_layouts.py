"""The order of numbers in each layout: worked examples, and layer by layer against NumPy."""

import keras
import numpy as np
import pytest

from alexnet_tf.applications import AlexNet
from alexnet_tf.system.errors import UserError
from alexnet_tf.weights.arrays import WeightFile, from_channels_first, to_channels_first
from alexnet_tf.weights.network import assign
from tests.weights.narrow import CLASSES, NARROW, images, random_arrays, reference


def test_a_convolution_by_hand():
    # One filter of two channels, 1 × 2 pixels: channel 0 has 1, 2; channel 1 has 3, 4.
    kernel = np.float32([[[[1, 2]], [[3, 4]]]])
    arrays = from_channels_first({"conv1": (kernel, np.float32([5]))}, "a file")
    # [height, width, channels, filters]: pixel 0 has 1, 3; pixel 1 has 2, 4.
    assert arrays["conv1"].kernel.tolist() == [[[[1], [3]], [[2], [4]]]]
    assert arrays["conv1"].bias.tolist() == [5]


def test_the_first_fully_connected_layer_by_hand():
    # Two maps of 2 × 2 pixels and one unit. Caffe and PyTorch flatten map by map; here the two
    # maps' numbers of a pixel follow one another.
    conv = np.zeros((2, 3, 1, 1), np.float32), np.zeros(2, np.float32)
    kernel = np.float32([[1, 2, 3, 4, 10, 20, 30, 40]])
    second = np.float32([[7]])
    arrays = from_channels_first(
        {"conv5": conv, "fc6": (kernel, second[0]), "fc7": (second, second[0])}, "a file"
    )
    assert arrays["fc6"].kernel[:, 0].tolist() == [1, 10, 2, 20, 3, 30, 4, 40]
    assert arrays["fc7"].kernel.tolist() == [[7]]
    back = to_channels_first(arrays)
    np.testing.assert_array_equal(back["fc6"][0], kernel)


def test_maps_that_are_not_square_are_refused():
    conv = np.zeros((2, 3, 1, 1), np.float32), np.zeros(2, np.float32)
    fc6 = np.zeros((1, 6), np.float32), np.zeros(1, np.float32)
    with pytest.raises(UserError, match="a file: layer fc6 has 6 inputs, which are not square"):
        from_channels_first({"conv5": conv, "fc6": fc6}, "a file")


@pytest.mark.parametrize("name", ["caffe", "caffenet", "one_weird_trick"])
def test_every_layer_agrees_with_numpy(name):
    variant = NARROW[name]
    arrays = random_arrays(variant)
    kernels = to_channels_first(arrays)
    for layer, (kernel, _) in kernels.items():  # the halves of conv2's filters see other maps
        assert kernel.shape[0] == arrays[layer].shape[-1]
    model = AlexNet(variant, CLASSES)
    assign(model, variant, WeightFile("a file", "test", from_channels_first(kernels, "a file")))
    layers = {layer: model.get_layer(layer).output for layer in arrays}
    x = images(variant)
    actual = keras.Model(model.input, layers)(x)
    expected = reference(name, kernels, x.transpose(0, 3, 1, 2))
    for layer, value in expected.items():
        ours = np.asarray(actual[layer])
        ours = ours.transpose(0, 3, 1, 2) if ours.ndim == 4 else ours
        np.testing.assert_allclose(
            ours, value, rtol=1e-4, atol=1e-5 * np.abs(value).max(), err_msg=layer
        )
