"""A stranger's dataset runs no code, and whatever is wrong with its description is one line."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from alexnet_tf.data.sources import open_dataset
from alexnet_tf.system.errors import UserError
from tests.stored_datasets import CLASSES, edit_json, write_dataset

SPLITS = {"train": [0, 1, 2] * 4, "validation": [2, 1, 0]}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "small" / "1.0.0", SPLITS)


@pytest.fixture
def place(stored, tmp_path):
    """A copy to spoil, where a dataset of that name would be, too."""
    return shutil.copytree(stored, tmp_path / "small" / "1.0.0")


def test_the_dataset_itself_opens(place):
    for dataset in (open_dataset(str(place)), open_dataset("small", str(place.parents[1]))):
        assert dataset.classes == CLASSES
        assert (dataset.train.examples, dataset.validation.examples) == (12, 3)


STRANGE = "strangers_module.Feature"
IMAGE = "tensorflow_datasets.core.features.image_feature.Image"
DICT = "tensorflow_datasets.core.features.features_dict.FeaturesDict"
LABEL = "tensorflow_datasets.core.features.class_label_feature.ClassLabel"


def as_the_whole(features):
    return {**features, "pythonClassName": STRANGE}


def under_the_other_name(features):
    del features["pythonClassName"]
    return {**features, "python_class_name": STRANGE}


def nested(features):
    features["featuresDict"]["features"]["more"] = {
        "pythonClassName": "tensorflow_datasets.core.features.sequence_feature.Sequence",
        "sequence": {"feature": {"pythonClassName": STRANGE, "text": {}}},
    }
    return features


def in_the_format_of_old_versions(features):
    return {"type": DICT, "content": {"label": {"type": STRANGE, "content": {}}}}


def in_json_within_json(features):
    content = json.dumps({"label": {"type": STRANGE, "content": {}}})
    return {"pythonClassName": DICT, "jsonFeature": {"json": content}}


def of_tfds_but_no_feature(features):
    return {**features, "pythonClassName": "tensorflow_datasets.scripts.cli.main.Feature"}


@pytest.mark.parametrize(
    "spoil",
    [as_the_whole, under_the_other_name, nested, in_the_format_of_old_versions,
     in_json_within_json, of_tfds_but_no_feature],
)  # fmt: skip
def test_no_class_is_imported(place, tmp_path, monkeypatch, spoil):
    (tmp_path / "strangers_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    edit_json(place / "features.json", spoil)
    modules = set(sys.modules)
    for name, data_dir in ((str(place), None), ("small", str(tmp_path))):
        with pytest.raises(UserError, match="is not one of TFDS's features"):
            open_dataset(name, data_dir)
    assert not {name for name in set(sys.modules) - modules if "strange" in name or "cli" in name}


def test_no_class_is_imported_by_dataset_info_json(place):
    edit_json(
        place / "dataset_info.json",
        lambda info: {**info, "features": {"pythonClassName": STRANGE, "text": {}}},
    )
    with pytest.raises(UserError, match=r"dataset_info.json names the class 'strangers_module"):
        open_dataset(str(place))


def test_no_other_file_is_read_as_class_names(place, tmp_path):
    (tmp_path / "secrets").write_text("first\nsecond\n")
    content = json.dumps({"names_file": str(tmp_path / "secrets")})

    def change(features):
        label = {"pythonClassName": LABEL, "jsonFeature": {"json": content}}
        features["featuresDict"]["features"]["label"] = label
        return features

    edit_json(place / "features.json", change)
    with pytest.raises(UserError, match=r"features.json is damaged: it reads its classes from"):
        open_dataset(str(place))


@pytest.mark.parametrize(
    "name", ["huggingface:mnist", "stranger:code", "mnist/data_dir=/", "mnist:1.0.0/a=1", "../x"]
)
def test_names_that_would_run_other_code_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="has not the form dataset/config:1.2.3"):
        open_dataset(name, str(tmp_path))


def with_split(**changes):
    def change(info):
        info["splits"][0].update(changes)
        return info

    return change


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda info: [], r"dataset_info.json is damaged: it is \[\]"),
        (lambda info: {**info, "name": "../../other"}, "name is no plain file name"),
        (lambda info: {**info, "name": 7}, "name is 7"),
        (lambda info: {**info, "version": "one"}, "cannot read"),
        (lambda info: {**info, "splits": {}}, "splits is"),
        (lambda info: {**info, "splits": info["splits"] * 2}, "a split is there twice"),
        (with_split(shardLengths="12"), "is damaged"),
        (with_split(shardLengths=["a"]), "is damaged"),
        (with_split(shardLengths=["-12"]), "train has a negative number"),
        (with_split(shardLengths=[10**30]), "is damaged"),
        (with_split(numBytes=-1), "train has a negative number"),
        (with_split(numBytes=1.5), "is damaged"),
        (with_split(shardLengths=[1] * 100_001), "over 100,000 shards"),
        (with_split(shardLengths=[2**62]), "too small for 4,611,686"),
        (with_split(name="train\n"), "name is"),
        (with_split(filepathTemplate="../{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"),
         "is not in it"),
        (with_split(filepathTemplate="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF}"), "is damaged"),
    ],
)  # fmt: skip
def test_wrong_values_are_one_line(place, change, words):
    edit_json(place / "dataset_info.json", change)
    with pytest.raises(UserError, match=words) as error:
        open_dataset(str(place))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "label.labels.txt"])
def test_pipes_devices_and_deep_files_are_refused(place, name):
    file = place / name
    file.write_text('{"a":' * 100_000)
    with pytest.raises(UserError, match=f"{name} is damaged"):
        open_dataset(str(place))
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        file.unlink()
        make(file)
        for where in ((str(place), None), ("small", str(place.parents[1]))):
            with pytest.raises(UserError, match=f"{name} is not a regular file"):
                open_dataset(*where)


def test_a_shard_that_is_a_pipe_is_refused(place):
    shard = next(place.glob("*train*"))
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(UserError, match="not a regular file"):
        open_dataset(str(place))


@pytest.mark.parametrize(
    "names, words",
    [
        ("blue\ngreen\nblue\n", "some of them twice"),
        ("blue\ngreen\nr\x1b[2Jed\n", "a name is 'r"),
        ("blue\ngreen\nr\ved\n", "a name is 'r"),
        ("blue\ngreen\nr\u2028ed\n", "a name is 'r"),
        ("\n".join(map(str, range(100_001))), "over 100,000"),
        ("", "is damaged"),
        ("blue\ngreen\n", "it has 2 names, and the dataset 3"),
    ],
)
def test_class_names_are_checked_at_opening(place, names, words):
    (place / "label.labels.txt").write_text(names, encoding="utf-8")
    with pytest.raises(UserError, match=words):
        open_dataset(str(place))


def test_three_million_classes_are_refused(place):
    (place / "label.labels.txt").unlink()

    def change(features):
        features["featuresDict"]["features"]["label"]["classLabel"]["numClasses"] = 3_000_000
        return features

    edit_json(place / "features.json", change)
    with pytest.raises(UserError, match=r"1 to 100,000 classes. Received: small, with 3000000"):
        open_dataset(str(place))


def test_the_message_is_short_whatever_the_shape(place):
    def change(features):
        image = features["featuresDict"]["features"]["image"]["image"]
        image["shape"]["dimensions"] *= 10_000
        return features

    edit_json(place / "features.json", change)
    with pytest.raises(UserError, match="Expected images of uint8") as error:
        open_dataset(str(place))
    assert len(str(error.value)) < 500


IMAGES = {
    "float32": tfds.features.Image(shape=(8, 8, 1), dtype=np.float32, encoding_format="png"),
    "uint16": tfds.features.Image(shape=(8, 8, 1), dtype=np.uint16, encoding_format="png"),
    "8×8×4": tfds.features.Image(shape=(8, 8, 4), encoding_format="png"),
    r"of uint8, \?×8×8×3": tfds.features.Image(shape=(None, 8, 8, 3), encoding_format="jpeg"),
}


@pytest.mark.parametrize("words", IMAGES)
def test_images_that_are_no_bytes_of_colours_are_refused(tmp_path, words):
    place = write_dataset(tmp_path / "odd", SPLITS, image=IMAGES[words])
    with pytest.raises(UserError, match=words):
        open_dataset(str(place))


@pytest.mark.parametrize(
    "features",
    [
        {"image": tfds.features.Tensor(shape=(8, 8, 3), dtype=np.float32)},
        {"image": tfds.features.Video(shape=(2, 8, 8, 3))},
        {"image": tfds.features.LabeledImage(labels=3, shape=(8, 8, 1))},
        {"label": tfds.features.Text()},
        {"image": None, "a": tfds.features.Image(), "b": tfds.features.Image()},
        {"label": None, "a": tfds.features.ClassLabel(num_classes=3)} | {
            "b": tfds.features.ClassLabel(num_classes=3)
        },
    ],
)  # fmt: skip
def test_other_features_are_refused(tmp_path, features):
    place = write_dataset(tmp_path / "odd", SPLITS, **features)
    with pytest.raises(UserError, match="Expected an image classification dataset"):
        open_dataset(str(place))


def test_what_the_code_of_a_dataset_says_is_checked_before_any_download(tmp_path, monkeypatch):
    def download(*arguments, **more):
        raise AssertionError("downloading")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download)
    with pytest.raises(UserError, match="Expected an image classification dataset"):
        open_dataset("natural_questions", str(tmp_path))
    with pytest.raises(UserError, match="BuilderConfig"):
        open_dataset("cifar10/no_such_config", str(tmp_path))
