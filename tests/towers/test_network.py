"""The network on two devices: the same function, each half where it belongs."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.applications import AlexNet
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError
from alexnet_tf.towers.layers import OnDevice
from alexnet_tf.towers.network import build_towers, pair

DEVICES = ("/CPU:0", "/CPU:1")
CLASSES = 6


def assign(towers, whole):
    for each in pair(towers, whole):
        value = each.shard(whole.trainable_variables[each.whole_index].value)
        towers.trainable_variables[each.index].assign(value)


@pytest.mark.parametrize("name", ["paper", "code2012", "caffe", "caffenet", "single_gpu", "tiny"])
def test_both_compute_the_same_logits(name):
    """Also where the towers meet in more places, as in normalisation across all maps."""
    variant = get_variant(name)
    whole, towers = AlexNet(variant, CLASSES), build_towers(variant, CLASSES, DEVICES)
    assign(towers, whole)
    assert towers.count_params() == whole.count_params()
    side = variant.preprocessing.crop_size
    images = np.random.default_rng(0).normal(0, 60, (2, side, side, 3)).astype(np.float32)
    images /= variant.preprocessing.std[0]
    expected = whole(images).numpy()
    np.testing.assert_allclose(towers(images), expected, atol=1e-5 * np.abs(expected).max())


def test_each_half_lies_and_is_computed_on_its_device():
    towers = build_towers(get_variant("tiny"), CLASSES, DEVICES)
    placed = [layer for layer in towers.layers if isinstance(layer, OnDevice)]
    assert {layer.name for layer in placed} >= {"conv1a", "conv1b", "fc7a", "fc7b", "fc8"}
    for layer in placed:
        expected = DEVICES[layer.name.endswith("b")][1:]
        for variable in layer.trainable_variables:
            assert variable.value.device.endswith(expected), variable.path
        output = layer(tf.nest.map_structure(lambda x: tf.zeros((1, *x.shape[1:])), layer.input))
        assert output.device.endswith(expected), layer.name


def test_halves_of_the_kernels_are_the_first_and_the_second_half_of_the_maps():
    variant = get_variant("tiny")
    whole, towers = AlexNet(variant, CLASSES), build_towers(variant, CLASSES, DEVICES)
    assign(towers, whole)
    kernel = whole.get_layer("conv2").kernel.numpy()  # [5, 5, 16, 64]
    for tower, maps in (("a", np.s_[:32]), ("b", np.s_[32:])):
        half = towers.get_layer(f"conv2{tower}").layer.kernel
        np.testing.assert_array_equal(half, kernel[..., maps])


@pytest.mark.parametrize(
    ("changes", "devices", "complaint"),
    [
        ({}, ("/CPU:0",), "Expected two"),
        ({}, ("/CPU:0", "/CPU:7"), "of /CPU:0, /CPU:1. Received: /CPU:7"),
        ({"filters": 33}, DEVICES, "conv1 cannot be halved"),
    ],
)
def test_what_cannot_be_split_is_refused(changes, devices, complaint):
    variant = get_variant("tiny")
    convs = (dataclasses.replace(variant.convs[0], **changes), *variant.convs[1:])
    with pytest.raises(UserError, match=complaint):
        build_towers(dataclasses.replace(variant, convs=convs), CLASSES, devices)


def test_networks_that_are_not_the_same_do_not_pair():
    towers = build_towers(get_variant("tiny"), CLASSES, DEVICES)
    with pytest.raises(ValueError, match="Expected"):
        pair(towers, AlexNet("tiny32", CLASSES))
