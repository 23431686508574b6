import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.layers import InvertedDropout, UnscaledDropout

UNITS = tf.random.stateless_uniform((100, 400), (1, 2), 1.0, 2.0)  # none of them 0


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.9])
def test_training_drops_a_share_and_leaves_the_rest_alone(rate):
    y = UnscaledDropout(rate, seed=1)(UNITS, training=True)
    kept = np.not_equal(y, 0)
    np.testing.assert_array_equal(y[kept], UNITS[kept])
    deviation = np.sqrt(rate * (1 - rate) / kept.size)
    assert abs(np.mean(~kept) - rate) <= 4 * deviation


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.9])
def test_scales_down_at_test(rate):
    layer = UnscaledDropout(rate)
    np.testing.assert_allclose(layer(UNITS, training=False), UNITS * (1 - rate), rtol=1e-6)
    np.testing.assert_array_equal(layer(UNITS), layer(UNITS, training=False))


def test_default_rate_is_the_papers():
    np.testing.assert_allclose(UnscaledDropout()(np.ones((1, 4))), np.full((1, 4), 0.5))


def test_draws_for_each_unit_of_each_example():
    kept = np.not_equal(UnscaledDropout(0.5, seed=1)(UNITS, training=True), 0)
    for axis in (0, 1):
        share = kept.mean(axis)
        assert np.all((share > 0.2) & (share < 0.8))


def test_gradient_is_the_mask():
    layer = UnscaledDropout(0.5, seed=1)
    with tf.GradientTape() as tape:
        tape.watch(UNITS)
        y = layer(UNITS, training=True)
    np.testing.assert_array_equal(tape.gradient(y, UNITS), np.not_equal(y, 0))


def test_inverted_dropout_scales_in_training_and_not_at_test():
    inputs = np.arange(1, 2001, dtype=np.float32)[None]
    unscaled, inverted = UnscaledDropout(0.2, seed=3), InvertedDropout(0.2, seed=3)
    np.testing.assert_allclose(
        inverted(inputs, training=True), unscaled(inputs, training=True) / np.float32(0.8)
    )
    np.testing.assert_array_equal(inverted(inputs, training=False), inputs)
