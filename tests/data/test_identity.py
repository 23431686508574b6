"""Training data is the same data wherever it is, and other data in the same place is not."""

import shutil

import pytest

from alexnet_tf.data.identity import training_digest
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.metadata import RunMetadata
from tests.folders import write_folder
from tests.stored_datasets import write_dataset


def digest_of_folder(folder):
    return training_digest(open_dataset("folder", str(folder)))


def test_a_folder_elsewhere(tmp_path):
    folder = write_folder(tmp_path / "job1" / "photos", train=2, val=1)
    copy = shutil.copytree(folder, tmp_path / "another job" / "deeper" / "pictures")
    digest = digest_of_folder(folder)
    assert digest_of_folder(copy) == digest
    photo = min((copy / "train").glob("*/*.jpg"))
    photo.write_bytes(photo.read_bytes() + b"\0")
    assert digest_of_folder(copy) != digest
    photo.rename(photo.with_name("renamed.jpg"))
    assert digest_of_folder(copy) != digest


def test_a_stored_dataset_elsewhere(tmp_path):
    place = write_dataset(tmp_path / "job1" / "1.0.0", {"train": [0, 1, 2], "test": [0]})
    copy = shutil.copytree(place, tmp_path / "2.0.0")
    other = write_dataset(tmp_path / "other", {"train": [0, 1, 2, 0], "test": [0]})
    digests = [training_digest(open_dataset(str(each))) for each in (place, copy, other)]
    assert digests[0] == digests[1] != digests[2]


def metadata(**changes):
    values = dict(variant="tiny", activation="relu", classes=("a", "b"), dataset="folder")
    values |= dict(data_dir="/job1/photos", examples=9, data_digest="1" * 64)
    return RunMetadata(**{**values, **changes})


@pytest.mark.parametrize("name, data_dir", [("folder", "/job2/photos"), ("/job2/prepared", None)])
def test_a_run_goes_on_with_the_same_data_elsewhere(tmp_path, name, data_dir):
    directory = ModelDirectory(tmp_path)
    moved = {"dataset": name, "data_dir": data_dir}
    directory.write_metadata(metadata(dataset=name.replace("job2", "job1")))
    assert directory.matches(metadata(**moved))
    for change, words in (
        ({"classes": ("a", "c")}, "classes"),
        ({"examples": 8}, "training images 9, .* 8"),
        ({"data_digest": "2" * 64}, "--data_dir|dataset"),
    ):
        with pytest.raises(UserError, match=words):
            directory.matches(metadata(**moved, **change))
    with pytest.raises(UserError, match="data of digest 111111111111, .* 222222222222"):
        here = {"dataset": name.replace("job2", "job1")}
        directory.matches(metadata(**here, data_digest="2" * 64))


def test_a_run_of_an_earlier_version_goes_on_where_it_was(tmp_path):
    directory = ModelDirectory(tmp_path)
    directory.write_metadata(metadata(data_digest=None))
    assert directory.matches(metadata())
    with pytest.raises(UserError, match="--data_dir /job1/photos, .*/job2"):
        directory.matches(metadata(data_dir="/job2/photos"))
