"""Learning rates of given steps, computed by hand."""

import math
import re

import keras
import pytest

from alexnet_tf.flags import read_flagfile
from alexnet_tf.system.errors import UserError
from alexnet_tf.training import schedule as schedule_module
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


def lengths(examples=300, **options):
    """A schedule of batches of 32: 300 images are 9.375 of them."""
    return TrainSchedule(Options(**{"batch_size": 32, "epochs": 4.0, **options}), examples)


@pytest.mark.parametrize(
    ("options", "validations", "images"),
    [
        # The first steps after which 300, 600, 900 and 1,200 images are seen.
        ({"validate_every": 1.0}, [10, 19, 29, 38], 1200),
        ({"validate_every": 0.5, "epochs": 2.0}, [5, 10, 15, 19], 600),
        ({"validate_every": 3.0}, [29, 38], 1200),
        ({"validate_every": 1.0, "epochs": 1.5}, [10, 15], 450),
        ({"validate_every": 0.0, "epochs": 0.25}, [1, 2, 3], 75),
        ({"validate_every": 1.0, "examples": 320}, [10, 20, 30, 40], 1280),  # 32 divides 320
        ({"validate_every": 0.1, "epochs": 0.3, "examples": 3200}, [10, 20, 30], 960),
        ({"validate_every": 1.0, "steps": 38}, [10, 19, 29, 38], 1216),  # whole batches
        ({"validate_every": 1.0, "steps": 39}, [10, 19, 29, 38, 39], 1248),
    ],
    ids=str,
)
def test_n_epochs_are_n_epochs(options, validations, images):
    schedule = lengths(**options)
    steps = range(1, schedule.total_steps + 1)
    assert [step for step in steps if schedule.validation_due(step)] == validations
    assert schedule.total_steps == validations[-1]
    assert schedule.images(schedule.total_steps) == schedule.total_images == images
    assert (schedule.end is None) == (images % 32 == 0)


def test_the_rate_drops_where_the_epoch_ends_and_is_validated():
    schedule = lengths(validate_every=1.0, decay_epochs=(1.0, 2.0))
    found = [schedule.learning_rates(step, TrainState()).learning_rate for step in range(38)]
    assert found == pytest.approx([0.01] * 10 + [0.001] * 9 + [0.0001] * 19)


def test_a_longer_run_goes_on_with_the_images_that_were_cut():
    """4 epochs end within the 38th batch, of which 16 images are the fifth epoch's first."""
    schedule = lengths(epochs=6.0, validate_every=1.0)
    schedule.cut = lengths().cut_after(38)
    assert schedule.cut == 16
    assert schedule.images(38) == 1200 and schedule.epoch(38) == 4
    # 1,184 + 32 images a step: 1,500 are seen after 48 steps, 1,800 after 57.
    assert [step for step in range(39, 58) if schedule.validation_due(step)] == [48, 57]
    assert schedule.total_steps == 57 and schedule.images(57) == 1800
    assert schedule.cut_after(57) == 57 * 32 - 1800


def factors(**options):
    schedule = lengths(examples=320, learning_rate=1.0, **options)
    steps = range(schedule.total_steps)
    return [schedule.learning_rates(step, TrainState()).learning_rate for step in steps]


def test_the_schedules_by_name():
    cosine = [(1 + math.cos(math.pi * step / 40)) / 2 for step in range(40)]
    assert factors(schedule="cosine") == pytest.approx(cosine)
    assert factors(schedule="constant", decay_epochs=(1.0,)) == [1.0] * 40
    step = {"decay_epochs": (3.0,)}
    assert factors(schedule="step", plateau_patience=1, **step) == factors(**step)
    assert factors(**step) == pytest.approx([1.0] * 30 + [0.1] * 10)


def test_a_plateau_by_name_waits_for_three_validations():
    schedule, state = lengths(schedule="plateau"), TrainState()
    found = []
    for _ in range(4):
        schedule.observe(state, 0.5)
        found.append(schedule.learning_rates(1, state).learning_rate)
    assert found == pytest.approx([0.01, 0.01, 0.01, 0.001])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step", "plateau"])
def test_the_rate_rises_from_step_to_step_before_any_schedule(schedule):
    """Half an epoch is five steps; a cosine begins after them."""
    found = factors(schedule=schedule, warmup_epochs=0.5)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[5] == 1
    if schedule == "cosine":
        assert found[22:24] == pytest.approx(
            [0.5 + math.cos(math.pi * s / 35) / 2 for s in (17, 18)]
        )


def test_a_schedule_of_the_callers():
    """The step is counted from 0; halvings and callbacks still multiply the rate."""
    asked = []

    def falling(step):
        asked.append(step)
        return 0.5**step

    schedule, state = TrainSchedule(Options(), 320, falling), TrainState()
    assert [schedule.learning_rates(step, state).learning_rate for step in (0, 1, 3)] == [
        1,
        0.5,
        0.125,
    ]
    state.lr_halvings, state.lr_factor = 1, 3.0
    assert schedule.learning_rates(3, state).learning_rate == 0.1875
    assert asked == [0, 1, 3]
    decayed = keras.optimizers.schedules.PolynomialDecay(0.1, 10, end_learning_rate=0.0)
    found = TrainSchedule(Options(), 320, decayed).learning_rates(5, TrainState())
    assert found.learning_rate == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("schedule", "options"), [(0.1, {}), (abs, {"warmup_epochs": 1.0}), (abs, {"schedule": "step"})]
)
def test_what_is_no_schedule_or_has_flags_beside_it_is_refused(schedule, options):
    with pytest.raises(UserError, match="Expected .*schedule"):
        TrainSchedule(Options(**options), 320, schedule)


def test_the_schedule_that_design_md_adds():
    text = (ROOT / "docs" / "design.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(@dataclasses.*?)```", text, re.DOTALL)
    (block,) = (block for block in blocks if "def rate_factor" in block)
    names = dict(vars(schedule_module))
    exec(block, names)
    polynomial, state = names["Polynomial"](4.0), PlateauState()
    found = [polynomial.rate_factor(state, epoch) for epoch in (0, 1, 2, 4, 5)]
    assert found == [1, 0.5625, 0.25, 0, 0]
    assert polynomial.observe(state, 0.5) is False and state == PlateauState()
