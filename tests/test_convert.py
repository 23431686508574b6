"""Converting weights from every format to every other, and saying what a file is."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.applications import AlexNet, load_model
from alexnet_tf.convert import convert, identify
from alexnet_tf.data.shapes import jpeg
from alexnet_tf.evaluation.prediction import decode_outputs
from alexnet_tf.models.imagenet_classes import imagenet_classes
from alexnet_tf.models.variants import VARIANTS
from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.system.errors import UserError
from alexnet_tf.weights.arrays import LayerArrays, WeightFile, to_channels_first
from alexnet_tf.weights.files import read_weights, write_weights
from alexnet_tf.weights.network import assign
from alexnet_tf.weights.torch_files import state_dict
from tests.weights import by_hand
from tests.weights.narrow import CLASSES, NARROW, assert_equal, images, random_arrays

SUFFIXES = (".caffemodel", ".npy", ".safetensors", ".keras", ".h5", ".weights.h5")


@pytest.fixture
def narrow(monkeypatch):
    """The package's variants, but narrow; their geometry is that of the full ones."""
    for name, variant in NARROW.items():
        monkeypatch.setitem(VARIANTS, name, variant)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A file of each format with the same weights of caffe."""
    folder = tmp_path_factory.mktemp("sources")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "caffe", NARROW["caffe"])
        first = folder / "caffe.safetensors"
        write_weights(first, random_arrays(NARROW["caffe"]), NARROW["caffe"])
        for suffix in SUFFIXES:
            if suffix != ".safetensors":
                convert(str(first), str(folder / f"caffe{suffix}"))
    return folder


@pytest.mark.parametrize("source, target", list(itertools.product(SUFFIXES, SUFFIXES)))
def test_every_pair_of_formats(narrow, sources, tmp_path, source, target):
    path = tmp_path / f"converted{target}"
    said = convert(str(sources / f"caffe{source}"), str(path))
    assert said.endswith(f"→ {path}, variant caffe")
    assert_equal(read_weights(path).arrays, random_arrays(NARROW["caffe"]))


def test_torchvisions_file_becomes_a_network_of_keras(narrow, tmp_path):
    variant = NARROW["one_weird_trick"]
    arrays = random_arrays(variant)
    (tmp_path / "alexnet.pth").write_bytes(by_hand.pth(state_dict(arrays, variant)))
    convert(str(tmp_path / "alexnet.pth"), str(tmp_path / "alexnet.keras"))
    x = images(variant)
    loaded = load_model(tmp_path / "alexnet.keras")
    fresh = AlexNet(variant, CLASSES, weights=tmp_path / "alexnet.pth")
    np.testing.assert_array_equal(loaded(x), fresh(x))


def test_a_file_of_either_network_asks_for_the_variant(narrow, tmp_path):
    content = b"".join(
        by_hand.layer(name, "Any", [by_hand.blob(kernel), by_hand.blob(bias)])
        for name, (kernel, bias) in to_channels_first(random_arrays(NARROW["caffe"])).items()
    )
    path = tmp_path / "weights.caffemodel"
    path.write_bytes(content)
    with pytest.raises(UserError, match="Considered: caffe, caffenet. Choose with --variant=caffe"):
        convert(str(path), str(tmp_path / "a.keras"))
    convert(str(path), str(tmp_path / "a.keras"), "caffenet")
    assert read_weights(tmp_path / "a.keras").conventions == (NARROW["caffenet"],)


@pytest.mark.slow
def test_a_saved_model_predicts_words_of_a_photograph(narrow, tmp_path, capsys):
    source, mean = tmp_path / "a.safetensors", tmp_path / "mean.npy"
    write_weights(source, random_arrays(NARROW["caffe"], classes=1000), NARROW["caffe"])
    np.save(mean, np.full((3, 256, 256), 100.0))
    said = convert(str(source), str(tmp_path / "served"), mean=str(mean))
    assert said.endswith("served/1, variant caffe")
    assert "mean colour takes its place" not in capsys.readouterr().out
    model = LoadedModel(str(tmp_path / "served"))
    assert model.labels == tuple(synset for synset, _ in imagenet_classes())
    # As `python -m alexnet_tf.predict --saved_model` does.
    outputs = model.functions["serving_default"](image_bytes=tf.constant([jpeg(0, 0)]))
    (prediction,) = decode_outputs({name: value.numpy() for name, value in outputs.items()})
    words = [line[42:].strip() for line in str(prediction).splitlines() if "%" in line]
    assert len(words) == 5 and set(words) <= {text for _, text in imagenet_classes()}


def test_a_mean_image_is_for_a_saved_model_and_has_its_size(narrow, sources, tmp_path):
    source, mean = str(sources / "caffe.npy"), str(tmp_path / "mean.npy")
    np.save(mean, np.full((3, 8, 9), 100.0))
    with pytest.raises(UserError, match="--mean is for a SavedModel"):
        convert(source, str(tmp_path / "b.keras"), mean=mean)
    with pytest.raises(UserError, match="mean image of 9×8 pixels; caffe needs 256×256"):
        convert(source, str(tmp_path / "other"), mean=mean)


@pytest.mark.parametrize(
    "source, target, message",
    [
        ("none.npy", "a.keras", "none.npy cannot be read: No such file"),
        ("caffe.npy", "a.onnx", "Expected a file of .caffemodel, .*Received: a.onnx"),
        ("caffe.npy", "none/a.keras", "There is no directory .*none. Make it first"),
        ("caffe.npy", "caffe.npy", "The source and the destination are the same file"),
    ],
)
def test_wrong_paths(narrow, sources, monkeypatch, source, target, message):
    monkeypatch.chdir(sources)
    with pytest.raises(UserError, match=message):
        convert(source, target)


def test_a_destination_that_cannot_be_written(narrow, sources, tmp_path):
    for suffix in (".safetensors", ".keras"):
        target = tmp_path / ("x" * 300 + suffix)
        with pytest.raises(UserError, match="Cannot write .*: File name too long"):
            convert(str(sources / "caffe.npy"), str(target))


# Identify


def test_a_file_is_described(narrow, sources):
    text = identify(str(sources / "caffe.caffemodel"))
    assert text.splitlines()[0].endswith("caffe.caffemodel: a Caffe model")
    assert "conv2  5 × 5 × 4 × 16" in text
    assert "The file fits the variants paper, caffe, caffenet" in text
    assert text.endswith("Its numbers follow the conventions of caffe")


def test_logits_without_inputs(narrow, sources):
    with pytest.raises(UserError, match="Expected both --inputs and --logits, or neither"):
        identify(str(sources / "caffe.npy"), logits="logits.npy")


def _swapped_groups(arrays):
    changed = dict(arrays)
    for name in ("conv2", "conv4", "conv5"):
        layer = arrays[name]
        halves = (np.split(value, 2, -1)[::-1] for value in (layer.kernel, layer.bias))
        changed[name] = LayerArrays(*(np.concatenate(each, -1) for each in halves))
    return changed


def _flatten(arrays, order):
    """fc6 with rows in another order than this package's."""
    layer = arrays["fc6"]
    rows = np.arange(len(layer.kernel)).reshape(6, 6, -1)  # [height, width, channel]
    rows = rows.transpose(2, 0, 1).ravel()
    if order == "channel last":
        rows = np.argsort(rows)
    return {**arrays, "fc6": LayerArrays(layer.kernel[rows], layer.bias)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "convention",
    ["as it is", "rgb, no mean, swapped", "k = 2, channel first", "half, channel last"],
)
def test_the_convention_that_restores_logits_is_named(narrow, tmp_path, convention):
    """Logits come from the true weights; the file and its use differ in a few conventions."""
    flatten = re.search("channel .*|$", convention)[0] or "as read"
    variant = NARROW["caffe"]
    arrays = random_arrays(variant)
    x = np.float32(np.random.default_rng(3).uniform(0, 255, (1, 227, 227, 3)))
    mean = np.float32([122.679, 116.669, 104.007])
    true = variant
    if "k = 2" in convention:
        ops = (*variant.convs[0].post_ops,)
        true = dataclasses.replace(
            variant,
            convs=tuple(
                dataclasses.replace(
                    conv,
                    post_ops=tuple(
                        dataclasses.replace(op, k=2.0) if op == ops[1] else op
                        for op in conv.post_ops
                    ),
                )
                for conv in variant.convs
            ),
        )
    model = AlexNet(true, CLASSES)
    given = arrays
    if "half" in convention:  # the file's user halves the hidden units' output
        given = {
            n: LayerArrays(a.kernel / 2 if n in ("fc7", "fc8") else a.kernel, a.bias)
            for n, a in arrays.items()
        }
    assign(model, true, WeightFile("a", "test", given))
    inputs = x if "no mean" in convention else x - mean
    logits = model(inputs if "rgb" in convention else inputs[..., ::-1])
    stored = arrays
    if "swapped" in convention:
        stored = _swapped_groups(arrays)
    if flatten != "as read":
        stored = _flatten(stored, flatten)
    write_weights(tmp_path / "a.npy", stored, variant)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", logits)
    text = identify(
        str(tmp_path / "a.npy"), "best", str(tmp_path / "x.npy"), str(tmp_path / "y.npy")
    )
    (found,) = (line for line in text.splitlines() if "restores the logits" in line)
    expected = {
        "channels": "RGB" if "rgb" in convention else "BGR",
        "mean": "nothing" if "no mean" in convention else "ImageNet's mean colour",
        "flatten": flatten,
        "groups": "swapped" if "swapped" in convention else "as read",
        "k": "2" if "k = 2" in convention else "1",
        "dropout": "0.5" if "half" in convention else "1",
    }
    assert found.strip() == (
        "restores the logits: input {channels} less {mean}, flatten order {flatten}, groups "
        "{groups}, α / n, k = {k}, normalisation before pooling, hidden units × {dropout} at test"
    ).format(**expected)
