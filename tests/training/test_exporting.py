"""Which states of itself a run has exported."""

import json

import pytest

from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.exporting import exported_steps


@pytest.fixture
def directory(tmp_path):
    return ModelDirectory(tmp_path)


def write_metadata(directory, version, step):
    assets = directory.saved_model / version / "assets"
    assets.mkdir(parents=True)
    (assets / "model_card.json").write_text(json.dumps({"step": step}))


def test_there_is_none_before_the_first(directory):
    assert exported_steps(directory) == set()
    write_metadata(directory, ".writing-1", 7)  # killed before it was whole
    assert exported_steps(directory) == set()


def test_they_are_those_of_all_versions(directory):
    for version, step in (("2", 20), ("10", 100), (".writing-x", 500)):
        write_metadata(directory, version, step)
    assert exported_steps(directory) == {20, 100}
