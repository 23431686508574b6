"""What is said of figures that are not finite."""

import math

import pytest

from alexnet_tf.training.divergence import diagnose

LAYERS = ["conv1", "conv1", "fc6", "fc6", "fc8", "fc8"]  # a kernel and a bias each


def said(loss=2.0, gradients=(1.0,) * 6, weights=(1.0,) * 6, before=2.5):
    sums = {"loss": loss, "gradient_norms": gradients, "weight_norms": weights}
    return diagnose(1234, 0.01, sums, LAYERS, before)


def test_a_gradient_is_blamed_on_the_layer_that_it_began_in():
    """Backpropagation goes from fc8 to conv1 and takes along what is not finite."""
    weights, gradients = (math.nan,) * 4 + (1.0,) * 2, (math.nan,) * 3 + (1.0,) * 3
    assert said(gradients=gradients, weights=weights) == (
        "the weights of conv1, fc6 are not finite after step 1,234, at a rate of 0.01; gradients "
        "are not finite from fc6 back; the loss before was 2.500"
    )


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_the_first_steps_loss_has_none_before(loss):
    expected = "the loss of step 1,234 is not finite, at a rate of 0.01"
    assert said(loss=loss, before=None) == expected


def test_a_step_that_float16_leaves_out_is_none():
    assert said(gradients=(math.inf,) * 6) is None
