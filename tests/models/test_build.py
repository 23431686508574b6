"""What `AlexNet(...)` does for its callers: activations, weights files, errors, plain Keras."""

import dataclasses
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from alexnet_tf.applications import AlexNet
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.optimizer import PaperSGD


def test_without_top_ends_at_pool5():
    model = AlexNet("paper", include_top=False)
    assert model.output_shape == (None, 6, 6, 256)
    assert model.layers[-1].name == "pool5"


def test_classes_may_be_an_integer_of_numpy():
    model = AlexNet("tiny", classes=np.array([0, 4]).max() + 1)
    assert model.output_shape == (None, 5)
    json.dumps(model.get_config())


X = np.float32([-2, -0.5, 0, 0.5, 2])


@pytest.mark.parametrize(
    "activation, expected",
    [
        ("relu", np.maximum(X, 0)),
        ("tanh", np.tanh(X)),
        ("sigmoid", 1 / (1 + np.exp(-X))),
        ("leaky_relu", np.where(X > 0, X, 0.01 * X)),
        ("noisy_relu", np.maximum(X, 0)),  # at test
    ],
)
def test_activations(activation, expected):
    variant = dataclasses.replace(get_variant("tiny"), activation=activation)
    model = AlexNet(variant, classes=10)
    for number in range(1, 8):
        actual = model.get_layer(f"{activation}{number}")(X)
        np.testing.assert_allclose(actual, expected, rtol=1e-5)
    logits = model(np.random.default_rng(0).normal(0, 5, (2, 64, 64, 3)))
    assert np.all(np.isfinite(logits))


def test_weights_round_trip(tmp_path):
    path = tmp_path / "tiny.weights.h5"
    saved = AlexNet("tiny", classes=10)
    saved.save_weights(path)
    loaded = AlexNet("tiny", classes=10, weights=path)
    image = np.random.default_rng(0).normal(0, 5, (2, 64, 64, 3))
    assert np.any(np.not_equal(AlexNet("tiny", classes=10)(image), saved(image)))
    np.testing.assert_array_equal(loaded(image), saved(image))


def test_refuses_what_does_not_exist(tmp_path):
    with pytest.raises(UserError, match="Expected one of paper, .*Received: lenet"):
        AlexNet("lenet")
    for classes in (0, True, 5.0, np.float32(5), "5"):
        with pytest.raises(ValueError, match="`classes` must be a positive integer. Received: "):
            AlexNet("tiny", classes=classes)
    with pytest.raises(UserError, match="missing.weights.h5 cannot be read: No such file"):
        AlexNet("tiny", weights=tmp_path / "missing.weights.h5")


def test_trains_in_a_plain_keras_program():
    model = AlexNet("tiny", classes=10)
    model.compile(PaperSGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()
    rng = np.random.default_rng(0)
    history = model.fit(
        rng.normal(0, 5, (8, 64, 64, 3)), rng.integers(10, size=8), batch_size=8, verbose=0
    )
    assert np.isfinite(history.history["loss"]).all()
    for weights, now in zip(before, model.get_weights(), strict=True):
        assert np.any(weights != now)


def test_weights_made_with_the_top_load_without_it(tmp_path):
    path = tmp_path / "tiny.weights.h5"
    whole = AlexNet("tiny", classes=10)
    whole.save_weights(path)
    body = AlexNet("tiny", include_top=False, weights=path)
    np.testing.assert_array_equal(body.get_layer("conv5").kernel, whole.get_layer("conv5").kernel)


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path):
    path = tmp_path / "tiny.weights.h5"
    AlexNet("tiny", classes=10).save_weights(path)
    with pytest.raises(UserError, match=r"fc8 of shape .*weights_exclude=\(\"fc8\",\)") as error:
        AlexNet("tiny", classes=11, weights=path)
    assert "\n" not in str(error.value)
    other = AlexNet("tiny", classes=11, weights=path, weights_exclude=("fc8",))
    assert other.output_shape == (None, 11)


IN_ANOTHER_PROCESS = """
import alexnet_tf, json, numpy as np
model = alexnet_tf.AlexNet('tiny', classes=5)
model.set_weights([np.full(weight.shape, 0.01) for weight in model.get_weights()])
print(json.dumps([
    [layer.dtype_policy.name for layer in model.layers[1:]],
    [str(weight.dtype) for weight in model.weights],
    [layer.output.shape for layer in model.layers],
    np.asarray(model(np.ones((1, 64, 64, 3)))).tolist(),
]))
"""


def test_keras_json_does_not_change_a_network(tmp_path):
    settings = {"floatx": "float16", "image_data_format": "channels_first", "backend": "jax"}
    (tmp_path / "keras.json").write_text(json.dumps({**settings, "epsilon": 1e-7}))
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS], capture_output=True, text=True, timeout=300,
        env={**environment, "KERAS_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    policies, dtypes, shapes, logits = json.loads(done.stdout.splitlines()[-1])
    model = AlexNet("tiny", classes=5)
    model.set_weights([np.full(weight.shape, 0.01) for weight in model.get_weights()])
    assert policies == [layer.dtype_policy.name for layer in model.layers[1:]]
    assert set(policies) == set(dtypes) == {"float32"}
    assert [tuple(shape) for shape in shapes] == [layer.output.shape for layer in model.layers]
    np.testing.assert_allclose(logits, model(np.ones((1, 64, 64, 3))), rtol=1e-6)


@pytest.mark.parametrize(
    "policy, compute",
    [
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("float64", "float32"),
        ("mixed_bfloat16", "bfloat16"),
        ("mixed_float16", "float16"),
    ],
)
def test_of_dtype_policies_only_mixed_ones_are_followed(policy, compute):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        models = [AlexNet("tiny", classes=5), AlexNet("code2012", include_top=False)]
    finally:
        keras.config.set_dtype_policy(before)
    for model in models:
        layers = [layer for layer in model.layers if layer.name not in ("image", "fc8")]
        assert {layer.compute_dtype for layer in layers} == {compute}
        assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
        assert model.input.dtype == "float32"
    assert models[0].output.dtype == "float32"  # logits


def test_saved_models_load_in_a_process_that_imported_only_the_package(tmp_path):
    model = AlexNet("tiny", classes=5)
    image = np.random.default_rng(0).normal(0, 5, (1, 64, 64, 3)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    for name in ("model.keras", "model.h5"):
        model.save(tmp_path / name)
    code = f"""
import alexnet_tf, keras, json, os, numpy as np
os.chdir({str(tmp_path)!r})
models = [keras.models.load_model(name) for name in ("model.keras", "model.h5")]
print(json.dumps([np.asarray(model(np.load("image.npy"))).tolist() for model in models]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for logits in json.loads(done.stdout.splitlines()[-1]):
        np.testing.assert_allclose(logits, model(image), rtol=1e-5, atol=1e-6)
