"""Rates of given steps, worked out by hand."""

import pytest

from alexnet_tf.flags import read_flagfile
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.checkpoints import RunState
from alexnet_tf.training.options import Options
from alexnet_tf.training.timetable import Timetable, parse_layer_rates
from tests.commands import ROOT

IMAGENET = 1_281_167  # images, ILSVRC-2012


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)  # where flagfiles look for each other


def table(name):
    options = read_flagfile(f"configs/{name}.flags")
    return Timetable(options, get_variant(options.variant), IMAGENET)


def rates(timetable, epoch, state=None):
    """Of the first step after so many epochs: of weights, and multipliers."""
    step = -int(-epoch * timetable.steps_per_epoch // 1)
    found = timetable.rates(step, state or RunState())
    return found.rate, found.multipliers


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
def test_the_original_codes_rates(epoch, rate, biases, layers):
    weights, multipliers = rates(table("code2012"), epoch)
    assert weights == pytest.approx(rate)
    assert weights * multipliers.pop("bias$") == pytest.approx(biases)
    assert multipliers == layers


def test_caffes_rates_drop_every_hundred_thousand_steps():
    timetable, state = table("caffe"), RunState()
    assert timetable.total_steps == 450_000
    for drops in range(1, 5):
        step = 100_000 * drops
        before, after = (timetable.rates(s, state) for s in (step - 1, step))
        assert before.rate == pytest.approx(0.01 * 0.1 ** (drops - 1))
        assert after.rate == pytest.approx(0.01 * 0.1**drops)
        assert after.multipliers == {"bias$": 2.0}


def test_torchvisions_rates():
    timetable = table("one_weird_trick")
    found = [rates(timetable, epoch)[0] for epoch in (0, 29.9, 30, 60)]
    assert found == pytest.approx([0.01, 0.01, 0.001, 0.0001])


def test_the_papers_rate_waits_for_validation():
    timetable, state = table("paper"), RunState()
    assert rates(timetable, 80, state)[0] == 0.01
    for _ in range(4):  # a best one, and three that are no better
        timetable.schedule.observe(state.plateau, 0.5)
    assert rates(timetable, 80, state)[0] == pytest.approx(0.001)


def test_the_last_multiplier_that_has_begun_counts():
    options = Options(layer_rates=("conv1:2:0.5", "conv1:1:0.1"), batch_size=10)
    timetable = Timetable(options, get_variant("tiny"), 100)
    found = [
        timetable.rates(step, RunState()).multipliers.get(r"\bconv1[ab]?/") for step in (9, 10, 20)
    ]
    assert found == [None, 0.1, 0.5]


def test_a_halved_rate_is_halved_for_all():
    timetable = Timetable(Options(bias_rate=2.0), get_variant("tiny"), 1000)
    state = RunState()
    state.halvings = 2
    found = timetable.rates(0, state)
    assert (found.rate, found.multipliers) == (0.0025, {"bias$": 2.0})


@pytest.mark.parametrize("item", ["conv1", "conv1:1", "conv1:x:0", "conv1/gamma:1:0", "conv1:1:-1"])
def test_what_is_no_rate_of_a_layer_is_refused(item):
    with pytest.raises(UserError, match="LAYER:EPOCH:MULTIPLIER"):
        parse_layer_rates((item,), get_variant("tiny"))


@pytest.mark.parametrize(
    ("images", "batch_size", "step", "epoch"),
    [(50_000, 96, 15_625, 30), (50_000, 48, 15_625, 15), (50_000, 192, 15_625, 60)],
)
def test_an_epoch_ends_with_its_last_step(images, batch_size, step, epoch):
    """Quotients of quotients fall short of these whole numbers by a rounding error."""
    options = Options(batch_size=batch_size, decay_epochs=(float(epoch),))
    timetable = Timetable(options, get_variant("tiny"), images)
    assert timetable.epoch(step) == epoch
    found = [timetable.rates(number, RunState()).rate for number in (step - 1, step)]
    assert found == pytest.approx([0.01, 0.001])
