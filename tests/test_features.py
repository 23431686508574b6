"""Features of layers: files of them, their images and labels, and linear probes."""

import dataclasses
import sys

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.applications import AlexNet, find_weights
from alexnet_tf.data.dataset import make_split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.shapes import jpeg
from alexnet_tf.evaluation.features import FeatureExtractor, Rows, check_output, write_features
from alexnet_tf.evaluation.linear_probe import check_sklearn, gather, probe
from alexnet_tf.evaluation.pretrained import choose_variant, classifier_from_weights
from alexnet_tf.models.feature_extraction import unit_model
from alexnet_tf.models.variants import TINY, VARIANTS
from alexnet_tf.system.errors import UserError
from tests import commands

LAYERS = ("conv5", "fc7", "fc8")
SHAPES = {"conv5": (6, 6, 64), "fc7": (256,), "fc8": (4,)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "tiny.weights.h5"
    AlexNet("tiny", classes=4).save_weights(path)
    return path


@pytest.fixture(scope="module")
def classifier(weights):
    return classifier_from_weights(find_weights(weights), TINY, (120.0, 110.0, 100.0))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Five images of labels 0 to 4; the third is damaged."""
    folder = tmp_path_factory.mktemp("images")
    for index in range(5):
        content = b"no image" if index == 2 else jpeg(0, index)
        (folder / f"{index}.jpg").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def split(images):
    paths = sorted(map(str, images.iterdir()))
    return make_split(paths, list(range(5)), "five", files=True)


def compute(classifier, split, layers=LAYERS, **arguments):
    extractor = FeatureExtractor(classifier, layers)
    errors = DecodeErrors(split)
    return extractor, list(extractor.rows(split, errors, "features", **arguments)), errors


def test_features_are_those_of_the_layers_for_the_preprocessed_images(classifier, split):
    extractor, rows, errors = compute(classifier, split)
    assert extractor.shapes == SHAPES
    (batch,) = rows
    assert [name[-5:] for name in batch.names] == ["0.jpg", "1.jpg", "3.jpg", "4.jpg"]
    assert batch.labels.tolist() == [0, 1, 3, 4]
    assert list(errors.reasons) == [2]
    pixels, _ = classifier.decode(tf.constant([jpeg(0, index) for index in (0, 1, 3, 4)]))
    crops = classifier.preprocessor.views(pixels, 1)[:, 0]
    for layer, features in batch.layers.items():
        expected = unit_model(classifier.model, layer)(crops)
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
        assert features.dtype == np.float32
    assert np.log(classifier.probabilities(pixels)).argmax(1).tolist() == (
        batch.layers["fc8"].argmax(1).tolist()
    )


def test_the_default_is_the_last_hidden_layer_and_files_have_no_labels(classifier, split):
    extractor, (batch,), _ = compute(classifier, split, (), labelled=False)
    assert extractor.layers == ("fc7",)
    assert batch.labels.tolist() == [-1] * 4


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_file_of_features_holds_names_labels_and_layers(classifier, split, tmp_path, suffix):
    extractor, rows, _ = compute(classifier, split)
    rows.append(dataclasses.replace(rows[0], labels=np.array([7, -1, 7, 7])))
    path = tmp_path / f"features{suffix}"
    assert write_features(path, iter(rows), extractor.shapes, ("a", "ü")) == 8
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    if suffix == ".npz":
        with np.load(path) as found:  # without pickles
            assert {*found.files} == {"names", "labels", "classes", *LAYERS}
            assert found["classes"].tolist() == ["a", "ü"]
            arrays = {name: found[name] for name in found.files}
        names, labels = arrays["names"].tolist(), arrays["labels"].tolist()
    else:
        import pyarrow.parquet as parquet  # tensorflow-datasets needs it

        found = parquet.read_table(path)
        names, labels = found["name"].to_pylist(), found["label"].fill_null(-1).to_pylist()
        assert found.schema.field("conv5").metadata == {b"shape": b"6,6,64"}
        arrays = {
            n: np.array(found[n].to_pylist(), np.float32).reshape(-1, *SHAPES[n]) for n in LAYERS
        }
    assert names == [*rows[0].names] * 2
    assert labels == [0, 1, 3, 4, 7, -1, 7, 7]
    for layer in LAYERS:
        np.testing.assert_array_equal(arrays[layer][4:], rows[0].layers[layer])
        assert arrays[layer].shape == (8, *SHAPES[layer])


def test_a_file_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    for name, message in (
        ("a.csv", r"end in .npz or .parquet"),
        ("none/a.npz", "There is no directory"),
    ):
        with pytest.raises(UserError, match=message):
            check_output(tmp_path / name)
    check_output(tmp_path / "a.npz")
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        check_output(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="pip install scikit-learn"):
        check_sklearn()
    with pytest.raises(UserError, match="None of the images"):
        write_features(tmp_path / "a.npz", iter(()), {"fc7": (2,)}, ())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "layers, message", [(("conv9",), "among conv1, .*conv9"), (("fc7", "fc7"), "each layer once")]
)
def test_layers_that_are_not_there_or_twice(classifier, layers, message):
    with pytest.raises(UserError, match=message):
        FeatureExtractor(classifier, layers)


def test_the_variant_of_a_file_is_its_own_or_asked_for(weights):
    found = find_weights(weights)
    assert choose_variant(found).name == "tiny"
    assert choose_variant(found, "paper").name == "paper"
    nameless = dataclasses.replace(found, conventions=())
    assert choose_variant(nameless).name == "tiny"  # the only one of these shapes
    several = dataclasses.replace(found, conventions=tuple(VARIANTS.values()))
    assert choose_variant(several).name == "tiny"


def test_a_probe_finds_classes_that_a_plane_divides():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    maps = rng.normal(size=(200, 3, 3, 4)).astype(np.float32)
    maps[..., 0] += 3 * labels[:, None, None]
    names = ("",) * 100
    batches = [
        Rows(names, labels[part], {"conv5": maps[part], "noise": maps[part][:, 0, 0, 1:]})
        for part in (slice(100), slice(100, 200))
    ]
    features, found = gather(batches)
    assert features["conv5"].shape == (200, 4) and features["noise"].shape == (200, 3)
    np.testing.assert_array_equal(found, labels)
    for layer, low, high in (("conv5", 0.99, 1.0), ("noise", 0.3, 0.7)):
        train, test = np.split(features[layer], 2)
        accuracy, _ = probe(train, labels[:100], test, labels[100:])
        assert low <= accuracy <= high
    with pytest.raises(UserError, match="two classes"):
        probe(train, np.zeros(100, int), test, labels[100:])


@pytest.mark.slow
def test_the_command_names_files_that_it_cannot_read(weights, images, tmp_path):
    output = tmp_path / "features.npz"
    done = commands.run("alexnet_tf.features", f"--weights={weights}", f"--output={output}", images)
    assert done.returncode == 1, done.stderr
    assert f"{output}: 4 images, float32: fc7 [256]" in done.stdout
    assert "left out: 1 unreadable" in done.stdout and "2.jpg" in done.stdout
    assert "mean colour takes its place" in done.stdout
    assert np.load(output)["fc7"].shape == (4, 256)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--probe"], "--model_dir or --weights. Received: neither"),
        (["--weights=caffe", "--probe", "a.jpg"], "Received: both"),
    ],
    ids=str,
)
@pytest.mark.slow
def test_flags_that_do_not_go_together_are_one_line(arguments, message):
    done = commands.run("alexnet_tf.features", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr
