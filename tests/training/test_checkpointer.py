"""The checkpoint that the workers of a run resume from, and when the next one is due."""

import shutil
import types

import keras
import pytest

from alexnet_tf.system.errors import UserError
from alexnet_tf.training.checkpoints import Checkpointer, CheckpointStore, TrainState
from alexnet_tf.training.network import TrainableNetwork
from alexnet_tf.training.optimizer import PaperSGD
from alexnet_tf.training.options import Options


class Wire:
    """Carries the values that one worker adds to a sum to another worker."""

    def __init__(self):
        self.values = []

    def send(self, value):
        self.values.append(value)
        return value

    def receive(self, value):
        return self.values.pop(0) + value


def make_checkpointer(path, is_chief=True, sum_=None, **arguments):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    optimizer = PaperSGD()
    optimizer.build(model.trainable_variables)
    sync = types.SimpleNamespace(sum=sum_, is_chief=is_chief)
    state, network = TrainState(), TrainableNetwork(model, optimizer)
    store = CheckpointStore(path)
    return state, Checkpointer(Options(), network, state, store, sync, **arguments)


@pytest.fixture
def two(tmp_path):
    """Worker 0, which has saved after steps 1 and 2, and another that sees a copy."""
    wire = Wire()
    chief_state, chief = make_checkpointer(tmp_path / "chief", True, wire.send)
    for chief_state.step in (1, 2):
        chief.save()
    shutil.copytree(tmp_path / "chief", tmp_path / "other")
    return chief, *make_checkpointer(tmp_path / "other", False, wire.receive)


def test_workers_resume_from_the_choice_of_worker_0(two, tmp_path):
    chief, state, other = two
    (tmp_path / "chief" / "00000002" / "manifest.json").unlink()  # undamaged on the other
    assert chief.restore() and other.restore()
    assert state.step == 1
    assert (tmp_path / "other" / "00000002").is_dir()


def test_a_worker_without_it_raises(two, tmp_path):
    chief, _, other = two
    shutil.rmtree(tmp_path / "other" / "00000002")
    chief.restore()
    with pytest.raises(UserError, match="checkpoint 00000002.* share --model_dir"):
        other.restore()


def test_all_begin_where_worker_0_has_none(two, tmp_path):
    chief, state, other = two
    shutil.rmtree(tmp_path / "chief")
    assert not chief.restore() and not other.restore()
    assert state.step == 0


def test_a_checkpoint_is_due_after_so_many_minutes(tmp_path):
    now = [0.0]
    _, checkpointer = make_checkpointer(tmp_path, clock=lambda: now[0])
    found = []
    for now[0] in (599.0, 600.0):
        found.append(checkpointer.due)
    checkpointer.save()
    assert [*found, checkpointer.due] == [False, True, False]


def test_a_checkpoint_of_another_model_is_named(tmp_path):
    _, checkpointer = make_checkpointer(tmp_path, sum_=lambda value: value)
    checkpointer.save()
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    optimizer = PaperSGD()
    optimizer.build(other.trainable_variables)
    sync = types.SimpleNamespace(sum=lambda value: value, is_chief=True)
    network, store = TrainableNetwork(other, optimizer), CheckpointStore(tmp_path)
    with pytest.raises(UserError, match="another model or optimizer"):
        Checkpointer(Options(), network, TrainState(), store, sync).restore()
