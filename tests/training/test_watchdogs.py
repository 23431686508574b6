import math

import pytest

from alexnet_tf.training import watchdogs
from alexnet_tf.training.watchdogs import Watchdogs


def sums(loss=0.0, waiting=0.0, steps=1):
    return {"loss": loss * steps, "waiting": waiting, "steps": steps}


def test_a_loss_that_stays_at_guessing_is_remarked_on_once():
    dogs = Watchdogs(classes=10, stuck_after=250)
    said = {}
    for step in range(1, 601):
        for remark in dogs.observe(step, sums(loss=math.log(10))):
            said[step] = remark
    assert list(said) == [300]  # the first look at a hundred steps after 250
    assert said[300].startswith("The loss is 2.303 after 300 steps")


@pytest.mark.parametrize("loss, stuck_after", [(2.2, 100), (50.0, 100), (math.log(10), 0)])
def test_a_loss_that_falls_or_explodes_or_is_not_watched_is_not(loss, stuck_after):
    dogs = Watchdogs(classes=10, stuck_after=stuck_after)
    assert not [r for step in range(50) for r in dogs.observe(20 * step, sums(loss, steps=20))]


def test_a_device_that_waits_is_remarked_on_once(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(watchdogs.time, "monotonic", lambda: clock[0])
    dogs = Watchdogs(classes=10, stuck_after=0)
    said = []
    for second in range(100):
        clock[0] = float(second)
        # The first batch took long, which is as it should be; from then on half the time goes.
        said += dogs.observe(second, sums(waiting=60.0 if second == 0 else 0.5))
    (remark,) = said
    assert remark.startswith("50% of the last 30 s went by waiting for images. Try --cache")
