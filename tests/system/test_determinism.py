"""Determinism that was switched on outside of a run."""

import os
import subprocess
import sys

import pytest

from alexnet_tf.system.environment import check_determinism_variable
from alexnet_tf.system.errors import UserError
from tests import commands
from tests.commands import ROOT
from tests.folders import write_folder


@pytest.mark.parametrize("value", ["yes", "2", "on "])
def test_a_value_with_which_tensorflow_would_abort_is_refused(monkeypatch, value):
    monkeypatch.setenv("TF_DETERMINISTIC_OPS", value)
    with pytest.raises(UserError, match="TF_DETERMINISTIC_OPS to be 0 or 1. Received"):
        check_determinism_variable()


@pytest.mark.parametrize("value", ["", "0", "True"])
def test_other_values_are_fit_for_tensorflow(monkeypatch, value):
    monkeypatch.setenv("TF_DETERMINISTIC_OPS", value)
    check_determinism_variable()
    assert os.environ.get("TF_DETERMINISTIC_OPS", "") == value
    assert value or "TF_DETERMINISTIC_OPS" not in os.environ


def test_the_program_may_switch_it_on():
    code = (
        "import tensorflow as tf\nfrom alexnet_tf.system.determinism import is_enabled\n"
        "before = is_enabled(); tf.config.experimental.enable_op_determinism()\n"
        "print(before, is_enabled(), tf.function(is_enabled)().numpy())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False True True\n", done.stderr


@pytest.mark.slow
def test_the_environment_may_switch_it_on(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_DETERMINISTIC_OPS", "1")
    folder, flags = write_folder(tmp_path / "images"), ("--steps=1", "--batch_size=8")
    done = commands.run(
        "alexnet_tf.train", "--dataset=folder", f"--data_dir={folder}", *flags, "--noexport",
        f"--model_dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
