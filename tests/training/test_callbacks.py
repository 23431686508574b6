"""Keras callbacks in this package's loop: what they are told, and what they may do."""

import csv
import dataclasses
import functools
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.sources import open_dataset
from alexnet_tf.evaluation.evaluator import Evaluator
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.distributed import WorkerSync, make_strategy
from alexnet_tf.training.run import train, train_on
from tests.training.short_runs import options, weights

STEPS = 5  # an epoch


class Witness(keras.callbacks.Callback):
    """Writes down what it is told, in order."""

    def __init__(self):
        super().__init__()
        self.told = []
        for name in (
            *("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end"),
            *("on_train_batch_begin", "on_train_batch_end", "on_test_begin", "on_test_end"),
        ):
            setattr(self, name, functools.partial(self.hear, name))

    def hear(self, name, *args, **logs):
        self.told.append((name, *args, *logs.values()))

    def names(self):
        return [name for name, *_ in self.told]


def test_they_are_told_what_keras_would_tell_them(folder, tmp_path):
    witness = Witness()
    result = train(options(folder, tmp_path, epochs=2.0), callbacks=[witness])
    steps = ["on_train_batch_begin", "on_train_batch_end"] * STEPS
    epoch = ["on_epoch_begin", *steps, "on_test_begin", "on_test_end", "on_epoch_end"]
    assert witness.names() == ["on_train_begin", *epoch, *epoch, "on_train_end"]
    epochs = [args for name, *args in witness.told if name == "on_epoch_end"]
    assert [number for number, _ in epochs] == [0, 1]
    logs = epochs[-1][1]
    assert logs["val_loss"] == result.evaluation.loss
    assert logs["val_top1_error"] == result.evaluation.top1_error
    assert logs["learning_rate"] == pytest.approx(0.005)
    batches = [args for name, *args in witness.told if name == "on_train_batch_end"]
    assert [number for number, _ in batches] == list(range(2 * STEPS))
    mean = sum(logs["loss"] for _, logs in batches[STEPS:]) / STEPS
    assert logs["loss"] == pytest.approx(mean)
    assert witness.params == {"epochs": 2, "steps": STEPS, "verbose": 0}


