"""Runs that fail, by their loss, the disk or the directory, and what is kept of them."""

import dataclasses
import re
import resource
import shutil
import signal

import keras
import numpy as np
import pytest

from alexnet_tf.evaluation.evaluator import Evaluator
from alexnet_tf.system.errors import UserError
from alexnet_tf.training import run
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.distributed import WorkerSync, make_strategy
from tests.training.short_runs import Kill, options


@pytest.mark.slow
def test_a_damaged_directory_is_named(folder, tmp_path):
    with pytest.raises(UserError, match="No such file"):
        ModelDirectory(tmp_path).load()
    run.train(options(folder, tmp_path, steps=1))
    directory = ModelDirectory(tmp_path)
    for path in directory.checkpoints.path.glob("*/*.data*"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="are damaged"):
        directory.load()
    with pytest.raises(UserError, match="are damaged"):
        run.train(options(folder, tmp_path, steps=2))
    shutil.rmtree(directory.checkpoints.path)
    with pytest.raises(UserError, match="There is no checkpoint"):
        directory.load()
    directory.metadata_path.write_text("{")
    with pytest.raises(UserError, match="model.json"):
        directory.load()


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"save_minutes": 0.0}, {"validate_every": 0.2}], ids=str)
def test_weights_that_are_not_finite_stop_the_run_and_are_not_saved(folder, tmp_path, changes):
    """The first step's loss is that of good weights; a save and a validation wait for its end."""
    with pytest.raises(UserError, match="weights of conv1.*after step 1, at a learning rate of 1e"):
        run.train(options(folder, tmp_path, learning_rate=1e30, **changes))
    with pytest.raises(UserError, match="There is no checkpoint"):
        ModelDirectory(tmp_path).load()


def test_a_signal_does_not_save_spoilt_weights(folder, tmp_path):
    callbacks = [Kill(1, signal.SIGTERM)]
    with pytest.raises(UserError, match="after step 1"):
        run.train(options(folder, tmp_path, learning_rate=1e30), callbacks=callbacks)
    assert ModelDirectory(tmp_path).checkpoints.newest() is None


@pytest.mark.slow
def test_weights_whose_validation_is_not_finite_are_not_saved(folder, tmp_path):
    run.train(options(folder, tmp_path, epochs=1.0))
    strategy = make_strategy()

    def make_evaluator(classifier):
        evaluate = Evaluator(classifier, strategy, 8)
        return lambda *args: dataclasses.replace(evaluate(*args), loss=float("nan"))

    longer = options(folder, tmp_path, epochs=2.0)
    with pytest.raises(UserError, match="loss on the validation set after step 10 is not finite"):
        run.train_on(WorkerSync(strategy), longer, make_evaluator=make_evaluator)
    assert ModelDirectory(tmp_path).checkpoints.newest().step == 5


@pytest.mark.slow
def test_a_run_that_diverges_goes_back_and_halves_its_rate(folder, tmp_path, capsys):
    run.train(options(folder, tmp_path, steps=5))
    wild = {"epochs": 2.0, "learning_rate": 1e30, "on_divergence": "back", "save_minutes": 0.0}
    with pytest.raises(UserError, match="Training diverged: .*halved 5 times"):  # given up at last
        run.train(options(folder, tmp_path, **wild))
    printed = capsys.readouterr().out
    assert len(re.findall("Training diverged: the weights of .* after step 6", printed)) == 5
    assert "The learning rate is halved (5 of at most 5 times)" in printed
    classifier, _, saved = ModelDirectory(tmp_path).load()
    assert saved.step == 5
    assert all(np.isfinite(weights).all() for weights in classifier.model.get_weights())


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(folder, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Fill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))

    try:
        with pytest.raises(UserError, match="Cannot write a checkpoint.*newest one .*00000005"):
            run.train(options(folder, tmp_path), callbacks=[Fill()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ModelDirectory(tmp_path).load()[2].step == 5


def test_a_directory_that_cannot_be_written_is_refused_first(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write to"):
        run.train(options(folder, tmp_path / "file" / "run"))
