"""Curves read back from what a real run wrote."""

import dataclasses
import pathlib
import shutil

import matplotlib as mpl
import numpy as np
import pytest

from alexnet_tf.figures.plots.curves import Run, distinguish, draw_curves, read_runs
from alexnet_tf.figures.registry import render
from alexnet_tf.figures.style import CYCLE, GREY, STYLE
from alexnet_tf.system.errors import UserError
from tests.figures.texts import find_faults


@pytest.mark.slow
def test_a_run_is_read_back(model_dir):
    (run,) = read_runs([model_dir, model_dir / "."])  # which is one run
    assert run.name == "short"
    assert run.training[0].tolist() == [20, 40]  # a point every 20 steps
    assert run.validation[0].tolist() == [10, 20, 30, 40]  # every second epoch of 5 steps
    assert ((run.validation[1] >= 0) & (run.validation[1] <= 1)).all()
    np.testing.assert_allclose(run.rate[1], [0.005, 0.0005], rtol=1e-6)
    ((step, rate),) = run.rate_changes
    assert step == 20 and rate == pytest.approx(0.0005)


def make_run(name, rates):
    steps = np.arange(0, 3000, 100)
    errors = 0.9 * np.exp(-steps / 1000)
    return Run(name, (steps, errors), (steps[::5], errors[::5]), (steps, np.array(rates)))


def test_only_real_changes_of_rate_are_marked():
    rates = np.linspace(0.01, 0.009, 30)
    rates[10:] /= 10
    rates[20:] /= 2
    marked = make_run("one", rates).rate_changes
    assert [step for step, _ in marked] == [900, 1900]  # the last that were made at the old ones


def test_labels_of_several_runs_do_not_overlap():
    close = np.full(30, 0.01)
    for place in (20, 21, 22, 28, 29):
        close[place:] /= 10
    runs = [make_run(f"a run with a long name {i}", close) for i in range(4)]
    with mpl.rc_context(STYLE):
        assert find_faults(draw_curves(runs)) == []


def test_a_directory_without_curves_is_an_error(tmp_path):
    with pytest.raises(UserError, match="There are no curves of a training run in"):
        read_runs([tmp_path])


def test_runs_of_one_name_are_told_apart():
    paths = [pathlib.Path(path) for path in ("/a/one/run", "/a/two/run", "/b/two/run")]
    assert distinguish(paths) == ["a/one/run", "a/two/run", "b/two/run"]
    assert distinguish(paths[:2]) == ["one/run", "two/run"]
    assert distinguish(paths[:1]) == ["run"]


def test_rate_changes_of_all_runs_are_marked_each_in_its_colour():
    steady, early, late = np.full(30, 0.01), np.full(30, 0.01), np.full(30, 0.01)
    early[6:] /= 10
    late[20:] /= 10
    both = np.minimum(early, 0.01)
    runs = [make_run(str(i), rates) for i, rates in enumerate((steady, early, late, both))]
    axes = draw_curves(runs).axes[0]
    dotted = {line.get_xdata()[0]: line.get_color() for line in axes.lines if line.get_ls() == ":"}
    assert dotted == {500: GREY, 1900: CYCLE[2]}  # two runs agree on the first
    assert [text.get_text() for text in axes.texts] == ["rate 0.001"] * 2


def test_more_runs_than_colours_are_refused():
    with pytest.raises(UserError, match="Expected 7 runs at most. Received: 8"):
        draw_curves([make_run(str(i), np.full(30, 0.01)) for i in range(8)])


@pytest.mark.slow
def test_a_run_without_validation_has_no_lowest_error(context, model_dir, tmp_path):
    shutil.copytree(model_dir / "tensorboard" / "train", tmp_path / "tensorboard" / "train")
    without = dataclasses.replace(context, run_dirs=(tmp_path,))
    (summary,) = render("training", without).numbers["runs"]
    assert summary["validation error, lowest"] is summary["validation error, last"] is None
    assert summary["training error, last"] > 0 and summary["steps"] == 40
    assert summary["changes of rate"] == "0.0005 after 20"
