"""What `AlexNet(...)` does for its callers: activations, weights files, errors, plain Keras."""

import dataclasses

import keras
import numpy as np
import pytest

from alexnet_tf.models.build import AlexNet
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.optimizer import PaperSGD


def test_without_top_ends_at_pool5():
    model = AlexNet("paper", include_top=False)
    assert model.output_shape == (None, 6, 6, 256)
    assert model.layers[-1].name == "pool5"


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
    spec = dataclasses.replace(get_variant("tiny"), activation=activation)
    model = AlexNet(spec, classes=10)
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
    with pytest.raises(ValueError, match="Received: classes=0"):
        AlexNet("tiny", classes=0)
    with pytest.raises(FileNotFoundError, match="Received: weights=.*missing.weights.h5"):
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
    with pytest.raises(ValueError, match="Received: weights=.*fc8") as error:
        AlexNet("tiny", classes=11, weights=path)
    assert "\n" not in str(error.value)
