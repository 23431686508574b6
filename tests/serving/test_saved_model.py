import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.serving.model_card import recipe
from alexnet_tf.serving.saved_model import export
from alexnet_tf.serving.signatures import SIGNATURES, check_ops
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.options import Options
from tests.serving.servable import CLASSES, make_card, make_picture

K = len(CLASSES)
IMAGES = {"valid": (tf.bool, [None])}
BEST = {
    "classes": (tf.string, [None, 5]),
    "scores": (tf.float32, [None, 5]),
    "probabilities": (tf.float32, [None, K]),
}
OUTPUTS = {
    "serving_default": {**BEST, **IMAGES},
    "ten_view": {**BEST, **IMAGES},
    "images": BEST,
    "features": {"features": (tf.float32, [None, 256]), **IMAGES},
    "look_inside": {
        "square": (tf.uint8, [None, 72, 72, 3]),
        "views": (tf.uint8, [None, 10, 64, 64, 3]),
        "view_probabilities": (tf.float32, [None, 10, K]),
        "first_layer": (tf.float32, [None, 30, 30, 32]),
        **IMAGES,
    },
    "classify": {"classes": (tf.string, [None, K]), "scores": (tf.float32, [None, K])},
}


@pytest.fixture(scope="module")
def pictures():
    return [make_picture(0), make_picture(1, "PNG"), make_picture(2, "BMP"), make_picture(3, "GIF")]


@pytest.fixture(scope="module")
def squares(classifier, pictures):
    return classifier.decode(tf.constant(pictures))[0]


def test_the_fixtures_predictions_differ(classifier, squares):
    probabilities = classifier.probabilities(squares).numpy()
    assert np.ptp(probabilities, axis=0).max() > 0.05


def test_every_signature_has_its_names_types_and_a_free_batch(loaded):
    assert set(loaded.functions) == set(SIGNATURES) == set(OUTPUTS)
    for name, expected in OUTPUTS.items():
        found = loaded.functions[name].structured_outputs
        found = {key: (spec.dtype, spec.shape.as_list()) for key, spec in found.items()}
        assert found == expected
        assert loaded.argument(name).shape.as_list()[0] is None


def test_methods_have_tensorflow_servings_names(loaded):
    methods = {name: d.method_name for name, d in loaded.definitions.items() if d.inputs}
    assert methods.pop("classify") == "tensorflow/serving/classify"
    assert set(methods.values()) == {"tensorflow/serving/predict"}


@pytest.mark.parametrize("signature, views", [("serving_default", 1), ("ten_view", 10)])
def test_signatures_agree_with_the_classifier(
    loaded, classifier, pictures, squares, signature, views
):
    answer = loaded.call(signature, pictures)
    expected = classifier.probabilities(squares, views).numpy()
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)
    order = np.argsort(-expected, axis=1)[:, :5]
    assert answer["classes"].tolist() == [[CLASSES[i].encode() for i in row] for row in order]
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(expected, order, 1), atol=1e-6)
    assert answer["valid"].all()


def test_decoded_images_have_the_same_predictions_as_their_files(loaded, pictures, squares):
    files, pixels = loaded.call("serving_default", pictures), loaded.call("images", squares)
    np.testing.assert_array_equal(pixels["probabilities"], files["probabilities"])
    np.testing.assert_array_equal(pixels["classes"], files["classes"])


