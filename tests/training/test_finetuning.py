"""Runs that begin with known weights, and runs of which some layers are frozen."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.applications import AlexNet, find_weights
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.options import Options
from alexnet_tf.training.run import train
from tests.training.short_runs import Kill, assert_equal_weights, options, weights
from tests.training.test_train_step import Step

CONVS = ("conv1", "conv2", "conv3", "conv4", "conv5")


@pytest.fixture(scope="module")
def pretrained(folder, tmp_path_factory):
    """The directory of a run on ten classes, of one step."""
    run = tmp_path_factory.mktemp("pretrained")
    train(options(folder, run, steps=1))
    return str(run)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Weights of ten classes in a file."""
    path = tmp_path_factory.mktemp("file") / "ten.weights.h5"
    AlexNet("tiny", classes=10).save_weights(path)
    return str(path)


@pytest.fixture(scope="module")
def four(folder, tmp_path_factory):
    """A folder of four of the classes: 16 training images, two steps."""
    root = tmp_path_factory.mktemp("four")
    for split in ("train", "val"):
        for name in sorted(os.listdir(os.path.join(folder, split)))[:4]:
            shutil.copytree(os.path.join(folder, split, name), root / split / name)
    return str(root)


def begun(run):
    """The arrays of a run's weights, by layer."""
    return ModelDirectory(run).read_weights("newest").arrays


@pytest.mark.slow
def test_only_the_first_start_reads_the_weights(file, four, tmp_path, capsys):
    """Of the frozen layers and of fc8 nothing is equal by chance: they are drawn by a seed."""
    source, own = shutil.copy(file, tmp_path), tmp_path / "run"
    changes = {"init_from": source, "freeze": ("conv1-conv3", "fc6")}
    first = train(options(four, own, steps=1, **changes))
    printed = capsys.readouterr().out
    line = f"{source} (a Keras file): conv1 to fc7; fc8 begins anew, for 4 classes in place of 10"
    assert f"Initial weights: {line}\n" in printed
    assert "frozen: conv1 to conv3, fc6; " in printed
    os.remove(source)
    second = train(options(four, own, steps=3, **changes))
    printed = capsys.readouterr().out
    assert "Resuming after step 1" in printed and "Initial weights" not in printed
    assert ModelDirectory(own).read_metadata().initial_weights == line
    begin, before, after = find_weights(file).arrays, weights(first), weights(second)
    for layer in begin:
        kernels = before[f"{layer}/kernel"], after[f"{layer}/kernel"]
        if layer in ("conv1", "conv2", "conv3", "fc6"):
            for kernel in kernels:
                np.testing.assert_array_equal(kernel, begin[layer].kernel)
        else:
            assert (kernels[0] != kernels[1]).any()
        if layer != "fc8":
            np.testing.assert_allclose(kernels[0], begin[layer].kernel, atol=0.02)
    saved = tf.train.load_checkpoint(second.directory.find_checkpoint().path / "variables")
    shapes = list(saved.get_variable_to_shape_map().values())
    assert shapes.count([5, 5, 3, 32]) == 1  # conv1's kernel has no velocity
    assert shapes.count([256, 4]) == 2  # fc8's has
    with pytest.raises(UserError, match="--freeze conv1-conv3,fc6, which cannot be .* conv1\\."):
        train(options(four, own, steps=4, **{**changes, "freeze": ("conv1",)}))


@pytest.mark.slow
def test_a_run_begins_with_the_weights_of_another(pretrained, four, tmp_path, capsys):
    """With a rate of 0 nothing is learnt, so that the run ends with what it began with."""
    still = {"learning_rate": 0.0, "steps": 1, "init_from": pretrained}
    train(options(four, tmp_path, **still))
    line = (
        f"{pretrained}/checkpoints/00000001 (a checkpoint): conv1 to fc7; fc8 begins anew, for 4 "
        "classes in place of 10"
    )
    assert f"Initial weights: {line}\n" in capsys.readouterr().out
    source, ours = begun(pretrained), begun(tmp_path)
    for name in source.keys() - {"fc8"}:
        np.testing.assert_array_equal(source[name].kernel, ours[name].kernel)
        np.testing.assert_array_equal(source[name].bias, ours[name].bias)
    assert ours["fc8"].kernel.shape[-1] == 4 and ours["fc8"].kernel.any()
    assert json.loads((tmp_path / "model.json").read_text())["initial_weights"] == line


@pytest.mark.slow
def test_a_stopped_run_with_frozen_layers_goes_on_as_if_nothing_was(pretrained, four, tmp_path):
    changes = {"steps": 4, "init_from": pretrained, "freeze": ("conv1-conv5",)}
    whole = train(options(four, tmp_path / "whole", **changes))
    train(options(four, tmp_path / "parts", **changes), callbacks=[Kill(3)])
    parts = train(options(four, tmp_path / "parts", **changes))
    assert_equal_weights(whole, parts, rtol=1e-5, atol=1e-6)


