"""Sizes and costs against the built networks and by hand; receptive fields against gradients."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.applications import AlexNet
from alexnet_tf.models.feature_extraction import unit_model
from alexnet_tf.models.layer_summary import ReceptiveField, layer_summary, num_towers
from alexnet_tf.models.variants import VARIANTS, get_variant


@pytest.mark.parametrize("name", VARIANTS)
def test_sizes_and_parameters_match_the_built_network(name):
    model = AlexNet(name, classes=10)
    layers = layer_summary(get_variant(name), classes=10)
    assert sum(layer.parameters for layer in layers) == model.count_params()
    for layer in layers:
        built = model.get_layer(layer.name)
        assert (*built.output.shape[1:],) == layer.outputs
        assert built.count_params() == layer.parameters
    assert model.get_layer("flatten").input.shape[1:] == layers[4].output_after_pooling


def test_multiply_adds_by_hand():
    paper = layer_summary(get_variant("paper"))
    by_hand = [
        55 * 55 * 96 * 11 * 11 * 3,
        27 * 27 * 256 * 5 * 5 * 48,
        13 * 13 * 384 * 3 * 3 * 256,
        13 * 13 * 384 * 3 * 3 * 192,
        13 * 13 * 256 * 3 * 3 * 192,
        9216 * 4096,
        4096 * 4096,
        4096 * 1000,
    ]
    assert [layer.multiply_adds for layer in paper] == by_hand
    assert round(sum(by_hand) / 1e9, 2) == 0.72


def test_towers():
    assert [num_towers(get_variant(n)) for n in ("paper", "single_gpu", "tiny32")] == [2, 1, 2]
    assert [layer.towers for layer in layer_summary(get_variant("paper"))] == [
        1,
        2,
        1,
        2,
        2,
        1,
        1,
        1,
    ]


def test_receptive_fields_by_hand():
    fields = [layer.field for layer in layer_summary(get_variant("caffe"))[:5]]
    assert fields == [
        ReceptiveField(11, 4, 0),
        ReceptiveField(11 + 2 * 4 + 4 * 8, 8, -2 * 8),  # 19 by 8 after pool1, and 5 of these
        ReceptiveField(51 + 2 * 8 + 2 * 16, 16, -16 - 16),
        ReceptiveField(99 + 2 * 16, 16, -48),
        ReceptiveField(131 + 2 * 16, 16, -64),
    ]


@pytest.mark.parametrize("name", ["tiny", "tiny32", "code2012", "one_weird_trick"])
def test_a_unit_sees_its_receptive_field_and_nothing_else(name):
    variant = get_variant(name)
    smooth = dataclasses.replace(variant, activation="tanh")  # its gradient is never zero
    keras.utils.set_random_seed(0)
    size = variant.preprocessing.crop_size
    images = tf.random.stateless_normal([4, size, size, 3], [1, 2])
    model = AlexNet(smooth, classes=10)
    for layer in layer_summary(variant)[:3]:
        units = unit_model(model, layer.name)
        center = units.output.shape[1] // 2
        with tf.GradientTape() as tape:
            tape.watch(images)
            responses = tf.reduce_sum(units(images)[:, center, center] ** 2)
        seen = (np.abs(tape.gradient(responses, images)) > 0).any(axis=(0, 3))
        first = layer.field.first + layer.field.stride * center
        expected = np.zeros(size, bool)
        expected[max(0, first) : first + layer.field.size] = True
        assert not seen[~expected].any() and not seen[:, ~expected].any()
        # Pooling passes back to one unit of each window: the edges are seen by some map, at least.
        np.testing.assert_array_equal(seen.any(axis=0), expected)
        np.testing.assert_array_equal(seen.any(axis=1), expected)
