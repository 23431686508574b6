"""Short runs on folders of a few images, and how to stop and compare them."""

import dataclasses
import itertools
import os
import signal

import numpy as np

from alexnet_tf.training import parts
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


class Killer:
    """Sends this process a signal in the middle of a given training step."""

    def __init__(self, monkeypatch, step, number=signal.SIGINT):
        self.steps = itertools.count(1)
        make = parts.make_train_steps

        def make_train_steps(*args, **kwargs):
            train_steps = make(*args, **kwargs)

            def counted(iterator, count):
                if next(self.steps) == step:
                    os.kill(os.getpid(), number)
                return train_steps(iterator, count)

            return counted

        monkeypatch.setattr(parts, "make_train_steps", make_train_steps)
