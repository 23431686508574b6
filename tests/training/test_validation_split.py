"""A run keeps the split that validates, and evaluation takes the same one."""

import dataclasses
import json
import os

import numpy as np
import pytest

from alexnet_tf.data.splits import EARLIER, HELD_OUT
from alexnet_tf.evaluation.published import published
from alexnet_tf.system.errors import UserError
from alexnet_tf.training import run
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.metadata import RunMetadata
from tests.tfds_files import write_tfds
from tests.training.short_runs import SHORT

SYNSETS, FIFTY = tuple(f"n{number:08d}" for number in range(1000)), np.full(1000, 50)
METADATA = RunMetadata("tiny", "relu", ("a",), "cifar10", "data", validation_split="test")


@pytest.mark.parametrize(
    ("dataset", "data_dir", "found"),
    [
        (None, None, ("cifar10", "data", "test")),
        (None, "moved", ("cifar10", "moved", "test")),
        ("cifar10", None, ("cifar10", None, "test")),
        ("cifar100", None, ("cifar100", None, None)),
    ],
)
def test_the_runs_own_dataset_is_measured_on_its_validation_split(dataset, data_dir, found):
    assert METADATA.find_dataset(dataset, data_dir) == found


def test_what_is_held_out_of_one_folder_is_not_held_out_of_another():
    here = os.path.abspath("photos")
    run = dataclasses.replace(METADATA, dataset="folder", data_dir=here, validation_split=HELD_OUT)
    assert run.find_dataset(None, None) == ("folder", here, HELD_OUT)
    assert run.find_dataset(None, "photos") == ("folder", "photos", HELD_OUT)
    assert run.find_dataset("folder", "others") == ("folder", "others", None)


def test_a_model_with_another_activation_has_another_name():
    """The errors published for a variant are not comparable with its."""
    assert METADATA.model_name() == "tiny"
    changed = dataclasses.replace(METADATA, variant="paper", activation="tanh")
    assert changed.model_name() == "paper (tanh)"
    assert published(changed.model_name(), SYNSETS, FIFTY) == ()
    assert published("paper", SYNSETS, FIFTY)


def test_a_run_that_does_not_say_its_split_is_of_an_earlier_version(tmp_path):
    directory = ModelDirectory(tmp_path)
    assert directory.validation_split() is None
    values = dataclasses.asdict(METADATA)
    del values["validation_split"]
    directory.metadata_path.write_text(json.dumps(values))
    assert directory.validation_split() is None  # nothing was saved: the run begins again
    assert directory.read_metadata().validation_split == EARLIER


@pytest.mark.slow
def test_a_run_keeps_its_validation_split(tmp_path, capsys):
    labels = [0, 1, 2] * 10
    data = write_tfds(tmp_path / "data", train=labels, val=labels[:12], test=labels[:15])
    options = dataclasses.replace(
        SHORT, dataset=data, variant="tiny32", steps=1, model_dir=str(tmp_path / "run")
    )
    assert run.train(options).evaluation.examples == 12
    assert "12 validation images (split val), 3 classes; not used: test" in capsys.readouterr().out
    directory = ModelDirectory(tmp_path / "run")
    assert directory.read_metadata().validation_split == "val"
    changed = dataclasses.replace(options, validation_split="test")
    with pytest.raises(UserError, match=r"--validation_split val, which cannot .*_split test\."):
        run.train(changed)
    # As an earlier version would have begun it: `val` was passed over.
    values = json.loads(directory.metadata_path.read_text())
    for record in (values, values["options"]):
        del record["validation_split"]
    directory.metadata_path.write_text(json.dumps(values))
    assert run.train(dataclasses.replace(options, steps=2)).evaluation.examples == 15
    assert "begun by an earlier version: split test goes on" in capsys.readouterr().out
    assert directory.read_metadata().validation_split == "test"
    assert run.train(dataclasses.replace(options, steps=3)).evaluation.examples == 15
    assert "earlier version" not in capsys.readouterr().out
