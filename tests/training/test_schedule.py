"""Learning rates of given steps, computed by hand."""

import math

import pytest

from alexnet_tf.flags import read_flagfile
from alexnet_tf.training.checkpoints import TrainState
from alexnet_tf.training.options import Options
from alexnet_tf.training.schedule import AtEpochs, OnPlateau, PlateauState, TrainSchedule
from tests.commands import ROOT

IMAGENET = 1_281_167  # images, ILSVRC-2012


@pytest.mark.parametrize(
    "epoch, expected",
    [(0, 1), (22.99, 1), (23, 0.1), (50.9, 0.1), (51, 0.01), (78.5, 0.001), (90, 0.001)],
)
def test_the_rate_drops_after_each_epoch(epoch, expected):
    schedule = AtEpochs((23, 51, 78.5))
    assert schedule.rate_factor(PlateauState(), epoch) == pytest.approx(expected)


def test_a_rate_at_epochs_depends_only_on_the_epoch():
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
def test_the_rate_on_a_plateau(schedule, errors, expected):
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


def schedule_of(name):
    return TrainSchedule(read_flagfile(ROOT / "configs" / f"{name}.flags"), IMAGENET)


def rates(schedule, epoch, state=None):
    """Learning rate and multipliers of the first step after so many epochs."""
    step = -int(-epoch * IMAGENET / schedule.options.batch_size // 1)
    found = schedule.learning_rates(step, state or TrainState())
    return found.learning_rate, found.multipliers


@pytest.mark.parametrize(
    ("epoch", "rate", "biases", "layers"),
    [
        # Run 145's log counts epochs from 1: its "epoch 23" follows 22 complete passes.
        # epsW .01, .001, .0001, .00001; epsB .02, then .002.
        (0, 0.01, 0.02, {}),
        (21.9, 0.01, 0.02, {}),
        (22, 0.001, 0.002, {}),
        (50, 0.0001, 0.002, {}),
        (66.9, 0.0001, 0.002, {}),
        (67, 0.0001, 0.002, {r"\bconv1[ab]?/kernel": 0.1}),  # that is 1e-5
        (71, 0.0001, 0.002, {r"\bconv1[ab]?/kernel": 0.1, r"\bconv1[ab]?/": 0.0}),
        (77, 0.00001, 0.002, {r"\bconv1[ab]?/kernel": 0.1, r"\bconv1[ab]?/": 0.0}),
    ],
)
def test_the_rates_of_the_original_code(epoch, rate, biases, layers):
    weights, multipliers = rates(schedule_of("code2012"), epoch)
    assert weights == pytest.approx(rate)
    assert weights * multipliers.pop("bias$") == pytest.approx(biases)
    assert multipliers == layers


def test_the_rates_of_caffe_drop_every_hundred_thousand_steps():
    schedule, state = schedule_of("caffe"), TrainState()
    assert schedule.total_steps == 450_000
    for drops in range(1, 5):
        step = 100_000 * drops
        before, after = (schedule.learning_rates(s, state) for s in (step - 1, step))
        assert before.learning_rate == pytest.approx(0.01 * 0.1 ** (drops - 1))
        assert after.learning_rate == pytest.approx(0.01 * 0.1**drops)
        assert after.multipliers == {"bias$": 2.0}


def test_the_rates_of_torchvision():
    schedule = schedule_of("one_weird_trick")
    found = [rates(schedule, epoch)[0] for epoch in (0, 29.9, 30, 60)]
    assert found == pytest.approx([0.01, 0.01, 0.001, 0.0001])


def test_the_rate_of_the_paper_waits_for_validation():
    schedule, state = schedule_of("paper"), TrainState()
    assert rates(schedule, 80, state)[0] == 0.01
    for _ in range(4):  # a best one, and three that are no better
        schedule.observe(state, 0.5)
    assert rates(schedule, 80, state)[0] == pytest.approx(0.001)


def test_the_latest_multiplier_counts():
    options = Options(layer_rates=("conv1:2:0.5", "conv1:1:0.1"), batch_size=10)
    schedule = TrainSchedule(options, 100)
    found = [
        schedule.learning_rates(step, TrainState()).multipliers.get(r"\bconv1[ab]?/")
        for step in (9, 10, 20)
    ]
    assert found == [None, 0.1, 0.5]


def test_halving_applies_to_all_variables():
    schedule = TrainSchedule(Options(bias_rate=2.0), 1000)
    state = TrainState()
    state.lr_halvings = 2
    found = schedule.learning_rates(0, state)
    assert (found.learning_rate, found.multipliers) == (0.0025, {"bias$": 2.0})


@pytest.mark.parametrize(
    ("images", "batch_size", "step", "epoch"),
    [(50_000, 96, 15_625, 30), (50_000, 48, 15_625, 15), (50_000, 192, 15_625, 60)],
)
def test_an_epoch_ends_with_its_last_step(images, batch_size, step, epoch):
    """Quotients of quotients fall short of these whole numbers by a rounding error."""
    options = Options(batch_size=batch_size, epochs=90.0, decay_epochs=(float(epoch),))
    schedule = TrainSchedule(options, images)
    assert schedule.epoch(step) == epoch
    found = [
        schedule.learning_rates(number, TrainState()).learning_rate for number in (step - 1, step)
    ]
    assert found == pytest.approx([0.01, 0.001])
