"""Curves read back from what a real run wrote."""

import numpy as np
import pytest

from alexnet_tf.errors import UserError
from alexnet_tf.figures.curves import Run, draw_curves, read_run
from tests.figures.texts import find_faults


def test_a_run_is_read_back(model_dir):
    run = read_run(model_dir)
    assert run.name == "short"
    assert run.training[0].tolist() == [20, 40]  # a point every 20 steps
    assert run.validation[0].tolist() == [10, 20, 30, 40]  # every second epoch of 5 steps
    assert ((run.validation[1] >= 0) & (run.validation[1] <= 1)).all()
    np.testing.assert_allclose(run.rate[1], [0.005, 0.0005], rtol=1e-6)
    ((step, rate),) = run.rate_changes
    assert step == 40 and rate == pytest.approx(0.0005)


def make_run(name, rates):
    steps = np.arange(0, 3000, 100)
    errors = 0.9 * np.exp(-steps / 1000)
    return Run(name, (steps, errors), (steps[::5], errors[::5]), (steps, np.array(rates)))


def test_only_real_changes_of_rate_are_marked():
    rates = np.linspace(0.01, 0.009, 30)
    rates[10:] /= 10
    rates[20:] /= 2
    marked = make_run("one", rates).rate_changes
    assert [step for step, _ in marked] == [1000, 2000]


def test_words_of_several_runs_do_not_overlap():
    close = np.full(30, 0.01)
    for place in (20, 21, 22, 28, 29):
        close[place:] /= 10
    runs = [make_run(f"a run with a long name {i}", close) for i in range(4)]
    assert find_faults(draw_curves(runs)) == []


def test_a_directory_without_curves_is_said_to_be_so(tmp_path):
    with pytest.raises(UserError, match="Expected curves of a run"):
        read_run(tmp_path)
