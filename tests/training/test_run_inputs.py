"""Runs with unreadable images, with a cache, and with resized crops."""

import pathlib

import pytest

from alexnet_tf.system.errors import UserError
from alexnet_tf.training import run
from alexnet_tf.training.directory import ModelDirectory
from tests.folders import write_folder
from tests.training.short_runs import Kill, assert_equal_weights, options


def spoil(folder, number):
    """Cuts the ends off some training images."""
    for path in sorted((pathlib.Path(folder) / "train").glob("*/*"))[:: 40 // number]:
        path.write_bytes(path.read_bytes()[:1500])


@pytest.mark.slow
def test_unreadable_images_are_printed_and_a_resume_is_exact(tmp_path, capsys):
    folder = str(write_folder(tmp_path / "images"))
    spoil(folder, 2)
    wanted = {"max_unreadable": 0.06}
    undisturbed = run.train(options(folder, tmp_path / "whole", **wanted))
    assert "train images: 2 unreadable (2 truncated): " in capsys.readouterr().out
    stopped = options(folder, tmp_path / "stopped", **wanted)
    assert run.train(stopped, callbacks=[Kill(7)]).step == 7
    resumed = run.train(stopped)
    assert_equal_weights(undisturbed, resumed)


def test_too_many_unreadable_images_end_the_run(tmp_path):
    folder = str(write_folder(tmp_path / "images"))
    spoil(folder, 4)
    with pytest.raises(UserError, match=r"at most 1\.00%.*truncated.*--max_unreadable"):
        run.train(options(folder, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_that_meets_too_many_unreadable_images_is_saved(tmp_path):
    """With a higher --max_unreadable it can be resumed."""
    folder = str(write_folder(tmp_path / "images"))
    run.train(options(folder, tmp_path / "run", steps=1))
    for path in sorted((pathlib.Path(folder) / "train").glob("*/*"))[::5]:
        content = path.read_bytes()  # of the same size afterwards: by it data are known again
        path.write_bytes(content[:1500].ljust(len(content), b"\0"))
    with pytest.raises(UserError, match=r"at most 1\.00%.*truncated.*--max_unreadable"):
        run.train(options(folder, tmp_path / "run", save_minutes=1e6))
    saved = ModelDirectory(tmp_path / "run").checkpoints.newest().step
    assert 1 < saved < 15
    resumed = run.train(options(folder, tmp_path / "run", max_unreadable=0.3))
    assert resumed.step == 15


@pytest.fixture(scope="module")
def plain(folder, tmp_path_factory):
    """A run without a cache."""
    return run.train(options(folder, tmp_path_factory.mktemp("plain")))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_cache_of_decoded_images_changes_no_weight(folder, plain, tmp_path, place):
    assert_equal_weights(plain, run.train(options(folder, tmp_path, cache=place)))


@pytest.mark.parametrize(
    "changes",
    [{"augment": ("crop", "resized_crop")}, {"augment": ("resized_crop",), "cache": "disk"}],
)
def test_augmentations_that_exclude_each_other_are_refused(folder, tmp_path, changes):
    with pytest.raises(UserError, match="resized_crop"):
        run.train(options(folder, tmp_path, **changes))


def test_training_with_resized_crops(folder, tmp_path):
    result = run.train(options(folder, tmp_path, epochs=1.0, augment=("resized_crop", "flip")))
    assert result.step == 5
