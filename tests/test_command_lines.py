"""What a user meets before anything runs: help, one line for each mistake, the environment."""

import os
import subprocess
import sys
import time

import pytest

from tests import commands
from tests.commands import ROOT

ENTRY_POINTS = ("train", "evaluate", "predict", "features", "export", "serve")
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
_NO_SUCH = "/no/such/place"


def run(name, *arguments):
    return commands.run(f"alexnet_tf.{name}", *arguments)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_help_answers_at_once_and_lists_the_flags(name):
    seconds = []
    for _ in range(2):  # the first may have to compile byte code
        started = time.monotonic()
        done = run(name, "--help")
        seconds.append(time.monotonic() - started)
    assert done.returncode == 0
    assert ("--saved_model" if name == "serve" else "--model_dir") in done.stdout
    assert f"alexnet_tf.{name}" in done.stdout
    assert min(seconds) < 2


@pytest.mark.parametrize(
    "name, arguments, complaint",
    [
        ("train", ["--variant=vgg"], "--variant=vgg: value should be one of <paper|"),
        ("train", ["--dataset=cifar01", "--data_dir=."], "did you mean cifar10"),
        ("train", ["--dataset=CIFAR-10", "--data_dir=."], "did you mean cifar10"),
        ("train", ["--momentum=1"], "momentum"),
        ("train", ["--epochs=nan"], "must be a number"),
        ("train", ["--validate_every=inf"], "validate_every"),
        ("train", ["--seed=5000000000"], "seed"),
        ("train", ["--dataset=folder", f"--data_dir={_NO_SUCH}"], f"Received: {_NO_SUCH}"),
        ("train", ["--batch_size=0"], "positive integer"),
        ("train", ["--batch_size=9", "--strategy=mirrored", "--logical_cpus=2"], "2 replicas"),
        ("train", ["--model_dir=setup.py/run"], "Cannot write to setup.py/run"),
        ("train", ["--learning_rate=fast"], "learning_rate"),
        ("train", ["--augment=blur"], "crop, flip, pca_noise, resized_crop"),
        ("train", ["--decay_epochs=often"], "list of numbers"),
        ("train", ["--no_such_flag"], "no_such_flag"),
        ("train", [f"--flagfile={_NO_SUCH}"], _NO_SUCH),
        ("train", ["surplus"], "flags only. Received: surplus"),
        ("evaluate", [f"--model_dir={_NO_SUCH}"], f"Received: {_NO_SUCH}"),
        ("evaluate", [], "--model_dir"),
        ("evaluate", ["--model_dir=.", f"--json={_NO_SUCH}"], "--json to be a file"),
        ("predict", [f"--model_dir={_NO_SUCH}", "x.jpg"], f"Received: {_NO_SUCH}"),
        ("predict", ["--model_dir=."], "Received: none"),
        ("export", [f"--model_dir={_NO_SUCH}"], f"Received: {_NO_SUCH}"),
        ("export", ["--model_dir=.", f"--version={2**63}"], "version"),
        ("serve", ["--saved_model=.", "--name=a/b"], "must be letters, digits"),
        ("serve", ["--saved_model=gs://bucket/model"], "--saved_model to be a path on this mach"),
        ("doctor", ["--data_dir=hdfs://host/data"], "--data_dir to be a path on this machine"),
        ("figures", ["--model_dir=.", "--compare=.,s3://bucket"], "--compare to be a path"),
        ("evaluate", ["--model_dir=~nobody-here"], "--model_dir to begin with ~"),
    ],
)
def test_mistakes_get_one_line_and_a_nonzero_exit(name, arguments, complaint):
    done = run(name, *arguments)
    assert done.returncode not in (0, None)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert complaint in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("told, kept", [(None, "1"), ("0", "0")])
def test_fast_convolutions_on_every_cpu_unless_told_otherwise(told, kept):
    environment = {key: value for key, value in os.environ.items() if key != _ONEDNN}
    code = f"""
import os, sys
sys.argv = ["-c"]
from alexnet_tf import app
app.run(lambda argv: print(os.environ["{_ONEDNN}"], "tensorflow" in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env=environment if told is None else {**environment, _ONEDNN: told},
    )  # fmt: skip
    assert done.stdout == f"{kept} True\n", done.stderr
