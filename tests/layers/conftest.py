import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture
def numerical_gradient():
    """Central differences, for functions in float64."""

    def gradient(function, x, step=1e-5):
        slopes = np.empty(x.shape)
        for index in np.ndindex(x.shape):
            up, down = np.array(x, np.float64), np.array(x, np.float64)
            up[index] += step
            down[index] -= step
            slopes[index] = (function(up) - function(down)) / (2 * step)
        return slopes

    return gradient


@pytest.fixture
def output_and_gradient():
    """Y, and the gradient of the sum of its squares."""

    def both(function, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
            loss = tf.reduce_sum(tf.square(y))
        return y, tape.gradient(loss, x)

    return both
