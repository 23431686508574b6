import os
import pathlib
import shutil

import pytest

from alexnet_tf.data.shapes import CLASSES
from alexnet_tf.data.sources import dataset_directory, open_dataset
from alexnet_tf.system.errors import UserError
from tests.folders import write_folder


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "images", train=2, val=1)


def test_folder_yields_files_with_labels_in_order(folder):
    source = open_dataset("folder", str(folder))
    assert source.classes == tuple(sorted(CLASSES))
    assert (source.train.examples, source.validation.examples) == (20, 10)
    assert source.train.lengths == (20,)
    records = next(iter(source.train.in_order().batch(20)))
    assert records["index"].numpy().tolist() == list(range(20))
    images, labels = source.train.parse(records)
    for image, label in zip(images, labels, strict=True):
        path = pathlib.Path(image.numpy().decode())
        assert source.classes[label] == path.parent.name
        assert source.train.load(image).numpy() == path.read_bytes()


def test_val_may_be_called_validation(folder):
    (folder / "val").rename(folder / "validation")
    assert open_dataset("folder", str(folder)).validation.examples == 10


def test_a_name_that_is_not_text_is_refused_in_one_line(folder):
    (folder / "train" / CLASSES[0] / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match=r"in UTF-8. Received: b'.*caf\\xe9\.jpg'; rename it"):
        open_dataset("folder", str(folder))


def test_files_that_are_too_large_are_never_read(folder):
    image = next((folder / "train" / "disk").iterdir())
    with (folder / "train" / "disk" / "large.jpg").open("wb") as file:
        file.write(image.read_bytes())
        file.truncate(2**25 + 1)
    with pytest.raises(UserError, match=r"large.jpg, which has over 33,554,432 bytes"):
        open_dataset("folder", str(folder), max_unreadable=0.01)
    source = open_dataset("folder", str(folder), max_unreadable=0.1)
    assert source.train.examples == 20
    assert "1 files of over 33,554,432 bytes (disk/large.jpg)" in str(source.left_out)


def empty_train(folder):
    shutil.rmtree(folder / "train")
    (folder / "train").mkdir()


def class_without_images(folder):
    for path in (folder / "train" / "ring").iterdir():
        path.unlink()


def class_in_train_only(folder):
    shutil.rmtree(folder / "val" / "star")


def text_named_jpg(folder):
    (folder / "val" / "star" / "a.jpg").write_text("hello, world")


@pytest.mark.parametrize(
    "spoil, complaint",
    [
        (empty_train, r"one folder for each class in .*train"),
        (class_without_images, r"none in .*ring"),
        (class_in_train_only, r"star"),
        (text_named_jpg, r"star.a\.jpg, which begins with b'hello, w'"),
    ],
)
def test_a_spoilt_folder_is_refused_in_one_line(folder, spoil, complaint):
    spoil(folder)
    with pytest.raises(UserError, match=complaint) as error:
        open_dataset("folder", str(folder))
    assert "\n" not in str(error.value)


def test_missing_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="needs --data_dir"):
        open_dataset("folder", None)
    with pytest.raises(UserError, match="Received: .*nowhere"):
        open_dataset("folder", str(tmp_path / "nowhere"))


def test_unknown_datasets_are_refused_with_a_suggestion(tmp_path):
    with pytest.raises(UserError, match="did you mean .*cifar10") as error:
        open_dataset("cifar01", str(tmp_path))
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="did you mean shapes"):
        open_dataset("shape", str(tmp_path))


def test_a_dataset_without_class_labels_is_refused(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    class Numbers(tfds.testing.DummyDataset):
        """Integers, no images."""

    builder = Numbers(data_dir=tmp_path)
    builder.download_and_prepare()
    monkeypatch.setattr(tfds, "builder", lambda *args, **kwargs: builder)
    with pytest.raises(UserError, match="image classification"):
        open_dataset("numbers", str(tmp_path))


def test_a_built_in_name_comes_before_a_directory_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("shapes", "mine"):
        (tmp_path / name).mkdir()
    assert dataset_directory("shapes") is None
    assert dataset_directory("./shapes") == str(tmp_path / "shapes")
    assert dataset_directory("mine") == str(tmp_path / "mine")
    assert dataset_directory("cifar10") is None


def labels_by_image(split):
    images, labels = split.parse(next(iter(split.in_order().batch(split.examples))))
    return dict(zip(images.numpy().tolist(), labels.numpy().tolist(), strict=True))


def test_labels_follow_the_class_order_of_a_model_that_has_more_classes(folder):
    source = open_dataset("folder", str(folder))
    classes = ("zebra", *reversed(source.classes), "ant")
    same = source.with_class_order(classes)
    assert same.classes == classes
    for before, after in ((source.train, same.train), (source.validation, same.validation)):
        labels = labels_by_image(after)
        assert len(labels) == before.examples
        for image, label in labels_by_image(before).items():
            assert classes[labels[image]] == source.classes[label]


def test_classes_that_a_model_does_not_have_are_named(folder):
    source = open_dataset("folder", str(folder))
    with pytest.raises(UserError, match=r"folder with 10, of which .* not know 2 \(disk, \.\.\.\)"):
        source.with_class_order(
            tuple(name for name in source.classes if name not in ("disk", "ring"))
        )
