import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.layers import WithinMapResponseNormalization


def reference(a, size=5, k=1.0, alpha=1e-3, beta=0.75):
    """The sum over a square that stops at the map's edges, in float64."""
    a = np.asarray(a, np.float64)
    b = np.empty_like(a)
    height, width = a.shape[1:3]
    reach = size // 2
    for y in range(height):
        for x in range(width):
            total = np.zeros_like(a[:, 0, 0])
            for v in range(max(0, y - reach), min(height - 1, y + reach) + 1):
                for u in range(max(0, x - reach), min(width - 1, x + reach) + 1):
                    total += a[:, v, u] ** 2
            b[:, y, x] = a[:, y, x] / (k + alpha / size**2 * total) ** beta
    return b


SETTINGS = [
    {"alpha": 1.0},
    {"alpha": 1.0, "size": 3, "k": 2.0},
    {"alpha": 1.0, "size": 1, "beta": 0.5},
    {"alpha": 1.0, "size": 9, "beta": 1.0},  # wider than the map
]


def responses(*shape):
    return np.random.default_rng(0).normal(0, 10, shape).astype(np.float32)


@pytest.mark.parametrize("settings", [{}, *SETTINGS], ids=str)
def test_matches_the_formula(settings):
    x = responses(2, 7, 6, 3)
    actual = WithinMapResponseNormalization(**settings)(x)
    np.testing.assert_allclose(actual, reference(x, **settings), rtol=1e-5)


def test_corner_edge_and_middle_by_hand():
    """Ones among ones: 9, 15 and 25 of them in reach, always a 25th of the sum."""
    layer = WithinMapResponseNormalization(size=5, k=1.0, alpha=1.0, beta=1.0)
    y = layer(np.ones((1, 8, 8, 1), np.float32))[0, :, :, 0]
    expected = 1 / (1 + np.array([9, 15, 25]) / 25)
    np.testing.assert_allclose([y[0, 0], y[0, 4], y[4, 4]], expected, rtol=1e-6)
    np.testing.assert_allclose([y[7, 7], y[4, 7], y[3, 3]], expected, rtol=1e-6)


def test_maps_do_not_touch_each_other():
    x = responses(1, 5, 5, 2)
    louder = x * np.float32([1, 100])
    layer = WithinMapResponseNormalization(alpha=1.0)
    np.testing.assert_array_equal(layer(x)[..., 0], layer(louder)[..., 0])


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_gradient(settings, numerical_gradient):
    x = responses(1, 4, 5, 1)
    weights = np.linspace(-1, 2, x.size, dtype=np.float32).reshape(x.shape)
    layer = WithinMapResponseNormalization(**settings)
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = tf.reduce_sum(layer(tensor) * weights)
    expected = numerical_gradient(lambda a: np.sum(reference(a, **settings) * weights), x)
    np.testing.assert_allclose(tape.gradient(loss, tensor), expected, rtol=1e-4, atol=1e-6)


def test_float64_is_kept():
    x = responses(1, 4, 4, 2).astype(np.float64)
    layer = WithinMapResponseNormalization(alpha=1.0, dtype="float64")
    np.testing.assert_allclose(layer(x), reference(x, alpha=1.0), rtol=1e-13)
