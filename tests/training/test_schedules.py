import math

import pytest

from alexnet_tf.training.schedules import AtEpochs, OnPlateau, PlateauState


@pytest.mark.parametrize(
    "epoch, expected",
    [(0, 1), (22.99, 1), (23, 0.1), (50.9, 0.1), (51, 0.01), (78.5, 0.001), (90, 0.001)],
)
def test_rate_drops_after_each_epoch(epoch, expected):
    schedule = AtEpochs((23, 51, 78.5))
    assert schedule.rate_factor(PlateauState(), epoch) == pytest.approx(expected)


def test_rate_at_epochs_heeds_only_the_epoch():
    schedule, state = AtEpochs((1, 2), factor=0.5), PlateauState()
    assert not any(schedule.observe(state, error) for error in [0.5] * 20)
    assert state == PlateauState()
    assert schedule.rate_factor(PlateauState(reductions=3), 2) == 0.25
    assert AtEpochs().rate_factor(state, 1000) == 1


@pytest.mark.parametrize(
    "schedule, errors, expected",
    [
        # A new best starts the wait anew; an equal error is not a new best.
        (OnPlateau(2), [0.9, 0.8, 0.8, 0.7, 0.75, 0.7], [1, 1, 1, 1, 1, 0.1]),
        # The wait starts anew after a reduction, the best error stays.
        (OnPlateau(2), [0.5, 0.6, 0.6, 0.55, 0.55], [1, 1, 0.1, 0.1, 0.01]),
        (OnPlateau(1), [0.5, 0.6, 0.4, 0.6, 0.4], [1, 0.1, 0.1, 0.01, 0.001]),
        (OnPlateau(1, factor=0.5), [0.5, 0.5, 0.5], [1, 0.5, 0.25]),
        # Not a number is no improvement.
        (OnPlateau(1), [math.nan, 0.5, math.nan], [0.1, 0.1, 0.01]),
    ],
    ids=str,
)
def test_rate_on_a_plateau(schedule, errors, expected):
    state = PlateauState()
    for error, factor in zip(errors, expected, strict=True):
        assert schedule.observe(state, error) is False
        assert schedule.rate_factor(state, epoch=1000) == pytest.approx(factor)


@pytest.mark.parametrize("patience, reductions", [(1, 3), (2, 3), (3, 1), (2, 0)])
def test_the_plateau_after_the_last_reduction_ends_training(patience, reductions):
    schedule, state = OnPlateau(patience, reductions), PlateauState()
    plateaus = patience * (reductions + 1)
    stops = [schedule.observe(state, error) for error in [0.5] + [0.5] * plateaus]
    assert stops == [False] * plateaus + [True]
    assert schedule.rate_factor(state, 0) == pytest.approx(0.1**reductions)


def test_defaults_are_the_papers():
    assert (OnPlateau(1).reductions, OnPlateau(1).factor, AtEpochs().factor) == (3, 0.1, 0.1)
