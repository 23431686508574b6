"""`alexnet_tf.AlexNet` and its companions, as users of `keras.applications` call them."""

import inspect
import io
import json
import os
import zipfile

import h5py
import keras
import numpy as np
import pytest

import alexnet_tf
from alexnet_tf.applications import (
    AlexNet,
    decode_predictions,
    find_weights,
    load_model,
    preprocess_input,
)
from alexnet_tf.evaluation.prediction import Prediction
from alexnet_tf.layers import NormalizeImages
from alexnet_tf.models.imagenet_classes import class_words, imagenet_classes
from alexnet_tf.models.variants import VARIANTS
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.optimizer import PaperSGD
from alexnet_tf.weights import official
from alexnet_tf.weights.files import write_weights
from tests.weights.narrow import CLASSES, NARROW, random_arrays

X = np.random.default_rng(0).normal(0, 5, (1, 64, 64, 3))


@pytest.fixture(scope="module")
def tiny():
    return AlexNet("tiny", CLASSES)


@pytest.fixture(scope="module")
def tiny_file(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.weights.h5"
    tiny.save_weights(path)
    return path


def test_arguments_have_the_order_and_the_names_of_keras_applications():
    names = list(inspect.signature(alexnet_tf.AlexNet).parameters)
    assert names[:4] == ["variant", "classes", "include_top", "weights"]
    assert set(inspect.signature(keras.applications.VGG16).parameters) <= set(names)


def test_logits_come_first_and_an_activation_on_request(tiny, tiny_file):
    model = AlexNet("tiny", CLASSES, weights=tiny_file, classifier_activation="softmax", name="net")
    assert model.name == "net" and tiny.name == "alexnet_tiny"
    logits = tiny(X)
    np.testing.assert_allclose(model(X), keras.ops.softmax(logits), rtol=1e-5)
    assert np.min(logits) < 0


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_pooling_reduces_the_maps(tiny, tiny_file, pooling):
    body = AlexNet("tiny", include_top=False, weights=tiny_file)
    pooled = AlexNet("tiny", include_top=False, weights=tiny_file, pooling=pooling)
    maps = np.asarray(body(X))
    assert maps.shape == (1, 2, 2, 64)
    expected = maps.mean((1, 2)) if pooling == "avg" else maps.max((1, 2))
    np.testing.assert_allclose(pooled(X), expected, rtol=1e-5)


def test_other_sizes_of_images():
    assert AlexNet("tiny", CLASSES, input_shape=(96, 80, 3)).output_shape == (None, CLASSES)
    body = AlexNet("tiny", include_top=False, input_shape=(None, None, 3))
    assert body.output_shape == (None, None, None, 64)
    assert body(np.zeros((1, 96, 80, 3))).shape == (1, 4, 3, 64)


def test_weights_without_the_top_fit_images_of_another_size(tiny_file):
    AlexNet("tiny", include_top=False, weights=tiny_file, input_shape=(96, 96, 3))
    with pytest.raises(
        UserError, match=r"holds fc6 of shape \(256, 256\); the network's has \(1024"
    ):
        AlexNet("tiny", CLASSES, weights=tiny_file, input_shape=(96, 96, 3))


def test_a_network_on_a_tensor(tiny, tiny_file):
    image = keras.Input((64, 64, 3), dtype="uint8")
    model = AlexNet(
        "tiny", CLASSES, weights=tiny_file,
        input_tensor=NormalizeImages((100, 110, 120), (16, 16, 16))(image),
    )  # fmt: skip
    photo = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), np.uint8)
    normalised = (photo - np.float32([100, 110, 120])) / 16
    np.testing.assert_allclose(model(photo), tiny(normalised), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"pooling": "avg"}, "`pooling` must be None, or "),
        ({"pooling": "sum", "include_top": False}, "`pooling` must be None, or "),
        ({"input_shape": (8, 8, 3)}, "at least .* pixels for tiny. Received"),
        ({"input_shape": (64, 64, 1)}, r"must be \(height, width, 3\)"),
        ({"weights_exclude": ("fc8",)}, "`weights_exclude` needs `weights`"),
        ({"weights": "nowhere.npy"}, "nowhere.npy cannot be read: No such file"),
        ({"weights": "vgg16"}, "vgg16 cannot be read: No such file"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        AlexNet("tiny", **arguments)
    assert "\n" not in str(error.value)


def test_other_classes_keep_all_other_layers(tiny, tiny_file):
    with pytest.raises(UserError, match=r'begin fc8 anew, exclude it: weights_exclude=\("fc8",\)'):
        AlexNet("tiny", 999, weights=tiny_file)
    for exclude in (("fc8",), ["fc8"], "fc8"):
        model = AlexNet("tiny", 999, weights=tiny_file, weights_exclude=exclude)
        for name in ("conv1", "fc6", "fc7"):
            mine, other = (m.get_layer(name).get_weights() for m in (model, tiny))
            for a, b in zip(mine, other, strict=True):
                np.testing.assert_array_equal(a, b)
    with pytest.raises(UserError, match="There is no layer fc9. Expected conv1, "):
        AlexNet("tiny", CLASSES, weights=tiny_file, weights_exclude=("fc9",))


@pytest.mark.parametrize("name", ["caffe", "caffenet", "torchvision"])
def test_official_weights_by_name(tmp_path, monkeypatch, name):
    """What a name downloads is read as a path is; tests/weights/test_official.py has the rest."""
    variant = {"torchvision": "one_weird_trick"}.get(name, name)
    path = tmp_path / ("a.safetensors" if name == "torchvision" else "a.caffemodel")
    write_weights(path, random_arrays(NARROW[variant]), NARROW[variant])
    asked = []
    monkeypatch.setattr(official, "download", lambda name: asked.append(name) or str(path))
    monkeypatch.chdir(tmp_path)
    model = AlexNet(NARROW[variant], CLASSES, weights=name)
    expected = random_arrays(NARROW[variant])["fc8"].kernel
    np.testing.assert_array_equal(model.get_layer("fc8").kernel, expected)
    assert asked == [name]
    with pytest.raises(UserError, match="no run|model.json|no checkpoint"):
        (tmp_path / name).mkdir()  # a path of that name comes first
        find_weights(name)


# Preprocessing and words


def test_preprocessing_by_hand():
    x = np.full((1, 2, 2, 3), [10, 20, 30], np.uint8)
    bgr = preprocess_input(x, "caffe")
    assert bgr.dtype == np.float32
    np.testing.assert_allclose(bgr[0, 0, 0], [30 - 104.007, 20 - 116.669, 10 - 122.679], rtol=1e-5)
    torch = preprocess_input(x, "one_weird_trick")
    expected = (np.float32([10, 20, 30]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(torch[0, 0, 0], expected, rtol=1e-4)
    mean = preprocess_input(x, "caffe", mean=np.full((2, 2, 3), [1, 2, 3]))
    np.testing.assert_array_equal(mean[0, 1, 1], [27, 18, 9])
    assert x.dtype == np.uint8 and x[0, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("variant", ["paper", "caffe", "one_weird_trick"])
@pytest.mark.parametrize("dtype", ["uint8", "float64", "int32"])
def test_preprocessing_takes_arrays_and_tensors(variant, dtype):
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 3, 3)).astype(dtype)
    tensor = preprocess_input(keras.ops.convert_to_tensor(x), variant)
    assert keras.ops.is_tensor(tensor) and tensor.dtype == "float32"
    np.testing.assert_allclose(tensor, preprocess_input(x, variant), rtol=1e-5)
    np.testing.assert_array_equal(preprocess_input(x, variant)[1], preprocess_input(x[1], variant))


def test_preprocessing_refuses_grey_images():
    with pytest.raises(ValueError, match=r"3 channels, RGB. Received: x.shape=\(4, 4, 1\)"):
        preprocess_input(np.zeros((4, 4, 1)))
    with pytest.raises(UserError, match="Unknown variant"):
        preprocess_input(np.zeros((4, 4, 3)), "lenet")


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_predictions_become_words(kind):
    logits = np.zeros((2, 1000), np.float32)
    logits[0, [0, 2]], logits[1, 999] = [9, 10], 20
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    (first, second) = decode_predictions(logits if kind == "logits" else scores, top=2)
    assert [entry[:2] for entry in first] == [
        ("n01484850", "great white shark"),
        ("n01440764", "tench"),
    ]
    assert first[0][2] == pytest.approx(np.exp(10) / (np.exp(10) + np.exp(9) + 998), rel=1e-5)
    assert second[0][0] == "n15075141" and second[0][2] == pytest.approx(1, abs=1e-4)
    with pytest.raises(ValueError, match=r"shape \[B, 1000\]. Received: \(2, 10\)"):
        decode_predictions(logits[:, :10])


def test_imagenets_classes():
    classes = imagenet_classes()
    synsets = [synset for synset, _ in classes]
    assert len(set(synsets)) == 1000 and synsets == sorted(synsets)
    assert all(words == words.strip() and words for _, words in classes)
    assert dict(classes)["n02123045"].startswith("tabby")
    assert class_words("n01440764") == "tench" and class_words("my cat") == "my cat"


def test_printed_predictions_have_words():
    text = str(Prediction("a.jpg", ("n01440764", "circle"), (0.75, 0.25)))
    assert [line.split()[-1] for line in text.splitlines()] == ["a.jpg", "tench", "circle"]


# The layer


def test_the_layer_normalises_as_the_function_does(tmp_path):
    for name in ("caffe", "one_weird_trick"):
        own = VARIANTS[name].preprocessing
        mean = own.mean if isinstance(own.mean, tuple) else (122.679, 116.669, 104.007)
        layer = NormalizeImages(mean, own.std, own.channels)
        x = np.random.default_rng(0).integers(0, 256, (2, 3, 3, 3), np.uint8)
        np.testing.assert_allclose(layer(x), preprocess_input(x, name), rtol=1e-5)
        again = NormalizeImages.from_config(json.loads(json.dumps(layer.get_config())))
        np.testing.assert_array_equal(again(x), layer(x))
    model = keras.Sequential([keras.Input((3, 3, 3)), layer])
    model.save(tmp_path / "a.keras")
    np.testing.assert_array_equal(load_model(tmp_path / "a.keras")(x), layer(x))


@pytest.mark.parametrize(
    "arguments",
    [((1, 2),), ((1, 2, 3), (1, 0, 1)), ((1, 2, 3), (1, 1)), ((1, 2, 3), (1, 1, 1), "hsv")],
)
def test_the_layer_refuses_wrong_arguments(arguments):
    with pytest.raises(ValueError, match="Received: "):
        NormalizeImages(*arguments)


# Saved models


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_saved_model_loads(tmp_path, suffix, compiled):
    model = AlexNet("tiny", CLASSES)
    if compiled:
        model.compile(PaperSGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.save(tmp_path / f"a{suffix}")
    loaded = load_model(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(loaded(X), model(X))


@pytest.fixture
def saved_with(tmp_path):
    """Makes a .keras or .h5 file whose configuration a function has changed."""

    def save(suffix, change):
        path = tmp_path / f"a{suffix}"
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="dense")])
        model.save(path)
        if suffix == ".h5":
            with h5py.File(path, "r+") as file:
                config = json.loads(file.attrs["model_config"])
                change(config)
                file.attrs["model_config"] = json.dumps(config)
            return path
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(files["config.json"])
        change(config)
        files["config.json"] = json.dumps(config)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    return save


def _dense(config):
    (layer,) = (each for each in config["config"]["layers"] if "Dense" in each["class_name"])
    return layer


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    "name, module, message",
    [
        ("Lambda", "keras.layers", r"runs code \(Lambda\)"),
        ("TFSMLayer", "keras.layers", r"runs code \(TFSMLayer\)"),
        ("TorchModuleWrapper", "keras.layers", "runs code"),
        ("Popen", "subprocess", "Popen of the package subprocess"),
        ("system", "os", "system of the package os"),
        ("Evil", "keras_evil", "of the package keras_evil"),
        ("NoSuchLayer", "keras.layers", "no Keras model, or it is damaged"),
        ("get_file", "keras.utils", "no Keras model, or it is damaged"),
        ("AlexNet", "alexnet_tf.applications", "no Keras model, or it is damaged"),
    ],
)
def test_foreign_layers_are_refused(saved_with, suffix, name, module, message):
    def change(config):
        layer = _dense(config)
        layer["class_name"], layer["module"], layer["registered_name"] = name, module, None

    path = saved_with(suffix, change)
    with pytest.raises(UserError, match=message) as error:
        load_model(path)
    assert "\n" not in str(error.value)


