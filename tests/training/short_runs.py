"""Short runs on folders of a few images, and how to stop and compare them."""

import dataclasses
import os
import signal

import keras
import numpy as np

from alexnet_tf.training.options import Options

# 4 images a class of 10 classes, batches of 8: 5 steps an epoch.
SHORT = Options(
    dataset="folder",
    batch_size=8,
    epochs=3.0,
    decay_epochs=(2.0,),
    validate_every=1.0,
    learning_rate=0.005,
    export=False,
)


def options(folder, model_dir, **changes):
    return dataclasses.replace(SHORT, data_dir=folder, model_dir=str(model_dir), **changes)


def weights(result):
    return {variable.path: variable.numpy() for variable in result.classifier.model.weights}


def assert_equal_weights(one, other, rtol=0.0, atol=0.0):
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys()
    for path, value in one.items():
        np.testing.assert_allclose(value, other[path], rtol, atol, err_msg=path)


class Kill(keras.callbacks.Callback):
    """Sends this process a signal when a given training step begins."""

    def __init__(self, step, number=signal.SIGINT):
        super().__init__()
        self._step, self._number = step, number

    def on_train_batch_begin(self, batch, logs=None):
        if batch + 1 == self._step:
            os.kill(os.getpid(), self._number)
