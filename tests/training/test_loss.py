"""The loss of an image against NumPy, and losses of the caller."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.system.errors import UserError
from alexnet_tf.training.distributed import WorkerSync, make_strategy
from alexnet_tf.training.loss import make_loss
from alexnet_tf.training.run import train, train_on
from tests.training.short_runs import options

LABELS = np.array([2, 0, 3], np.int64)
LOGITS = np.array([[1, -2, 3, 0], [0, 0, 0, 0], [5, 4, 3, -9]], np.float32)
LOGS = LOGITS - np.log(np.exp(LOGITS.astype(np.float64)).sum(axis=1, keepdims=True))
ONE_HOT = np.eye(4)[LABELS]


class Squares(keras.losses.Loss):
    """Of labels that are whole numbers."""

    def call(self, y_true, y_pred):
        assert y_true.shape.rank == 1 and y_true.dtype == tf.int64
        return tf.cast(y_true, tf.float32) ** 2 + 0 * y_pred[:, 0]


class Wrong(keras.losses.Loss):
    """One number for all images."""

    def call(self, y_true, y_pred):
        return tf.reduce_mean(y_pred)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (make_loss(), -(ONE_HOT * LOGS).sum(axis=1)),
        (make_loss(0.2), -((0.8 * ONE_HOT + 0.05) * LOGS).sum(axis=1)),
        (
            make_loss(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
            -(ONE_HOT * LOGS).sum(axis=1),
        ),
        (
            make_loss(loss=keras.losses.CategoricalCrossentropy(True, label_smoothing=0.2)),
            -((0.8 * ONE_HOT + 0.05) * LOGS).sum(axis=1),
        ),
        (
            make_loss(loss=keras.losses.CategoricalFocalCrossentropy(1.0, 2.0, from_logits=True)),
            -(ONE_HOT * (1 - np.exp(LOGS)) ** 2 * LOGS).sum(axis=1),
        ),
        (make_loss(loss=keras.losses.MeanSquaredError()), ((ONE_HOT - LOGITS) ** 2).mean(axis=1)),
        (make_loss(loss=Squares()), LABELS**2),
    ],
)
def test_losses_of_images(loss, expected):
    found = tf.function(loss)(tf.constant(LABELS), tf.constant(LOGITS))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "smoothing", "complaint"),
    [
        ("mse", 0.0, "keras.losses.Loss"),
        (keras.losses.CategoricalCrossentropy(), 0.0, "from_logits=True"),
        (Squares(), 0.1, "--label_smoothing=0"),
    ],
)
def test_losses_that_are_refused(loss, smoothing, complaint):
    with pytest.raises(UserError, match=complaint):
        make_loss(smoothing, loss)


def test_a_loss_has_a_value_for_each_image():
    with pytest.raises(UserError, match="one value for each image"):
        make_loss(loss=Wrong())(tf.constant(LABELS), tf.constant(LOGITS))


class Listen(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.logs, self.rates = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.logs.append(logs["loss"])
        self.rates.append(float(self.model.optimizer.learning_rate))


class Three(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return 3 + 0 * y_pred[:, 0]


@pytest.mark.slow
def test_a_run_with_a_loss_and_a_schedule_of_the_callers(folder, tmp_path, capsys):
    """A later start without them says so; a smoothed loss differs from a plain one."""
    listen, sync = Listen(), WorkerSync(make_strategy())
    schedule = keras.optimizers.schedules.PolynomialDecay(1e-3, 4, end_learning_rate=0.0)
    wanted = options(folder, tmp_path, steps=3)
    train(wanted, callbacks=[listen], loss=Three(), schedule=schedule)
    assert listen.logs == pytest.approx([3, 3, 3])
    assert listen.rates == pytest.approx([1e-3, 7.5e-4, 5e-4])
    capsys.readouterr()
    listen = Listen()
    longer = options(folder, tmp_path, steps=4, label_smoothing=0.5)
    train_on(sync, longer, [listen])
    printed = capsys.readouterr().out
    assert "Changed since the last start: loss argument Three(" in printed
    assert "schedule argument PolynomialDecay(initial_learning_rate=0.001" in printed
    assert listen.rates == pytest.approx([0.005])
    assert 2.2 < listen.logs[0] < 2.5  # chance level is ln 10
