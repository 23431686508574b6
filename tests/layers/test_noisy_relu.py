import math

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.layers import NoisyReLU

DRAWS = 200_000


def moments_of_a_rectified_gaussian(mean, sigma):
    """E[y] and E[y²] of y = max(0, n), n ~ N(mean, sigma²)."""
    z = mean / sigma
    share = (1 + math.erf(z / math.sqrt(2))) / 2  # of the n above 0
    density = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return (
        mean * share + sigma * density,
        (mean**2 + sigma**2) * share + mean * sigma * density,
    )


def test_is_a_relu_at_test():
    layer = NoisyReLU()
    x = np.float32([-2, -0.5, 0, 0.5, 2])
    np.testing.assert_array_equal(layer(x, training=False), [0, 0, 0, 0.5, 2])
    np.testing.assert_array_equal(layer(x), [0, 0, 0, 0.5, 2])


@pytest.mark.parametrize("x", [-1.0, 0.0, 1.0, 6.0])
def test_variance_of_the_noise_is_the_sigmoid(x):
    y = np.asarray(NoisyReLU(seed=1)(tf.fill((DRAWS,), x), training=True), np.float64)
    sigma = math.sqrt(1 / (1 + math.exp(-x)))
    for actual, expected in zip((y, y**2), moments_of_a_rectified_gaussian(x, sigma), strict=True):
        assert abs(actual.mean() - expected) < 4 * actual.std() / math.sqrt(DRAWS)
    assert np.all(y >= 0)


def test_noise_is_no_path_for_the_gradient():
    x = tf.random.stateless_normal((1000,), (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = NoisyReLU(seed=1)(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), np.greater(y, 0))