def test_a_lambda_of_keras_itself_is_not_run(tmp_path):
    marker = str(tmp_path / "marker")
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Lambda(lambda x: (open(marker, "w"), x)[1])]  # noqa: SIM115
    )
    os.remove(marker)
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"a{suffix}")
        with pytest.raises(UserError, match="runs code"):
            load_model(tmp_path / f"a{suffix}")
    assert not os.path.exists(marker)


def test_arrays_in_other_files_are_refused(saved_with, tmp_path):
    path = saved_with(".h5", lambda config: None)
    with h5py.File(path, "r+") as file:
        file["model_weights"]["other"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(UserError, match="lies in another file"):
        load_model(path)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + bytes(100), b"[" * 9999]
)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_is_no_model(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no Keras model, or it is damaged"):
        load_model(path)
    with pytest.raises(UserError, match="There is no model"):
        load_model(tmp_path / "none.keras")


def test_a_model_that_is_nested_deeply(tmp_path):
    file = io.BytesIO()
    with h5py.File(io.BytesIO(), "w") as weights, zipfile.ZipFile(file, "w") as archive:
        weights.create_group("layers")
        weights.flush()
        archive.writestr("config.json", '{"config":' * 5000 + "1" + "}" * 5000)
        archive.writestr("model.weights.h5", weights.id.get_file_image())
    (tmp_path / "a.keras").write_bytes(file.getvalue())
    with pytest.raises(UserError, match="nested"):
        load_model(tmp_path / "a.keras")
