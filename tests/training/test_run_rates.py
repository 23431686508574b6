"""Learning rates during a run: by epoch, by layer, by validation, and after a resume."""

import keras
import numpy as np
import pytest

from alexnet_tf.training import run
from tests.training.short_runs import assert_equal_weights, options, weights


@pytest.mark.slow
def test_a_layer_freezes_at_its_epoch_and_stays_frozen_after_a_resume(folder, tmp_path):
    before = run.train(options(folder, tmp_path / "to1", epochs=1.0, layer_rates=("conv1:1:0",)))
    run.train(options(folder, tmp_path / "a", epochs=2.0, layer_rates=("conv1:1:0",)))
    after = run.train(options(folder, tmp_path / "a", epochs=3.0, layer_rates=("conv1:1:0",)))
    assert after.step == 15
    one, other = weights(before), weights(after)
    np.testing.assert_array_equal(one["conv1/kernel"], other["conv1/kernel"])
    assert np.abs(one["conv2/kernel"] - other["conv2/kernel"]).max() > 1e-5


@pytest.mark.slow
def test_the_recipe_of_the_original_code_resumes_to_the_bit(folder, tmp_path):
    """Rates of layers and of biases, and the end of PCA noise, in the middle of an epoch."""
    recipe = {
        **{"pca_noise_until": 1.5, "layer_rates": ("conv1/kernel:1:0.1", "conv1:2:0")},
        **{"bias_rate": 2.0, "bias_decay_epochs": (2.4,), "steps_per_execution": 3},
    }
    whole = run.train(options(folder, tmp_path / "whole", **recipe))
    for epochs in (1.4, 2.2, 3.0):
        parts = run.train(options(folder, tmp_path / "parts", **{**recipe, "epochs": epochs}))
    assert_equal_weights(parts, whole)
    usual = run.train(
        options(folder, tmp_path / "pca_applied", **{**recipe, "pca_noise_until": 1e6})
    )
    assert not np.array_equal(weights(usual)["fc8/kernel"], weights(whole)["fc8/kernel"])


@pytest.mark.slow
def test_a_plateau_reduces_the_rate_and_ends_the_run_for_good(folder, tmp_path):
    stalled = options(
        folder, tmp_path, learning_rate=1e-12, plateau_patience=1, plateau_reductions=2, epochs=50.0
    )
    rates = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    result = run.train(stalled, callbacks=[Record()])
    assert result.step == 4 * 5  # the first validation is a best, then three plateaus
    assert rates == pytest.approx([1e-12] * 10 + [1e-13] * 5 + [1e-14] * 5, rel=1e-6, abs=0)
    assert run.train(stalled).step == result.step


@pytest.mark.slow
def test_a_resumed_run_has_the_rate_of_its_new_flags(folder, tmp_path):
    before = run.train(options(folder, tmp_path, epochs=1.0))
    after = run.train(options(folder, tmp_path, epochs=2.0, learning_rate=0.0, momentum=0.0))
    assert after.step == 10
    assert_equal_weights(before, after)
