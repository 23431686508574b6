"""The curves that a run writes for TensorBoard."""

import itertools
import resource
import time

import keras
import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorflow import make_ndarray

from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.training.options import Options
from alexnet_tf.training.tensorboard import TensorBoardLogs


def scalars(path):
    """From tag to {step: value} of an event directory."""
    events = EventAccumulator(str(path))
    events.Reload()
    return {
        tag: {e.step: float(make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)}
        for tag in events.Tags()["tensors"]
    }


def metrics(**changes):
    """Of one step."""
    norms = {"gradient_norms": [3.0, 4.0, 1.0, 0.0], "weight_norms": [5.0, 12.0, 0.5, 0.0]}
    counts = {"steps": 1, "images": 10, "top5_correct": 9.0}
    return {**counts, "waiting": 0.5, **norms, **changes}


def make_logs(path, step=0, **arguments):
    """Of a network with two layers, each with a kernel and a bias, from a step on."""
    layers = [keras.layers.Conv2D(2, 1, name="conv1"), keras.layers.Dense(1, name="fc2")]
    model = keras.Sequential([keras.Input((1, 1, 3)), *layers])
    names = ["conv1", "conv1", "fc2", "fc2"]
    logs = TensorBoardLogs(path / "tensorboard", 10, model, "rgb", names, **arguments)
    logs.begin(step, Options())
    return logs


def test_curves_hold_the_means_of_twenty_steps(tmp_path):
    clock = itertools.count(0.0, 2.0)  # seconds a step
    now = [next(clock)]
    logs = make_logs(tmp_path, clock=lambda: now[0])
    for step in range(1, 41):
        rate = 0.1 if step <= 20 else 0.01
        now[0] = next(clock)
        correct = 4.0 if step <= 20 else 8.0
        logs.steps(step, metrics(loss=float(step), top1_correct=correct), rate)
    logs.validation(40, Evaluation(0.25, 0.125, 0.5, 8, 0, 1))
    logs.close()
    train = scalars(tmp_path / "tensorboard" / "train")
    assert train["loss"] == {20: 10.5, 40: 30.5}
    assert train["top1_error"] == pytest.approx({20: 0.6, 40: 0.2})
    assert train["top5_error"] == pytest.approx({20: 0.1, 40: 0.1})
    assert train["waiting_share"] == {20: 0.25, 40: 0.25}
    assert train["learning_rate"] == pytest.approx({20: 0.1, 40: 0.01})
    assert train["images_per_second"] == {20: 5.0, 40: 5.0}
    validation = scalars(tmp_path / "tensorboard" / "validation")
    assert validation == {"loss": {40: 0.5}, "top1_error": {40: 0.25}, "top5_error": {40: 0.125}}


def test_the_progress_bar_has_the_means_since_the_last_point(tmp_path):
    logs = make_logs(tmp_path)
    logs.steps(1, metrics(loss=2.0, top1_correct=5.0), 0.1)
    assert logs.text == "loss 2.000, top-1 50%"


def test_norms_belong_to_layers(tmp_path):
    logs = make_logs(tmp_path)
    for step in range(1, 201):
        logs.steps(step, metrics(loss=2.0, top1_correct=5.0), 0.1)
    logs.close()
    train = scalars(tmp_path / "tensorboard" / "train")
    assert train["gradient_norm/conv1"] == {100: 5.0, 200: 5.0}  # √(3² + 4²)
    assert train["gradient_norm/fc2"] == {100: 1.0, 200: 1.0}
    assert train["weight_norm/conv1"] == {100: 13.0, 200: 13.0}
    assert train["weight_norm/fc2"] == {100: 0.5, 200: 0.5}


def test_a_full_disk_ends_the_logs_and_nothing_else(tmp_path, capsys):
    logs = make_logs(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # bytes
    try:
        for step in range(1, 41):
            logs.steps(step, metrics(loss=2.0, top1_correct=5.0), 0.1)
            logs.validation(step, Evaluation(0.25, 0.125, 0.5, 8, 0, 1))
        logs.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert capsys.readouterr().out.count("TensorBoard logs end here: ") == 1
    assert logs.text == "loss 2.000, top-1 50%"


def test_without_a_clock_there_is_no_waiting_share(tmp_path):
    logs = make_logs(tmp_path, timed=False)
    for step in range(1, 21):
        logs.steps(step, metrics(loss=2.0, top1_correct=5.0, waiting=0.0), 0.1)
    logs.close()
    train = scalars(tmp_path / "tensorboard" / "train")
    assert "loss" in train and "waiting_share" not in train


def test_repeated_steps_replace_earlier_points(tmp_path):
    """In the same process, as with --on_divergence=back."""
    logs = make_logs(tmp_path)
    for first, last in ((0, 60), (30, 80)):
        if first:
            logs.restart_at(first)
            logs.restart_clock()
        for step in range(first + 1, last + 1):
            logs.steps(step, metrics(loss=1000.0 * first + step, top1_correct=4.0), 0.1)
    logs.close()
    events = EventAccumulator(str(tmp_path / "tensorboard" / "train"))
    events.Reload()
    points = [(e.step, float(make_ndarray(e.tensor_proto))) for e in events.Tensors("loss")]
    assert points == [(20, 10.5), (60, 30_050.5), (80, 30_070.5)]


def test_points_after_the_checkpoint_of_a_killed_run_are_replaced(tmp_path):
    """Steps 36 to 60 are made twice; the point at 40 would be of five steps the second time."""
    for first, last in ((0, 60), (35, 80)):
        logs = make_logs(tmp_path, first)
        for step in range(first + 1, last + 1):
            logs.steps(step, metrics(loss=1000.0 * first + step, top1_correct=4.0), 0.1)
        for step in (30, 60):
            if first < step <= last:
                logs.validation(step, Evaluation(0.25, 0.125, 1000.0 * first + step, 8, 0, 1))
        logs.close()
        time.sleep(1.1)  # TensorBoard reads the files of a directory by the second in their names
    for name, expected in (
        ("train", [(20, 10.5), (60, 35_050.5), (80, 35_070.5)]),
        ("validation", [(30, 30.0), (60, 35_060.0)]),
    ):
        events = EventAccumulator(str(tmp_path / "tensorboard" / name))
        events.Reload()
        points = [(e.step, float(make_ndarray(e.tensor_proto))) for e in events.Tensors("loss")]
        assert points == expected


def test_other_workers_write_nothing(tmp_path):
    logs = make_logs(tmp_path, enabled=False)
    logs.steps(20, metrics(loss=2.0, top1_correct=5.0), 0.1)
    logs.validation(20, Evaluation(0.25, 0.125, 0.5, 8, 0, 1))
    logs.close()
    assert not (tmp_path / "tensorboard").exists()
