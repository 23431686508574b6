"""The directories of SavedModels: names, contents, and damage."""

import os
import shutil

import pytest
import tensorflow as tf

from alexnet_tf.serving import saved_model
from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.serving.saved_model import (
    find_version,
    read_labels,
    version_of,
    write_labels,
    write_version,
)
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import locked


def copy(exported, target):
    shutil.copytree(exported, target)
    return target


def quick_export(base, version=None):
    """Exports two small files."""

    def write(directory):
        (directory / "variables").mkdir()
        (directory / "variables" / "data").write_bytes(b"weights")
        (directory / "saved_model.pb").write_bytes(b"graph")

    return write_version(base, write, version)


@pytest.mark.parametrize(
    "name, version",
    [
        *(("0", 0), ("12", 12), ("007", 7), (str(2**63 - 1), 2**63 - 1), (str(2**63), None)),
        *(("²", None), ("٣", None), ("-1", None), ("a", None)),
    ],
)
def test_versions_are_numbers_of_ascii_digits(name, version):
    assert version_of(name) == version


def test_directories_with_other_names_are_no_versions(tmp_path):
    for name in ("²", "٣", "latest", "0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert find_version(tmp_path) == tmp_path / "0"
    assert quick_export(tmp_path) == tmp_path / "1"
    assert quick_export(tmp_path) == tmp_path / "2"
    assert find_version(tmp_path) == tmp_path / "2"


def test_the_version_of_a_relative_path_is_the_name_of_its_directory(
    exported, tmp_path, monkeypatch
):
    zero = copy(exported, tmp_path / "0")
    monkeypatch.chdir(zero)
    assert LoadedModel(".").version == 0


def test_two_exports_do_not_write_at_once(tmp_path):
    with (
        locked(tmp_path, "it"),
        pytest.raises(UserError, match="in use by another process"),
    ):
        quick_export(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_leftovers_of_a_killed_export_are_removed(tmp_path):
    base, outside = tmp_path / "base", tmp_path / "outside"
    left = base / ".writing-x1"
    left.mkdir(parents=True)
    (left / "saved_model.pb").touch()
    outside.mkdir()
    (outside / "mine").touch()
    (base / ".writing-link").symlink_to(outside)
    (base / ".writing-down my thoughts.txt").touch()
    assert quick_export(base).name == "1"
    assert {path.name for path in base.iterdir()} == {"1", ".writing-down my thoughts.txt"}
    assert (outside / "mine").exists()


def test_all_files_are_on_disk_before_the_directory_has_its_name(tmp_path, monkeypatch):
    forced = []

    def force(path):
        forced.append((os.path.normpath(path), (tmp_path / "1").exists()))

    monkeypatch.setattr(saved_model, "fsync_path", force)
    quick_export(tmp_path)
    before = {
        os.path.relpath(path, tmp_path).partition("/")[2] for path, done in forced if not done
    }
    assert before == {"", "saved_model.pb", "variables", "variables/data"}
    assert [path for path, done in forced if done] == [str(tmp_path)]


NAMES = ("a\u2028b", "c\x0bd\x85", " e ", "größer", "")


def test_class_names_are_read_as_they_were_written(tmp_path):
    (tmp_path / "assets").mkdir()
    write_labels(tmp_path, NAMES)
    assert read_labels(tmp_path) == NAMES
    for name in ("a\nb", "a\r"):
        with pytest.raises(UserError, match="without line breaks"):
            write_labels(tmp_path, ("good", name))


def test_a_missing_label_is_an_error(exported, tmp_path):
    path = copy(exported, tmp_path / "1")
    write_labels(path, read_labels(path)[1:])
    with pytest.raises(UserError, match="6 labels for 7 classes"):
        LoadedModel(path)


@pytest.mark.slow
def test_a_saved_model_is_loaded_from_a_directory_of_any_name(exported, tmp_path):
    path = copy(exported, tmp_path / "a[0],\\*?\udcff" / "1")
    LoadedModel(path).warm_up()


def test_damaged_warm_up_requests_are_named(exported, tmp_path):
    path = copy(exported, tmp_path / "1")
    requests = path / "assets.extra" / "tf_serving_warmup_requests"
    model = LoadedModel(path)
    good = requests.read_bytes()
    requests.write_bytes(good[:-10])
    with pytest.raises(UserError, match="warm-up requests of .*1 are damaged: "):
        model.warm_up()
    with tf.io.TFRecordWriter(str(requests)) as writer:
        writer.write(b"\xff\xff rubbish")
    with pytest.raises(UserError, match="warm-up requests of .*1 are damaged: "):
        model.warm_up()


def test_versions_are_counted_and_never_overwritten(tmp_path):
    base = tmp_path / "models"
    (base / "3").mkdir(parents=True)
    assert quick_export(base).name == "4"
    with pytest.raises(UserError, match="does not exist yet"):
        quick_export(base, 4)
    assert sorted(path.name for path in base.iterdir()) == ["3", "4"]
    assert find_version(base) == base / "4"


def test_a_directory_without_a_saved_model_is_named(tmp_path):
    with pytest.raises(UserError, match="without saved_model.pb"):
        LoadedModel(tmp_path / "none")
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"rubbish")
    with pytest.raises(UserError, match="that alexnet_tf.export wrote"):
        LoadedModel(tmp_path)
