"""Overlapping pooling (paper §3.4) as the models have it."""

import numpy as np
import pytest

from alexnet_tf.applications import AlexNet


@pytest.fixture(scope="module")
def pool():
    return AlexNet("tiny", include_top=False).get_layer("pool1")


@pytest.mark.parametrize("size, pooled", [(55, 27), (27, 13), (13, 6)])
def test_maximum_of_windows_of_3_every_2_pixels(pool, size, pooled):
    x = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    expected = np.empty((2, pooled, pooled, 3), np.float32)
    for row in range(pooled):
        for column in range(pooled):
            window = x[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            expected[:, row, column] = window.max(axis=(1, 2))
    np.testing.assert_array_equal(pool(x), expected)


def test_windows_overlap(pool):
    """One bright pixel that four windows share is the maximum of all four."""
    x = np.zeros((1, 5, 5, 1), np.float32)
    x[0, 2, 2, 0] = 1
    np.testing.assert_array_equal(pool(x)[0, :, :, 0], np.ones((2, 2)))
