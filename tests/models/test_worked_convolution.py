"""The slides' worked convolution: a curve detector fires on a curve and not elsewhere."""

import numpy as np
import pytest

from alexnet_tf.layers import GroupedConv2D

CURVE_DETECTOR = [
    [0, 0, 0, 0, 0, 30, 0],
    [0, 0, 0, 0, 30, 0, 0],
    [0, 0, 0, 30, 0, 0, 0],
    [0, 0, 0, 30, 0, 0, 0],
    [0, 0, 0, 30, 0, 0, 0],
    [0, 0, 0, 30, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0],
]
CURVE = [
    [0, 0, 0, 0, 0, 0, 30],
    [0, 0, 0, 0, 50, 50, 50],
    [0, 0, 0, 20, 50, 0, 0],
    [0, 0, 0, 50, 50, 0, 0],
    [0, 0, 0, 50, 50, 0, 0],
    [0, 0, 0, 50, 50, 0, 0],
    [0, 0, 0, 50, 50, 0, 0],
]
NO_CURVE = [
    [0, 0, 0, 0, 0, 0, 0],
    [0, 40, 0, 0, 0, 0, 0],
    [40, 0, 40, 0, 0, 0, 0],
    [40, 20, 0, 0, 0, 0, 0],
    [0, 50, 0, 0, 0, 0, 0],
    [0, 0, 50, 0, 0, 0, 0],
    [25, 25, 0, 50, 0, 0, 0],
]


@pytest.mark.parametrize("field, expected", [(CURVE, 6600), (NO_CURVE, 0)])
def test_response_of_the_curve_detector(field, expected):
    layer = GroupedConv2D(filters=1, kernel_size=7, groups=1, padding="valid")
    layer.build((None, 7, 7, 1))
    layer.set_weights([np.reshape(CURVE_DETECTOR, (7, 7, 1, 1)), np.zeros(1)])
    response = layer(np.reshape(np.float32(field), (1, 7, 7, 1)))
    assert response.shape == (1, 1, 1, 1)
    assert response[0, 0, 0, 0] == expected
