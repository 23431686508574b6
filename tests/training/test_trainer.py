"""The order of events in a run, with steps and validations that compute nothing."""

import contextlib
import math
import signal

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.checkpoints import CheckpointStore
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.distributed import WorkerSync, make_strategy
from alexnet_tf.training.run import build_network
from alexnet_tf.training.trainer import Trainer
from tests.training.short_runs import options

STATISTICS = Statistics(
    np.zeros((72, 72, 3), np.float32), np.ones(3, np.float32), np.eye(3, dtype=np.float32)
)


class Signals(contextlib.nullcontext):
    """A signal that comes when it is told to."""

    signal = None

    def __call__(self):
        return self.signal is not None


class Recorder:
    """Parts of a trainer that compute nothing, and the events that they saw.

    Args:
        seconds: that a step takes.
        losses: of certain steps, one for each time that the step is made; of others 2.
        stop_after: the step during which a signal comes.
    """

    def __init__(self, seconds=0.001, losses=(), stop_after=math.inf):
        self.events, self.now, self.step = [], 0.0, 0
        self.seconds, self.losses, self.stop_after = seconds, dict(losses), stop_after
        self.interrupt = Signals()

    def clock(self):
        return self.now

    def make_batches(self, *args, start_step, **kwargs):
        self.step = start_step
        self.events.append(f"batches from {start_step}")
        return iter(())

    def make_steps(self, network, preprocessor):
        norms = tf.ones(len(network.layers))

        def steps(batches, count):
            self.step += int(count)
            self.now += self.seconds * int(count)
            self.events.append(f"steps to {self.step} at {network.learning_rate:.4g}")
            if self.step >= self.stop_after:
                self.interrupt.signal = signal.SIGTERM
            loss = self.losses.get(self.step, [2.0]).pop(0) if self.step in self.losses else 2.0
            metrics = {"loss": loss * int(count), "steps": int(count), "waiting": 0.0}
            metrics |= {"top1_correct": 0.0, "top5_correct": 0.0}
            norms_ = {"gradient_norms": norms, "weight_norms": norms}
            return {**{name: tf.constant(v) for name, v in metrics.items()}, **norms_}

        return steps

    def make_evaluator(self, classifier):
        def evaluate(split, title, stop, errors):
            self.events.append(f"validation of {split.examples}")
            return Evaluation(0.5, 0.25, 2.0, split.examples, 0, 1)

        return evaluate

    def store(self, path):
        class Store(CheckpointStore):
            def save(store, checkpoint, step, evaluation, keep):  # noqa: N805
                self.events.append(f"saved {step}")
                super().save(checkpoint, step, evaluation, keep)

        return Store(path)


def run(recorder, folder, path, **changes):
    """A run of 5 steps an epoch; returns its result."""
    wanted = options(folder, path, **changes)
    sync = WorkerSync(make_strategy())
    dataset = open_dataset("folder", folder)
    network = build_network(wanted, get_variant("tiny"), 10, sync.strategy)
    trainer = Trainer(
        wanted, dataset, network, ModelDirectory(path), sync,
        interrupt=recorder.interrupt, checkpoints=recorder.store(path / "checkpoints"),
        make_steps=recorder.make_steps, make_batches=recorder.make_batches,
        make_evaluator=recorder.make_evaluator, clock=recorder.clock,
    )  # fmt: skip
    return trainer.run(STATISTICS)


def test_train_to_the_next_event_validate_save(folder, tmp_path):
    """Calls end at validations, at a new learning rate, and at points of a curve (step 20)."""
    recorder = Recorder()
    changes = {"epochs": 5.0, "validate_every": 2.0, "decay_epochs": (3.0,), "stuck_after": 0}
    result = run(recorder, folder, tmp_path, steps_per_execution=100, **changes)
    assert recorder.events == [
        *("batches from 0", "steps to 1 at 0.005", "steps to 10 at 0.005"),
        *("validation of 20", "saved 10"),
        *("steps to 15 at 0.005", "steps to 20 at 0.0005", "validation of 20", "saved 20"),
        *("steps to 25 at 0.0005", "validation of 20", "saved 25"),
    ]
    assert (result.step, result.trained, result.interrupted_by) == (25, True, None)
    again = run(recorder, folder, tmp_path, epochs=5.0)
    assert recorder.events[-1] == "validation of 20" and not again.trained


def test_checkpoints_between_validations_and_short_calls_of_slow_steps(folder, tmp_path):
    recorder = Recorder(seconds=0.4)
    changes = {"epochs": 1.0, "steps_per_execution": 20, "save_minutes": 1.0 / 60}
    run(recorder, folder, tmp_path, **changes)
    assert recorder.events == [
        *("batches from 0", "steps to 1 at 0.005", "steps to 3 at 0.005", "saved 3"),
        *("steps to 5 at 0.005", "validation of 20", "saved 5"),
    ]


def test_a_signal_stops_after_the_step_and_saves(folder, tmp_path, capsys):
    recorder = Recorder(stop_after=3)
    result = run(recorder, folder, tmp_path)
    assert recorder.events[-2:] == ["steps to 3 at 0.005", "saved 3"]
    assert (result.step, result.evaluation) == (3, None)
    assert result.interrupted_by == signal.SIGTERM
    assert "Stopped by SIGTERM after step 3 and saved" in capsys.readouterr().out


def test_a_run_that_diverges_goes_back_and_halves_its_learning_rate(folder, tmp_path, capsys):
    recorder = Recorder(losses={7: [math.nan, math.inf, 2.0]})
    result = run(recorder, folder, tmp_path, epochs=2.0, on_divergence="back")
    assert recorder.events == [
        *("batches from 0", *(f"steps to {n} at 0.005" for n in range(1, 6))),
        *("validation of 20", "saved 5", "steps to 6 at 0.005", "steps to 7 at 0.005"),
        *("batches from 5", "steps to 6 at 0.0025", "steps to 7 at 0.0025"),
        *("batches from 5", *(f"steps to {n} at 0.00125" for n in range(6, 11))),
        *("validation of 20", "saved 10"),
    ]
    assert result.step == 10
    printed = capsys.readouterr().out
    assert printed.count("Training diverged: the loss of step 7 is not finite") == 2
    assert "The learning rate is halved (2 of at most 5 times)" in printed


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({}, "Nothing of it was saved. Try a lower --learning_rate or, .*--on_divergence=back"),
        ({"on_divergence": "back"}, "diverged before the first checkpoint"),
    ],
)
def test_a_run_that_diverges_at_first_ends(folder, tmp_path, changes, complaint):
    recorder = Recorder(losses={2: [math.nan]})
    with pytest.raises(UserError, match=complaint):
        run(recorder, folder, tmp_path, **changes)
    assert not any(event.startswith("saved") for event in recorder.events)
