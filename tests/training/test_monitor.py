"""Non-finite losses are named; warnings come once."""

import math

import pytest

from alexnet_tf.models.variants import get_variant
from alexnet_tf.training.monitor import NonFiniteLoss, TrainingMonitor, check_finite

LAYERS = ["conv1", "conv1", "fc6", "fc6", "fc8", "fc8"]  # a kernel and a bias each


def problem(loss=2.0, gradients=(1.0,) * 6, weights=(1.0,) * 6, previous_loss=2.5):
    metrics = {"loss": loss, "gradient_norms": gradients, "weight_norms": weights}
    with pytest.raises(NonFiniteLoss) as raised:
        check_finite(1234, 0.01, metrics, LAYERS, previous_loss)
    return str(raised.value)


def test_gradients_are_blamed_on_the_layer_where_they_began():
    """Backpropagation goes from fc8 to conv1 and spreads what is not finite."""
    weights, gradients = (math.nan,) * 4 + (1.0,) * 2, (math.nan,) * 3 + (1.0,) * 3
    assert problem(gradients=gradients, weights=weights) == (
        "the weights of conv1, fc6 are not finite after step 1,234, at a learning rate of 0.01; "
        "gradients are not finite from fc6 back; the loss before was 2.500"
    )


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_the_first_step_has_no_loss_before(loss):
    expected = "the loss of step 1,234 is not finite, at a learning rate of 0.01"
    assert problem(loss=loss, previous_loss=None) == expected


def test_a_step_that_float16_skips_is_accepted():
    metrics = {"loss": 2.0, "gradient_norms": (math.inf,) * 6, "weight_norms": (1.0,) * 6}
    check_finite(1234, 0.01, metrics, LAYERS, 2.5)


def metrics(loss=0.0, waiting=0.0, steps=1):
    return {"loss": loss * steps, "waiting": waiting, "steps": steps}


def test_a_loss_that_stays_at_chance_level_is_warned_of_once():
    monitor = TrainingMonitor(classes=10, stuck_after=250)
    warnings = {}
    for step in range(1, 601):
        for warning in monitor.observe(step, metrics(loss=math.log(10))):
            warnings[step] = warning
    assert list(warnings) == [300]  # the first comparison, every hundred steps, after step 250
    assert "still at chance level (2.303) after 300 steps" in warnings[300]
    # The paper and Caffe's users disagree about biases of 1: both are said.
    assert "another --seed" in warnings[300] and "biases to 1" in warnings[300]
    assert "0.1, as in --variant=caffe" in warnings[300]
    assert get_variant("caffe").convs[1].bias == 0.1


@pytest.mark.parametrize("loss, stuck_after", [(2.2, 100), (50.0, 100), (math.log(10), 0)])
def test_no_warning_for_a_loss_that_falls_or_explodes_or_is_not_watched(loss, stuck_after):
    monitor = TrainingMonitor(classes=10, stuck_after=stuck_after)
    assert not [w for i in range(50) for w in monitor.observe(20 * i, metrics(loss, steps=20))]


def test_a_device_that_waits_for_images_is_warned_of_once():
    now = [0.0]
    monitor = TrainingMonitor(classes=10, stuck_after=0, clock=lambda: now[0])
    warnings = []
    for second in range(100):
        now[0] = float(second)
        # The first batch may take long; from then on half the time is lost.
        warnings += monitor.observe(second, metrics(waiting=60.0 if second == 0 else 0.5))
    (warning,) = warnings
    assert "waited for images in 50% of the last 30 s. Try --cache" in warning
