"""Which checkpoint the workers of a run go on from."""

import shutil
import types

import keras
import pytest

from alexnet_tf.system.errors import UserError
from alexnet_tf.training.checkpoints import CheckpointStore, RunState
from alexnet_tf.training.options import Options
from alexnet_tf.training.saving import Saving
from alexnet_tf.training.sgd import PaperSGD


class Wire:
    """What one worker adds to a sum, read by another."""

    def __init__(self):
        self.said = []

    def tell(self, value):
        self.said.append(value)
        return value

    def hear(self, value):
        return self.said.pop(0) + value


def make_saving(path, writes, total):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    optimizer = PaperSGD()
    optimizer.build(model.trainable_variables)
    nothing = {"gather": lambda: None, "scatter": lambda: None}
    parts = types.SimpleNamespace(model=model, optimizer=optimizer, **nothing)
    consensus = types.SimpleNamespace(total=total)
    state = RunState()
    return state, Saving(Options(), parts, state, CheckpointStore(path), writes, consensus)


@pytest.fixture
def two(tmp_path):
    """Worker 0, which has saved after steps 1 and 2, and another that sees a copy."""
    wire = Wire()
    chief_state, chief = make_saving(tmp_path / "chief", True, wire.tell)
    for chief_state.step in (1, 2):
        chief.save()
    shutil.copytree(tmp_path / "chief", tmp_path / "other")
    return chief, *make_saving(tmp_path / "other", False, wire.hear)


def test_workers_go_on_from_what_worker_0_has_chosen(two, tmp_path):
    chief, state, other = two
    (tmp_path / "chief" / "00000002" / "manifest.json").unlink()  # the other's is whole
    assert chief.restore() and other.restore()
    assert state.step == 1
    assert (tmp_path / "other" / "00000002").is_dir()


def test_a_worker_that_has_not_got_it_says_so(two, tmp_path):
    chief, _, other = two
    shutil.rmtree(tmp_path / "other" / "00000002")
    chief.restore()
    with pytest.raises(UserError, match="checkpoint 00000002 in .* share --model_dir"):
        other.restore()


def test_all_begin_where_worker_0_has_none(two, tmp_path):
    chief, state, other = two
    shutil.rmtree(tmp_path / "chief")
    assert not chief.restore() and not other.restore()
    assert state.step == 0