@pytest.mark.slow
def test_kerass_own_callbacks_work(folder, tmp_path):
    log = tmp_path / "log.csv"
    weights = tmp_path / "best.weights.h5"
    stop = keras.callbacks.EarlyStopping("val_loss", baseline=0.0, patience=1)
    result = train(
        options(folder, tmp_path / "run", epochs=6.0),
        callbacks=[
            keras.callbacks.CSVLogger(str(log)),
            keras.callbacks.ModelCheckpoint(str(weights), save_weights_only=True),
            stop,
        ],
    )
    assert stop.stopped_epoch and result.step == (stop.stopped_epoch + 1) * STEPS < 6 * STEPS
    with open(log, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == stop.stopped_epoch + 1
    assert float(rows[-1]["val_loss"]) == result.evaluation.loss
    result.classifier.model.load_weights(weights)
    again = train(options(folder, tmp_path / "run", epochs=6.0))  # it has ended for good
    assert not again.trained and again.step == result.step


@pytest.mark.slow
def test_one_may_stop_the_run_in_the_middle_of_an_epoch(folder, tmp_path):
    class Enough(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 6

    result = train(options(folder, tmp_path), callbacks=[Enough()])
    assert result.step == 7 and result.evaluation is not None


@pytest.mark.slow
def test_one_may_set_the_learning_rate(folder, tmp_path):
    """Zero from the second epoch on: the weights stay what they are."""
    seen = []

    class Freeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.optimizer.learning_rate = 0.0

        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model.get_layer("conv1").kernel.numpy())
            rates.append(logs["learning_rate"])

    rates = []
    train(options(folder, tmp_path, decay_epochs=()), callbacks=[Freeze()])
    assert rates == pytest.approx([0.005, 0.0, 0.0])
    momentum_goes_on = abs(seen[1] - seen[0]).max()
    assert 0 < abs(seen[2] - seen[1]).max() < momentum_goes_on


@pytest.mark.slow
def test_what_they_have_made_of_the_rate_outlasts_a_stop(folder, tmp_path):
    """A new process, and a schedule that divides the rate by ten, go on from there."""
    rates = []

    class Lower(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(logs["learning_rate"])
            if epoch == 0:
                self.model.optimizer.learning_rate = 0.001

    train(options(folder, tmp_path, epochs=1.0), callbacks=[Lower()])
    train(options(folder, tmp_path), callbacks=[Lower()])
    assert rates == pytest.approx([0.005, 0.001, 0.0001])


@pytest.mark.slow
def test_what_the_schedule_has_at_the_same_step_is_not_lost(folder, tmp_path):
    """The rate is divided by ten, and conv1 frozen, where a callback halves the rate."""
    rates, kernels = [], []

    class Halve(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(logs["learning_rate"])
            kernels.append(self.model.get_layer("conv1").kernel.numpy())
            if epoch == 0:
                self.model.optimizer.learning_rate = 0.0025

    flags = {"decay_epochs": (1.0,), "layer_rates": ("conv1:1:0",), "epochs": 2.0}
    train(options(folder, tmp_path, momentum=0.0, **flags), callbacks=[Halve()])
    assert rates == pytest.approx([0.005, 0.00025])
    assert (kernels[1] == kernels[0]).all()


@pytest.mark.slow
def test_a_rate_may_rise_from_zero(folder, tmp_path):
    """Also after a stop, without the callback."""
    rates = []

    class WarmUp(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate = 0.002 * min(1.0, batch / 3)

        def on_train_batch_end(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    flags = options(folder, tmp_path, decay_epochs=(), epochs=1.0)
    before = weights(train(flags, callbacks=[WarmUp()]))
    assert rates == pytest.approx([0.0, 0.002 / 3, 0.004 / 3, 0.002, 0.002])
    after = weights(train(dataclasses.replace(flags, epochs=2.0)))
    assert abs(after["fc8/kernel"] - before["fc8/kernel"]).max() > 1e-5


@pytest.mark.slow
def test_the_rate_they_are_told_is_that_of_the_epoch_that_has_ended(folder, tmp_path):
    """Not the one that the validation's plateau leads to."""
    rates = []

    class Listen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(logs["learning_rate"])

    stalled = options(folder, tmp_path, learning_rate=1e-12, plateau_patience=1)
    train(stalled, callbacks=[Listen()])
    # The first validation is a best one; the second is not, and lowers the rate of the third.
    assert rates == pytest.approx([1e-12, 1e-12, 1e-13], rel=1e-6, abs=0)


def test_they_are_told_of_the_end_of_a_run_that_fails(folder, tmp_path):
    witness = Witness()
    with pytest.raises(UserError, match="after step 1"):
        train(options(folder, tmp_path, learning_rate=1e30), callbacks=[witness])
    assert witness.names()[-1] == "on_train_end"


def test_n_epochs_are_n_epochs_though_no_batch_ends_with_one(folder, tmp_path):
    """40 images in batches of 16: epochs end within steps 3, 5 (with it) and 8."""
    witness = Witness()
    result = train(options(folder, tmp_path, batch_size=16, decay_epochs=()), callbacks=[witness])
    assert result.step == 8 and witness.params["epochs"] == 3
    epochs = [args for name, *args in witness.told if name == "on_epoch_end"]
    assert [number for number, _ in epochs] == [0, 1, 2]
    steps = [args[1] for name, *args in witness.told if name == "on_train_batch_end"]
    # Half of the last batch belongs to a fourth epoch, and counts neither here nor in the step.
    images = [16, 16, 16, 16, 16, 16, 16, 8]
    for (_, logs), part in zip(epochs, (slice(3), slice(3, 5), slice(5, 8)), strict=True):
        for name in ("loss", "top1_error"):
            mean = np.average([step[name] for step in steps[part]], weights=images[part])
            assert logs[name] == pytest.approx(mean, abs=1e-6)
    assert steps[-1]["top1_error"] * 8 % 1 == pytest.approx(0, abs=1e-5)


class Spoil(keras.callbacks.Callback):
    """Makes the second epoch worse than the first."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            kernel = self.model.get_layer("fc8").kernel
            kernel.assign(kernel * 50)


class Zero(keras.callbacks.Callback):
    """Sets the last layer to 0 when the run ends, or an epoch does."""

    def __init__(self, *events):
        super().__init__()
        for event in events:
            setattr(self, event, self.act)

    def act(self, *args, logs=None):
        self.model.get_layer("fc8").kernel.assign(self.model.get_layer("fc8").kernel * 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: [keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True), Spoil()],
        pytest.param(lambda: [Zero("on_train_end")], marks=pytest.mark.slow),
        pytest.param(lambda: [Zero("on_epoch_end")], marks=pytest.mark.slow),
    ],
    ids=["best", "at the end", "after an epoch"],
)
def test_weights_that_callbacks_leave_are_validated_and_saved(folder, tmp_path, make):
    callbacks = make()
    result = train(
        options(folder, tmp_path, learning_rate=1e-4, epochs=2.0, export=True), callbacks=callbacks
    )
    kept, _, saved = ModelDirectory(tmp_path).load()
    for value, other in zip(kept.model.weights, result.classifier.model.weights, strict=True):
        np.testing.assert_array_equal(value, other)
    if hasattr(callbacks[0], "best_weights"):
        for value, best in zip(kept.model.weights, callbacks[0].best_weights, strict=True):
            np.testing.assert_array_equal(value, best)
    else:
        assert not np.any(kept.model.get_layer("fc8").kernel)
    evaluate = Evaluator(result.classifier, tf.distribute.get_strategy(), 8)
    again = evaluate(open_dataset("folder", folder).validation)
    assert again.loss == pytest.approx(result.evaluation.loss, rel=1e-5)
    assert saved.error == result.evaluation.top1_error == again.top1_error


def test_a_signal_in_a_validation_stops_it_after_its_batch(folder, tmp_path, capsys):
    class Stop(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            os.kill(os.getpid(), signal.SIGINT)

    class Counted(Evaluator):
        def __call__(self, split, title, stop, errors):
            return super().__call__(split, title, lambda: batches.append(1) or stop(), errors)

    def make_evaluator(classifier):
        return Counted(classifier, sync.strategy, 8)

    batches, sync = [], WorkerSync(make_strategy())
    wanted = options(folder, tmp_path, epochs=1.0)
    callbacks = [Stop(), Zero("on_train_end")]
    result = train_on(sync, wanted, callbacks, make_evaluator=make_evaluator)
    assert len(batches) == 1  # of three
    assert (result.interrupted_by, result.evaluation, result.step) == (signal.SIGINT, None, STEPS)
    assert "Stopped by SIGINT after step 5 and saved" in capsys.readouterr().out
    kept, _, saved = ModelDirectory(tmp_path).load()
    assert saved.error is None
    # The run has not ended: the weights are those to resume from.
    assert np.any(kept.model.get_layer("fc8").kernel)
    for value, other in zip(kept.model.weights, result.classifier.model.weights, strict=True):
        np.testing.assert_array_equal(value, other)
