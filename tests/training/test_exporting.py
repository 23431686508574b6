"""Whether what a run has exported is its newest state."""

import json

import pytest

from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.exporting import exported_step


@pytest.fixture
def directory(tmp_path):
    return ModelDirectory(tmp_path)


def write_card(directory, version, step):
    assets = directory.saved_model / version / "assets"
    assets.mkdir(parents=True)
    (assets / "model_card.json").write_text(json.dumps({"step": step}))


def test_there_is_none_before_the_first(directory):
    assert exported_step(directory) is None
    (directory.saved_model / ".writing-1" / "variables").mkdir(parents=True)
    assert exported_step(directory) is None


def test_it_is_that_of_the_highest_version(directory):
    for version, step in (("2", 20), ("10", 100), ("9", 90), (".writing-x", 500)):
        write_card(directory, version, step)
    assert exported_step(directory) == 100