def test_the_graph_has_no_gradients_of_frozen_layers():
    """Neither of their kernels nor of the maps between them."""
    step = Step(4, freeze=CONVS)
    assert [layer for layer in step.network.layers[::2]] == ["fc6", "fc7", "fc8"]
    graph = step.train_steps.get_concrete_function(step.batches, tf.constant(1)).graph
    kinds = {node.op for f in graph.as_graph_def().library.function for node in f.node_def}
    kinds |= {node.op for node in graph.as_graph_def().node}
    assert "Conv2D" in kinds
    assert not kinds & {"Conv2DBackpropFilter", "Conv2DBackpropInput", "MaxPoolGrad"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "mirrored", "logical_cpus": 2},
        {"precision": "float16"},
        {"accumulate": 2, "clip_norm": 1.0, "decay_biases": True},
    ],
    ids=str,
)
def test_frozen_layers_stay_on_any_device(pretrained, four, tmp_path, changes):
    frozen = {"freeze": ("conv1-fc6",), "init_from": pretrained, "steps": 2}
    result = train(options(four, tmp_path, **frozen, **changes))
    source, ours = begun(pretrained), begun(tmp_path)
    for name in (*CONVS, "fc6"):
        np.testing.assert_array_equal(source[name].kernel, ours[name].kernel)
        np.testing.assert_array_equal(source[name].bias, ours[name].bias)
    assert (source["fc7"].kernel != ours["fc7"].kernel).any()
    assert np.isfinite(result.evaluation.loss)


@pytest.mark.slow
def test_towers_begin_with_known_weights(pretrained, four, tmp_path):
    still = {"learning_rate": 0.0, "steps": 1, "init_from": pretrained}
    towers = ("/CPU:0", "/CPU:1")
    train(options(four, tmp_path, **still, tower_devices=towers, logical_cpus=2))
    source, ours = begun(pretrained), begun(tmp_path)
    np.testing.assert_array_equal(source["fc7"].kernel, ours["fc7"].kernel)
    np.testing.assert_array_equal(source["conv2"].kernel, ours["conv2"].kernel)


@pytest.mark.slow
def test_the_same_number_of_other_classes_begins_the_last_layer_anew(
    pretrained, folder, tmp_path, capsys
):
    root = tmp_path / "images"
    shutil.copytree(folder, root)
    for split in ("train", "val"):
        (root / split / "ring").rename(root / split / "wheel")
    train(options(str(root), tmp_path / "run", steps=1, init_from=pretrained))
    assert "fc8 begins anew, for 10 other classes" in capsys.readouterr().out
    directory = ModelDirectory(pretrained)  # of an earlier version: it names none of the options
    metadata = directory.read_metadata()
    kept = {k: v for k, v in metadata.options.items() if not k.startswith(("init", "freeze"))}
    directory.write_metadata(dataclasses.replace(metadata, options=kept))
    assert directory.matches(metadata)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"freeze": ("conv9",)}, "--freeze with layers of conv1, .*Received: conv9"),
        ({"freeze": ("conv5-conv1",)}, "Received: conv5-conv1"),
        ({"freeze": ("conv1-",)}, None),
        ({"freeze": ("conv1-fc8",)}, "--freeze to leave a layer to train"),
        ({"freeze": ("conv1",), "layer_rates": ("conv1:0:10",)}, "without layers of --freeze"),
        ({"init_exclude": ("fc8",)}, "no --init_from"),
        ({"init_exclude": ("fc9",), "init_from": "caffe"}, "--init_exclude with layers of .*fc9"),
        ({"init_checkpoint": "last"}, "best, newest"),
        ({"freeze": ("conv1",), "tower_devices": ("/CPU:0", "/CPU:1")}, "without --freeze"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_in_one_line(changes, message):
    if message is None:  # a range without its end is the layer itself
        assert Options(**changes).frozen_layers == ("conv1",)
        return
    with pytest.raises(UserError, match=message) as caught:
        Options(**changes)
    assert "\n" not in str(caught.value)


def test_ranges_and_names_of_layers():
    assert Options(freeze=("conv1-conv5",)).frozen_layers == CONVS
    assert Options(freeze=("fc6", "conv4-conv5")).frozen_layers == ("conv4", "conv5", "fc6")
    named = Options(init_from="caffe", init_exclude=("fc6-fc8",))
    assert named.new_layers == ("fc6", "fc7", "fc8")
    assert Options(init_from="caffe", init_exclude=()).new_layers == ()


@pytest.mark.parametrize("name", ["nowhere", "weights.txt", "other.weights.h5", "gs://a/b.npy"])
def test_weights_that_do_not_fit_are_one_line_and_leave_nothing(four, tmp_path, name):
    (tmp_path / "weights.txt").write_text("weights")
    if name.endswith("h5"):
        AlexNet("tiny32").save_weights(tmp_path / name)
    source = name if "://" in name else str(tmp_path / name)
    with pytest.raises(UserError) as caught:
        train(options(four, tmp_path / "run", init_from=source))
    assert "\n" not in str(caught.value) and name in str(caught.value)
    assert not (tmp_path / "run").exists()
    if name.endswith("h5"):
        assert "tiny32" in str(caught.value)


def test_the_exclusions_of_a_user_replace_the_default(file, four, tmp_path):
    with pytest.raises(UserError, match="--init_exclude=fc8 in training"):
        train(options(four, tmp_path / "run", init_from=file, init_exclude=()))
