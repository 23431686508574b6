"""One tiny network from photographs through training, stop, resume, evaluation and export."""

import os
import pathlib
import re
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import variants
from alexnet_tf.system.errors import UserError
from alexnet_tf.training import run
from alexnet_tf.training.checkpoints import CheckpointStore
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.distributed import WorkerSync, make_strategy
from tests.commands import ROOT
from tests.training.short_runs import Kill, assert_equal_weights, options, weights
from tests.training.without_dropout import tiny_without_dropout


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory):
    """The run that others are compared with: 15 steps."""
    return run.train(options(folder, tmp_path_factory.mktemp("undisturbed")))


@pytest.mark.parametrize(
    "step, number",
    [
        pytest.param(3, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(5, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(7, signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_stopped_and_resumed_is_the_same_as_undisturbed(
    folder, undisturbed, tmp_path, capsys, step, number
):
    stopped = run.train(options(folder, tmp_path / "halves"), callbacks=[Kill(step, number)])
    assert stopped.step == step
    assert (stopped.evaluation, stopped.interrupted_by) == (None, number)
    assert f"Stopped by {number.name} after step {step}" in capsys.readouterr().out
    resumed = run.train(options(folder, tmp_path / "halves"))
    assert f"Resuming after step {step}" in capsys.readouterr().out
    assert resumed.step == undisturbed.step == 15
    assert_equal_weights(undisturbed, resumed)
    assert resumed.evaluation == undisturbed.evaluation


@pytest.mark.slow
def test_a_run_resumes_to_the_bit_with_parts_plateaus_and_bfloat16(folder, tmp_path):
    """With dropout in each part of a batch, and a rate that the last validation has lowered."""
    changes = {"accumulate": 2, "precision": "bfloat16", "plateau_patience": 1, "save_minutes": 0.0}
    changes["learning_rate"] = 1e-4  # too low for each validation to be a new best
    whole = run.train(options(folder, tmp_path / "whole", **changes))
    stopped = run.train(options(folder, tmp_path / "halves", **changes), callbacks=[Kill(12)])
    assert stopped.step == 12
    assert_equal_weights(whole, run.train(options(folder, tmp_path / "halves", **changes)))


@pytest.mark.slow
def test_a_complete_run_is_only_evaluated_again(folder, tmp_path):
    first = run.train(options(folder, tmp_path, epochs=1.0))
    again = run.train(options(folder, tmp_path, epochs=1.0))
    assert again.evaluation == first.evaluation
    assert_equal_weights(first, again)
    longer = run.train(options(folder, tmp_path, epochs=2.0))
    assert longer.step == 10


@pytest.fixture
def without_dropout(monkeypatch):
    """tiny without dropout: replicas draw other masks than one device does, and so does XLA."""
    monkeypatch.setitem(variants.VARIANTS, "tiny", tiny_without_dropout())


@pytest.fixture(scope="module")
def five_steps(folder, tmp_path_factory):
    """Five steps of one device, without dropout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(variants.VARIANTS, "tiny", tiny_without_dropout())
        return run.train(options(folder, tmp_path_factory.mktemp("five"), steps=5))


@pytest.mark.slow
def test_two_replicas_compute_what_one_device_does(
    folder, five_steps, tmp_path, without_dropout, two_replicas
):
    one = five_steps
    # The suite's own strategy: a second one in a process would confuse TensorFlow's collectives.
    other = run.train_on(WorkerSync(two_replicas), options(folder, tmp_path / "other", steps=5))
    assert_equal_weights(one, other, rtol=1e-4, atol=1e-5)
    assert one.evaluation.top1_error == other.evaluation.top1_error


@pytest.mark.slow
def test_xla_computes_the_same(folder, five_steps, tmp_path, without_dropout):
    other = run.train(options(folder, tmp_path, steps=5, xla=True))
    assert_equal_weights(five_steps, other, rtol=1e-4, atol=1e-5)


def test_the_model_can_be_loaded_from_the_directory(folder, tmp_path):
    trained = run.train(options(folder, tmp_path, epochs=1.0, activation="tanh"))
    classifier, card, saved = ModelDirectory(tmp_path).load()
    assert (card.variant, card.activation, saved.step) == ("tiny", "tanh", 5)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (3, 72, 72, 3), np.uint8))
    np.testing.assert_allclose(
        classifier.probabilities(images), trained.classifier.probabilities(images), rtol=1e-6
    )
    folders = [path for path in (tmp_path / "tensorboard").iterdir() if path.is_dir()]
    assert sorted(path.name for path in folders) == ["train", "validation"]


def test_the_lines_of_the_readme(folder, undisturbed, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "shapes-tiny").symlink_to(undisturbed.directory.path)
    shutil.copy(next(pathlib.Path(folder, "val").glob("*/*")), tmp_path / "PHOTO.jpg")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    (block,) = (block for block in blocks if "ModelDirectory" in block)  # of a trained run
    names = {}
    exec(block, names)
    name, probability = capsys.readouterr().out.split()
    assert name in undisturbed.classifier.classes and 0.1 <= float(probability) <= 1
    assert names["features"].shape == (1, 256) and bool(names["valid"][0])
    assert float(tf.reduce_sum(names["probabilities"])) == pytest.approx(1)


@pytest.mark.slow
def test_another_run_is_not_overwritten(folder, tmp_path):
    run.train(options(folder, tmp_path, steps=1))
    with pytest.raises(UserError, match="variant tiny,.*variant tiny32\\."):
        run.train(options(folder, tmp_path, variant="tiny32"))
    with pytest.raises(UserError, match="--batch_size 8,.*--batch_size 4\\."):
        run.train(options(folder, tmp_path, batch_size=4))
    with pytest.raises(UserError, match="activation tanh"):
        run.train(options(folder, tmp_path, activation="tanh"))
    with pytest.raises(UserError, match="float32,.*float16\\."):
        run.train(options(folder, tmp_path, precision="float16"))


@pytest.mark.slow
def test_changed_flags_are_printed_and_other_images_refused(folder, tmp_path, capsys):
    mine = tmp_path / "mine"
    shutil.copytree(folder, mine)
    run.train(options(str(mine), tmp_path / "run", steps=1))
    run.train(options(str(mine), tmp_path / "run", steps=2, learning_rate=0.001, decay_epochs=()))
    printed = capsys.readouterr().out
    assert printed.count("Changed since the last start") == 2
    assert "Changed since the last start: --learning_rate 0.005 → 0.001\n" in printed
    photo = next((mine / "train").glob("*/*.jpg"))
    shutil.copy(photo, photo.with_name("another.jpg"))
    with pytest.raises(UserError, match="training images 40, .*training images 41\\."):
        run.train(options(str(mine), tmp_path / "run", steps=3))


@pytest.mark.slow
def test_a_directory_where_nothing_was_saved_can_be_used(folder, tmp_path):
    with pytest.raises(UserError, match="after step 1"):
        run.train(options(folder, tmp_path, learning_rate=1e30))
    assert run.train(options(folder, tmp_path, steps=1, activation="tanh")).step == 1


def test_two_runs_at_the_same_time_do_not_share_a_directory(folder, tmp_path):
    with (
        ModelDirectory(tmp_path / "run").lock(),
        pytest.raises(UserError, match=f"in use by another process .pid {os.getpid()}.*model_dir"),
    ):
        run.train(options(folder, tmp_path / "run", steps=1))
    assert not (tmp_path / "run").exists()  # nothing was put there


def test_a_run_on_other_classes_is_not_overwritten(folder, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(folder, mine)
    run.train(options(str(mine), tmp_path / "run", steps=1))
    for split in ("train", "val"):
        shutil.rmtree(sorted((mine / split).iterdir())[-1])
    with pytest.raises(UserError, match=r"classes .*\(10\), .*classes .*\(9\)\."):
        run.train(options(str(mine), tmp_path / "run", steps=2))


@pytest.mark.slow
def test_bfloat16_learns_what_float32_learns(folder, tmp_path, without_dropout):
    start = weights(run.train(options(folder, tmp_path / "start", steps=1, learning_rate=0.0)))
    full = weights(run.train(options(folder, tmp_path / "full", steps=8)))
    mixed = weights(run.train(options(folder, tmp_path / "mixed", steps=8, precision="bfloat16")))
    for path, before in start.items():
        assert mixed[path].dtype == np.float32
        if path.endswith("kernel"):
            learned, other = (full[path] - before).ravel(), (mixed[path] - before).ravel()
            cosine = learned @ other / (np.linalg.norm(learned) * np.linalg.norm(other))
            assert cosine > 0.8, path  # unrelated directions have some hundredths


@pytest.mark.slow
def test_float16_finds_its_loss_scale_and_trains(folder, tmp_path):
    """The steps that it skips until then are others than float32's: nothing to compare with."""
    start = weights(run.train(options(folder, tmp_path / "start", steps=1, learning_rate=0.0)))
    result = run.train(options(folder, tmp_path / "mixed", steps=12, precision="float16"))
    assert np.isfinite(result.evaluation.loss)
    for path, value in weights(result).items():
        if path.endswith("kernel"):
            assert value.dtype == np.float32
            assert np.isfinite(value).all()
            assert np.abs(value - start[path]).max() > 1e-5, path


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"steps_per_execution": 4}, {"steps_per_execution": 100}], ids=str
)
def test_steps_in_one_call_are_the_same_steps(folder, undisturbed, tmp_path, changes):
    assert_equal_weights(undisturbed, run.train(options(folder, tmp_path, **changes)))


def test_a_batch_in_parts_is_the_same_batch(folder, five_steps, tmp_path, without_dropout):
    other = run.train(options(folder, tmp_path, steps=5, accumulate=4))
    assert_equal_weights(five_steps, other, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_run_resumes_from_the_newest_undamaged_checkpoint(folder, undisturbed, tmp_path, capsys):
    run.train(options(folder, tmp_path / "hurt", epochs=2.0))
    store = ModelDirectory(tmp_path / "hurt").checkpoints
    (data,) = (store.path / "00000010").glob("*.data*")
    spoilt = bytearray(data.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    data.write_bytes(spoilt)
    again = run.train(options(folder, tmp_path / "hurt"))
    printed = capsys.readouterr().out
    assert "Skipping damaged checkpoint" in printed
    assert "Resuming after step 5 " in printed
    assert_equal_weights(undisturbed, again)
    assert not (store.path / "00000010.damaged").exists()  # written anew


@pytest.mark.slow
def test_checkpoints_are_written_between_validations(folder, tmp_path):
    saved = []

    class Store(CheckpointStore):
        def save(self, checkpoint, step, evaluation, keep):
            saved.append((step, evaluation is None))
            super().save(checkpoint, step, evaluation, keep)

    wanted = options(folder, tmp_path, epochs=1.0, save_minutes=0.0)
    store = Store(tmp_path / "checkpoints")
    run.train_on(WorkerSync(make_strategy()), wanted, checkpoints=store)
    assert saved == [(1, True), (2, True), (3, True), (4, True), (5, False)]


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"batch_size": 0}, "batch_size to be at least 1. Received: 0"),
        ({"batch_size": -8}, "Received: -8"),
        ({"batch_size": 7, "strategy": "mirrored"}, "2 replicas.*Received: 7"),
        ({"accumulate": 3}, "divide the 8 images.*Received: 3"),
        ({"batch_size": 64}, "at most the 40 training images. Received: 64"),
        ({"variant": "alexnet"}, "one of paper, .*Received: alexnet"),
        ({"epochs": 0.0}, "at least one step. Received: --epochs=0"),
        ({"augment": ("crop", "resized_crop")}, "crop. Received: both"),
        ({"layer_rates": ("conv9:1:0",)}, "Received: conv9"),
        ({"layer_rates": ("conv1:72",)}, "LAYER:EPOCH:MULTIPLIER"),
        ({"profile": (5.0, 3.0)}, "--profile=START,STOP"),
        ({"profile": (1.0, 3.5)}, "two whole steps"),
        ({"strategy": "mirrored", "xla": True}, "with a single replica.*Received: 2 of CPU"),
        ({"dataset": "nothing_like_it"}, "Received: nothing_like_it"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(folder, tmp_path, changes, complaint):
    with pytest.raises(UserError, match=complaint) as error:
        run.train(options(folder, tmp_path / "new", **changes))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "new").exists()