def test_features_lead_to_the_probabilities(loaded, classifier, pictures):
    """Through fc8 and the paper's dropout, which halves them at test (§4.2), in NumPy."""
    features = loaded.call("features", pictures)["features"].astype(np.float64)
    assert (features >= 0).all() and features.any()
    kernel, bias = classifier.model.get_layer("fc8").get_weights()
    logits = 0.5 * features @ kernel + bias
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    expected = loaded.call("serving_default", pictures)["probabilities"]
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_look_inside_shows_the_networks_inputs_and_responses(loaded, classifier, pictures, squares):
    answer = loaded.call("look_inside", pictures)
    np.testing.assert_array_equal(answer["square"], squares)
    # Top right is the second view, the eighth is the same of bottom left, reflected.
    np.testing.assert_array_equal(answer["views"][:, 1], squares[:, :64, 8:])
    np.testing.assert_array_equal(answer["views"][:, 7], squares[:, 8:, :64][:, :, ::-1])
    ten = loaded.call("ten_view", pictures)["probabilities"]
    np.testing.assert_allclose(answer["view_probabilities"].mean(axis=1), ten, atol=1e-6)
    kernel, bias = classifier.model.get_layer("conv1").get_weights()
    inputs = classifier.preprocessor.views(squares, 1)[:, 0]
    window = inputs[:, : kernel.shape[0], : kernel.shape[1]].numpy().astype(np.float64)
    corner = np.einsum("bhwc,hwck->bk", window, kernel.astype(np.float64)) + bias
    responses = answer["first_layer"][:, 0, 0]
    np.testing.assert_allclose(responses, corner, rtol=1e-4, atol=1e-3)


def make_example(*values):
    example = tf.train.Example()
    feature = example.features.feature["image/encoded"]
    for value in values:
        numbers = feature.int64_list if isinstance(value, int) else feature.bytes_list
        numbers.value.append(value)
    return example.SerializeToString()


def test_classify_takes_examples_and_ranks_every_class(loaded, pictures):
    examples = [make_example(picture) for picture in pictures]
    answer = loaded.call("classify", [*examples, b""])
    expected = loaded.call("serving_default", pictures)
    np.testing.assert_array_equal(answer["classes"][:-1, :5], expected["classes"])
    np.testing.assert_allclose(answer["scores"][:-1].sum(axis=1), 1, atol=1e-5)
    assert (answer["scores"][-1] == 0).all() and (answer["classes"][-1] == b"").all()


def test_a_malformed_example_does_not_fail_the_others(loaded, pictures):
    good, other = pictures[:2]
    malformed = [make_example(good, other), make_example(5), make_example(), b"\xff\xff", b""]
    batch = [make_example(good), *malformed, make_example(other)]
    answer = loaded.call("classify", batch)
    alone = loaded.call("classify", [batch[0], batch[-1]])
    np.testing.assert_allclose(answer["scores"][[0, -1]], alone["scores"], atol=1e-5)
    assert alone["scores"].all()
    assert not answer["scores"][1:-1].any() and (answer["classes"][1:-1] == b"").all()


@pytest.mark.parametrize("signature", ["serving_default", "ten_view", "features", "look_inside"])
def test_a_broken_image_does_not_fail_the_others(loaded, pictures, signature):
    broken = [b"", b"not an image", pictures[0][:200], pictures[1][:-30]]
    mixed = [broken[0], pictures[0], broken[1], broken[2], pictures[1], broken[3]]
    whole, answer = loaded.call(signature, pictures[:2]), loaded.call(signature, mixed)
    assert answer["valid"].tolist() == [False, True, False, False, True, False]
    for name, values in answer.items():
        if values.dtype == np.float32:
            largest = np.abs(whole[name]).max()
            np.testing.assert_allclose(values[[1, 4]], whole[name], atol=1e-5 * largest, rtol=0)
        else:
            np.testing.assert_array_equal(values[[1, 4]], whole[name])
        assert not values[[0, 2, 3, 5]].astype(bool).any()
    nobody = loaded.call(signature, broken)
    assert not nobody["valid"].any()


def test_warm_up_requests_run_as_the_model_server_runs_them(exported, loaded):
    """Reads them with TensorFlow Serving's messages, independently of `read_warmup`."""
    path = exported / "assets.extra" / "tf_serving_warmup_requests"
    seen = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if log.HasField("classify_log"):
            request = log.classify_log.request
            examples = [e.SerializeToString() for e in request.input.example_list.examples]
            values = {"inputs": tf.constant(examples)}
        else:
            request = log.predict_log.request
            values = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        name = request.model_spec.signature_name
        seen.append(name)
        answer = loaded.functions[name](**values)
        assert all(len(tensor) == 1 for tensor in answer.values())
        assert answer.get("valid", [True])[0]
    assert sorted(seen) == sorted(SIGNATURES)


