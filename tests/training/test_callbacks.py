"""Keras callbacks in this package's loop: what they are told, and what they may do."""

import csv
import dataclasses
import functools

import keras
import pytest

from alexnet_tf.system.errors import UserError
from alexnet_tf.training.run import train
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
