"""Training of the network on two devices: as on one, and from each other's checkpoints."""

import collections
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.system.errors import UserError
from alexnet_tf.training.run import train
from tests import commands
from tests.training.short_runs import assert_equal_weights, options
from tests.training.test_several_workers import tensors
from tests.training.test_train_step import Step, assert_same

DEVICES = ("/CPU:0", "/CPU:1")


@pytest.mark.slow
def test_towers_learn_what_one_device_learns(folder, tmp_path):
    """With dropout: each tower draws the masks that its units have in the whole network."""
    one = train(options(folder, tmp_path / "one", epochs=1.0))
    two = train(options(folder, tmp_path / "two", epochs=1.0, tower_devices=DEVICES))
    assert_equal_weights(two, one, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_run_goes_on_with_or_without_towers(folder, tmp_path):
    """The velocities too: they are half of what the next step does."""
    for name, first, second in (("ab", DEVICES, ()), ("ba", (), DEVICES), ("bb", (), ())):
        train(options(folder, tmp_path / name, epochs=1.0, tower_devices=first))
        last = train(options(folder, tmp_path / name, epochs=2.0, tower_devices=second))
        if name == "ab":
            expected = last
        else:
            assert_equal_weights(last, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_stopped_and_resumed_towers_are_the_same(folder, tmp_path):
    """With dropout, whose states are the whole network's in a checkpoint, and the loss's scale.

    In processes of their own, as only all of one can be deterministic. Nearly always they are the
    same to the bit; in one of some forty runs, for a cause not found, they are 3e-8 apart.
    """
    flags = ("--dataset=folder", f"--data_dir={folder}", "--batch_size=8", "--noexport")
    flags += ("--logical_cpus=2", f"--tower_devices={','.join(DEVICES)}", "--deterministic")
    for name, ends in (("whole", (10,)), ("parts", (5, 10))):
        for steps in ends:
            done = commands.run(
                "alexnet_tf.train", *flags, f"--model_dir={tmp_path / name}",
                f"--steps={steps}", "--precision=float16",
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    whole, parts = (tensors(tmp_path / n / "checkpoints" / "00000010") for n in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name, values in whole.items():
        assert np.isfinite(values).all(), name
        np.testing.assert_allclose(parts[name], values, rtol=1e-5, atol=3e-7, err_msg=name)


@pytest.mark.slow
def test_the_table_is_read_from_the_graph(folder, tmp_path, capsys):
    train(options(folder, tmp_path, steps=1, tower_devices=DEVICES))
    rows = re.findall(r"^  (\S+) +(CPU:\d) +([\d,]+) +([\d,]+)$", capsys.readouterr().out, re.M)
    table = {
        name: (place, *(int(crossing.replace(",", "")) for crossing in both))
        for name, place, *both in rows
    }
    image, maps = 64 * 64 * 3 * 4, 6 * 6 * 32 * 4  # bytes: pixels to tower b; pool2's to the other
    pool5, units = 2 * 2 * 32 * 4, 128 * 4
    assert table == {
        **{f"conv{n}a": ("CPU:0", 0, 0) for n in range(1, 6)},
        **{f"conv{n}b": ("CPU:1", 0, 0) for n in range(2, 6)},
        "conv1b": ("CPU:1", image, 0),
        **{"to_conv3a": ("CPU:0", maps, maps), "to_conv3b": ("CPU:1", maps, maps)},
        **{"to_fc6a": ("CPU:0", pool5, pool5), "to_fc6b": ("CPU:1", pool5, pool5)},
        **{"to_fc7a": ("CPU:0", units, units), "to_fc7b": ("CPU:1", units, units)},
        **{"to_fc8a": ("CPU:0", units, units), "fc8": ("CPU:0", 0, 0)},
        **{f"fc{n}{t}": (d[1:], 0, 0) for n in (6, 7) for t, d in zip("ab", DEVICES, strict=True)},
    }  # fmt: skip


def test_gradients_and_updates_are_computed_where_their_weights_are():
    step = Step(4, towers=DEVICES)
    found = set()
    traced = step.train_steps.get_concrete_function(step.batches, tf.constant(1))
    for graph in _graphs(traced.graph):
        for operation in graph.get_operations():
            tower = re.search(r"conv\d([ab])(_\d+)?/", operation.name)
            if operation.type in ("Conv2DBackpropFilter", "Conv2DBackpropInput") and tower:
                assert operation.device.endswith(DEVICES["ab".index(tower.group(1))][1:])
                found.add((operation.type, operation.device))
            if operation.type == "ResourceApplyKerasMomentum":
                gradient = operation.inputs[3].op
                assert operation.device.split(":")[-1] == gradient.device.split(":")[-1]
                found.add((operation.type, operation.device[-5:]))
    assert len(found) == 6  # of three types, on two devices
    assert_same(step.gradients, Step(4, towers=DEVICES[::-1]).gradients, 1e-5)


def _graphs(graph):
    """A graph and those of the loops and functions in it."""
    yield graph
    for operation in graph.get_operations():
        for attribute in ("body", "f"):
            if attribute in operation.node_def.attr:
                inner = graph._get_function(operation.get_attr(attribute).name)
                if inner is not None:
                    yield from _graphs(inner.graph)


def executed_graphs(train, directory):
    """The graphs that TensorFlow ran, divided among devices."""
    logs = directory / "logs"
    with tf.summary.create_file_writer(str(logs)).as_default(step=0):
        tf.summary.trace_on(profiler=True, profiler_outdir=str(directory / "profile"))
        train()
        tf.summary.trace_export("run")
    (path,) = logs.iterdir()
    for record in tf.data.TFRecordDataset(str(path)):
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value:
            (serialized,) = value.tensor.string_val
            yield from tf.compat.v1.RunMetadata.FromString(serialized).partition_graphs


def test_gradients_and_updates_run_where_their_weights_are(tmp_path):
    """Not what the graph asks for, but what TensorFlow then did."""
    found, sent = collections.Counter(), set()
    for graph in executed_graphs(lambda: Step(4, towers=DEVICES), tmp_path):
        nodes = {node.name: node for node in graph.node}
        for node in graph.node:
            tower = "ab"[int(node.device[-1])]
            if "BackpropFilter" in node.op:  # oneDNN's have another name
                assert f"{tower}_1/convolution_grad" in node.name
                found["kernel gradients", tower] += 1
            elif node.op == "ResourceApplyKerasMomentum":
                found["updates", tower] += 1
            elif node.op == "_Send":
                source = nodes[node.input[0].split(":")[0]]
                if "/gradients/" in source.name:
                    sent.add(source.name)
    assert found == {
        **{("kernel gradients", "a"): 5, ("kernel gradients", "b"): 5},  # conv1 to conv5
        **{("updates", "a"): 16, ("updates", "b"): 14},  # kernels and biases; fc8 is on the first
    }
    assert len(sent) == 7  # of conv3, fc6 and fc7 both ways, of fc8 to the second


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"tower_devices": ("/CPU:0", "/GPU:5")}, "Received: /GPU:5"),
        ({"tower_devices": DEVICES, "strategy": "mirrored"}, "single process"),
        ({"tower_devices": DEVICES, "xla": True}, "without --xla"),
        ({"tower_devices": DEVICES[:1] * 2}, "Expected two"),
    ],
)
def test_towers_that_cannot_be_are_refused_before_anything_is_written(
    folder, tmp_path, changes, complaint
):
    with pytest.raises(UserError, match=complaint):
        train(options(folder, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_callbacks_would_not_see_the_towers(folder, tmp_path):
    with pytest.raises(UserError, match="--tower_devices without Keras callbacks"):
        train(
            options(folder, tmp_path / "run", tower_devices=DEVICES),
            callbacks=[keras.callbacks.History()],
        )
    assert not (tmp_path / "run").exists()