def test_the_model_card_describes_the_model(exported):
    assets = exported / "assets"
    assert (assets / "labels.txt").read_bytes() == "".join(f"{c}\n" for c in CLASSES).encode()
    card = json.loads((assets / "model_card.json").read_text("utf-8"))
    assert (card["variant"], card["step"]) == ("tiny", 12)
    assert card["validation"] == {"top1_error": 0.25, "top5_error": 0.125, "images": 1000}
    assert card["preprocessing"]["crop_size"] == 64
    assert card["versions"]["tensorflow"] == tf.__version__
    assert card["flags"] == {"batch_size": 8, "data_dir": "images"}  # nothing of the machine
    assert "top-1 error 25.00%, top-5 error 12.50%, 1,000 images." in (
        assets / "model_card.md"
    ).read_text("utf-8")
    assert card["recipe"] == "batch size 8"


def test_the_card_describes_the_training():
    flags = dataclasses.asdict(Options(batch_size=128, epochs=90.0, decay_epochs=(30.0, 60.5)))
    assert recipe(flags) == (
        "batch size 128, 90 epochs, learning rate 0.01, divided by ten after epochs 30, 60.5, "
        "momentum 0.9, weight decay 0.0005"
    )
    flags |= {"steps": 1500, "decay_epochs": [], "plateau_patience": 2}
    assert "1,500 steps, learning rate 0.01, divided by ten when validation stops" in recipe(flags)


def test_a_full_disk_is_reported_and_nothing_left(classifier, tmp_path, monkeypatch):
    def full(*arguments):  # TensorFlow's words; only root could fill a disk
        raise tf.errors.ResourceExhaustedError(
            None,
            None,
            "{{function_node x}} /m/variables/part-0; No space left on device [Op:SaveV2]",
        )

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(UserError, match=r"into .*models: No space left on device$"):
        export(classifier, tmp_path / "models", make_card())
    assert list((tmp_path / "models").iterdir()) == []


def test_a_graph_that_calls_python_or_reads_files_is_not_exported(classifier, tmp_path):
    class Python(Classifier):
        def log_probabilities(self, images, views=1):
            returned = tf.py_function(lambda x: x, [images], tf.uint8)
            return super().log_probabilities(tf.ensure_shape(returned, images.shape), views)

    python = Python(classifier.model, classifier.preprocessor, classifier.classes)
    with pytest.raises(UserError, match="Signature serving_default .* contains EagerPyFunc"):
        export(python, tmp_path, make_card())
    assert list(tmp_path.iterdir()) == []  # nothing half written

    read = tf.function(tf.io.read_file, input_signature=[tf.TensorSpec([], tf.string)])
    with pytest.raises(UserError, match="ReadFile"):
        check_ops("read", read.get_concrete_function())


@pytest.mark.slow
def test_tensorflows_own_command_shows_and_runs_the_model(exported, classifier, squares, tmp_path):
    def saved_model_cli(*arguments):
        command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = saved_model_cli("show", f"--dir={exported}", "--tag_set=serve")
    assert all(name in shown for name in SIGNATURES)
    np.save(tmp_path / "squares.npy", squares.numpy())
    saved_model_cli(
        "run", f"--dir={exported}", "--tag_set=serve", "--signature_def=images",
        f"--inputs=images={tmp_path}/squares.npy", f"--outdir={tmp_path}",
    )  # fmt: skip
    probabilities = np.load(tmp_path / "probabilities.npy")
    np.testing.assert_allclose(probabilities, classifier.probabilities(squares), atol=1e-5)


@pytest.mark.parametrize("names", [b"\xff\n" * 7, b"a\n" * 100_001], ids=["no UTF-8", "too many"])
def test_labels_that_are_no_names(exported, tmp_path, names):
    shutil.copytree(exported, tmp_path / "1")
    (tmp_path / "1" / "assets" / "labels.txt").write_bytes(names)
    with pytest.raises(UserError, match="labels.txt (is damaged|has 100,001 names)"):
        LoadedModel(tmp_path / "1")
