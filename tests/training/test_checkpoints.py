"""Checkpoints on disk: complete or absent, whatever happens to the disk or the process."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.checkpoints import CheckpointStore, TrainState
from tests.commands import ROOT


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints")


def thing(value):
    return tf.train.Checkpoint(numbers=tf.Variable(np.full(1000, value, "f")))


def save(store, step, error=None, keep=3):
    evaluation = None if error is None else Evaluation(error, error / 4, 1.0, 80, 0, 1)
    store.save(thing(float(step)), step, evaluation, keep)


def read(saved):
    restored = thing(-1.0)
    saved.read(restored).assert_consumed()
    (value,) = set(restored.numbers.numpy().tolist())
    return value


def names(store):
    return sorted(path.name for path in store.path.iterdir())


def test_the_newest_and_the_best_are_kept(store):
    for step, error in [(10, 0.5), (20, 0.2), (30, 0.4), (40, None), (50, 0.3)]:
        save(store, step, error, keep=2)
    assert names(store) == ["00000020", "00000040", "00000050"]
    newest, best = store.newest(), store.best()
    assert (newest.step, newest.error, read(newest)) == (50, 0.3, 50.0)
    assert (best.step, best.error, read(best)) == (20, 0.2, 20.0)
    assert (best.top5_error, best.examples) == (0.05, 80)


def test_without_validations_only_the_newest_are_kept(store):
    for step in (1, 2, 3):
        save(store, step, keep=1)
    assert names(store) == ["00000003"]
    assert store.best() is None


def test_a_second_checkpoint_of_a_step_is_the_newer_one(store):
    for error in (None, 0.5, 0.25):
        save(store, 7, error, keep=1)
        assert store.newest().error == error
    for _ in range(9):  # "-10" comes after "-9"
        save(store, 7)
    assert store.newest().path.name == "00000007-12"


@pytest.mark.parametrize("name", ["lr[0.01]", "a\\b", "*?{a,b}", "\udcff", "two\nlines"])
def test_directories_of_any_name(tmp_path, name):
    store = CheckpointStore(tmp_path / name / "checkpoints")
    for step in (1, 2):
        save(store, step, 0.5 / step, keep=1)
    assert read(store.newest()) == read(store.best()) == 2.0
    assert names(store) == ["00000002"]


def test_an_empty_store_has_none(store):
    assert store.newest() is None
    assert store.best() is None


@pytest.mark.parametrize("file", ["variables.index", "variables.data-*", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "empty"])
def test_a_damaged_checkpoint_is_skipped_and_named(store, capsys, file, harm):
    save(store, 1, 0.5)
    save(store, 2, 0.1)
    (path,) = (store.path / "00000002").glob(file)
    content = path.read_bytes()
    if harm == "flip":
        place = np.random.default_rng(0).integers(len(content))
        content = content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]
    if harm == "remove":
        path.unlink()
    else:
        path.write_bytes({"cut": content[:-1], "empty": b""}.get(harm, content))
    assert read(store.newest()) == 1.0
    assert store.best().step == 1
    assert "00000002" in capsys.readouterr().out
    assert names(store) == ["00000001", "00000002"]  # a reader changes nothing
    assert store.newest(set_aside=True).step == 1
    assert names(store) == ["00000001", "00000002.damaged"]
    save(store, 2)
    assert read(store.newest()) == 2.0


def test_damaged_checkpoints_alone_are_an_error_now_and_later(store):
    save(store, 1)
    (store.path / "00000001" / "manifest.json").write_text("{}")
    for _ in range(2):
        with pytest.raises(UserError, match="are damaged .00000001"):
            store.newest(set_aside=True)


def test_an_incomplete_checkpoint_is_ignored(store):
    save(store, 1)
    half = store.path / "00000002.partial"
    half.mkdir()
    (half / "variables.index").write_bytes(b"half")
    assert store.newest().step == 1
    save(store, 2)
    assert names(store) == ["00000001", "00000002"]


_FULL_DISK = """
import resource, sys
import tensorflow as tf
from tests.training.test_checkpoints import CheckpointStore, save, names, UserError
import pathlib
store = CheckpointStore(pathlib.Path(sys.argv[1]))
save(store, 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # 4,000 bytes of numbers do not fit
try:
    save(store, 2)
except UserError as error:
    print(error)
print(names(store), store.newest().step)
"""


def test_a_full_disk_loses_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, tmp_path / "store"], cwd=ROOT, capture_output=True,
        text=True, timeout=120, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )  # fmt: skip
    message, state = done.stdout.splitlines()
    assert "The newest one there is 00000001. Free some space" in message
    assert state == "['00000001'] 1"


def test_the_state_on_the_host_is_restored():
    before, after = TrainState(), TrainState()
    before.step, before.validated_step, before.ended, before.lr_halvings = 12, 10, True, 2
    before.plateau.best_error, before.plateau.waited = 0.25, 3
    after.deserialize(json.dumps(json.loads(before.serialize())).encode())
    assert vars(after) == vars(before)


def test_the_state_of_an_older_checkpoint_is_read():
    older = json.loads(TrainState().serialize())
    older["step"] = 12
    del older["factor"]
    after = TrainState()
    after.deserialize(json.dumps(older).encode())
    assert (after.step, after.lr_factor) == (12, 1.0)


def test_a_given_one_is_found_by_step_and_revision(store):
    for error in (None, 0.5):
        save(store, 7, error)
    assert (store.newest().step, store.newest().revision) == (7, 2)
    assert [store.find(7, revision).error for revision in (1, 2)] == [None, 0.5]
