"""Which split does what, in folders and in datasets of TFDS."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.dataset import hold_out, make_split
from alexnet_tf.data.shuffle import shuffled_records
from alexnet_tf.data.sources import open_dataset, open_split
from alexnet_tf.data.splits import (
    EARLIER,
    HELD_OUT,
    LAST_TENTH,
    choose_validation,
    describe_roles,
    splits_to_prepare,
)
from alexnet_tf.system.errors import UserError
from tests.folders import write_folder
from tests.tfds_files import write_tfds

IN_ORDER = [0] * 20 + [1] * 20 + [2] * 20


@pytest.fixture(scope="module")
def train_only(tmp_path_factory):
    return write_tfds(tmp_path_factory.mktemp("tfds") / "train_only", train=IN_ORDER)


@pytest.fixture(scope="module")
def four_splits(tmp_path_factory):
    splits = {"train": 30, "valid": 12, "test": 15, "extra": 3}
    labels = {name: [0, 1, 2] * (count // 3) for name, count in splits.items()}
    return write_tfds(tmp_path_factory.mktemp("tfds") / "four", empty=[], **labels)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with train/, 3 images a class."""
    root = write_folder(tmp_path_factory.mktemp("photos"), train=3, val=1)
    shutil.rmtree(root / "val")
    return root


def contents(split):
    """Of all examples in order: index, shade (TFDS) or path (folder), label."""
    records = next(iter(split.in_order().batch(1000)))
    images, labels = split.parse(records)
    assert records["index"].numpy().tolist() == list(range(split.examples))
    if split.files:
        shown = [image.decode() for image in images.numpy()]
    else:
        shown = [int(tf.io.decode_png(image)[0, 0, 0]) for image in images]
    return shown, labels.numpy().tolist()


@pytest.mark.parametrize(
    ("names", "asked", "chosen"),
    [
        (("train", "val", "test"), None, "val"),
        (("dev", "test", "train", "valid"), None, "valid"),
        (("train", "val", "validation"), None, "validation"),
        (("train", "dev"), None, "dev"),
        (("train", "test"), None, HELD_OUT),
        (("train",), None, HELD_OUT),
        (("train", "validation", "test"), "test", "test"),
        (("train", "validation"), "train", HELD_OUT),
        (("train", "validation"), "val", "validation"),
        (("train", "test"), "test[:50%]", "test[:50%]"),
        (("train",), LAST_TENTH, LAST_TENTH),
        (("test",), None, "test"),
        (("test", "extra"), None, "test"),
        (("matched",), None, "matched"),
    ],
)
def test_the_split_that_validates(names, asked, chosen):
    assert choose_validation("data", names, asked) == chosen


@pytest.mark.parametrize(
    ("names", "asked", "words"),
    [
        (("train", "test"), "val", "data has no split val. It has train, test"),
        (("train", "test"), "tset", "no split tset. It has train, test"),
        (("test",), "train", "no split train. It has test"),
        (("one", "other"), None, "Choose one of one, other"),
        (("train",), "train[80%:]", "are trained on"),
    ],
)
def test_a_wrong_split_is_refused_with_the_names_that_exist(names, asked, words):
    with pytest.raises(UserError, match=words.replace("[", r"\[")):
        choose_validation("data", names, asked)


def test_the_splits_of_a_preparation():
    assert splits_to_prepare("data", ("test", "train", "valid")) == ("train", "valid")
    assert splits_to_prepare("data", ("test", "train")) == ("train", "test")
    assert splits_to_prepare("data", ("train",)) == ("train",)
    assert splits_to_prepare("data", ("test",)) == ("test",)
    assert splits_to_prepare("data", ("a", "train"), ("a", "train")) == ("train", "a")
    with pytest.raises(UserError, match="no split b. It has a"):
        splits_to_prepare("data", ("a",), ("b",))
    with pytest.raises(UserError, match="no split a"):
        splits_to_prepare("data", ("a",), ("a[:10%]",))


def test_roles_in_one_line():
    assert describe_roles(("train", "val", "test")) == (
        "train for training, val for validation; not used in training: test"
    )
    assert describe_roles(("train",)) == (
        "train for training, a tenth of it, held out, for validation"
    )
    assert "no split to train on" in describe_roles(("test",))


def test_a_tenth_of_each_class_is_held_out_of_a_dataset_in_the_order_of_its_classes(train_only):
    dataset = open_dataset(train_only)
    assert (dataset.train.examples, dataset.validation.examples) == (54, 6)
    (trained, labels), (held_out, others) = map(contents, (dataset.train, dataset.validation))
    assert np.bincount(others).tolist() == [2, 2, 2]
    assert sorted(trained + held_out) == list(range(60))
    assert labels == [IN_ORDER[shade] for shade in trained]
    assert others == [IN_ORDER[shade] for shade in held_out]
    # The choice must stay: runs are resumed with it.
    assert held_out == contents(open_dataset(train_only, validation_split=HELD_OUT).validation)[0]
    assert held_out == [5, 14, 21, 38, 43, 53]
    assert "54 training images (split train), 6 validation images (held out of train)" in (
        dataset.describe()
    )


def test_classes_that_alternate_are_all_held_out():
    """Every tenth image would be of one class."""
    split = make_split([bytes([i % 10]) for i in range(1000)], [i % 10 for i in range(1000)])
    _, held_out = hold_out(split)
    assert held_out.examples == 100
    labels = split_labels(held_out)
    assert np.bincount(labels, minlength=10).min() >= 3


def split_labels(split):
    return split.parse(next(iter(split.in_order().batch(1000))))[1].numpy()


@pytest.mark.parametrize("count", [2, 3, 9, 11, 19, 20, 21, 105])
def test_the_held_out_part_is_a_tenth_and_never_empty(count):
    split = make_split([b""] * count, [0] * count)
    train, held_out = hold_out(split)
    assert (train.examples, held_out.examples) == (
        count - max(1, count // 10),
        max(1, count // 10),
    )


def test_one_image_cannot_be_divided():
    with pytest.raises(UserError, match="at least two"):
        hold_out(make_split([b""], [0]))


def test_each_class_of_a_folder_without_validation_is_divided(photos):
    dataset = open_dataset("folder", str(photos))
    assert (dataset.train.examples, dataset.validation.examples) == (20, 10)
    (trained, _), (held_out, labels) = map(contents, (dataset.train, dataset.validation))
    assert labels == list(range(10))
    assert sorted(trained + held_out) == sorted(map(str, photos.glob("train/*/*")))


def test_a_class_of_one_image_stays_in_training(photos, tmp_path):
    shutil.copytree(photos / "train", tmp_path / "train")
    for path in sorted((tmp_path / "train" / "ring").iterdir())[1:]:
        path.unlink()
    dataset = open_dataset("folder", str(tmp_path))
    ring = dataset.classes.index("ring")
    assert ring not in contents(dataset.validation)[1]
    assert contents(dataset.train)[1].count(ring) == 1


@pytest.mark.parametrize("start", [0, 61, 131])
def test_an_epoch_without_the_held_out_images_can_begin_anywhere(train_only, start):
    train = open_dataset(train_only).train
    whole = shuffled_records(train, seed=1).take(180).as_numpy_iterator()
    order = [int(record["index"]) for record in whole]
    assert sorted(order[:54]) == list(range(54)) and order[:54] != order[54:108]
    rest = shuffled_records(train, seed=1, start=start).take(180 - start).as_numpy_iterator()
    assert [int(record["index"]) for record in rest] == order[start:]


def test_runs_of_earlier_versions_keep_their_split(train_only, four_splits, photos, tmp_path):
    dataset = open_dataset(train_only, validation_split=EARLIER)
    assert (dataset.train.name, dataset.validation.name) == ("train[:90%]", LAST_TENTH)
    assert contents(dataset.train)[0] == list(range(54))
    assert open_dataset(four_splits, validation_split=EARLIER).validation.name == "test"
    for name in ("train", "val", "validation"):
        shutil.copytree(photos / "train", tmp_path / name)
    (tmp_path / "val" / "ring" / "0001.jpg").unlink()
    dataset = open_dataset("folder", str(tmp_path), validation_split=EARLIER)
    assert (dataset.validation.name, dataset.validation.examples) == ("val", 29)


def test_valid_is_preferred_to_test_and_the_rest_is_named(four_splits):
    dataset = open_dataset(four_splits)
    assert (dataset.validation.name, dataset.validation.examples) == ("valid", 12)
    assert dataset.describe().endswith("3 classes; not used: test, extra")
    assert open_dataset(four_splits, validation_split="test").validation.examples == 15


@pytest.mark.parametrize(
    ("split", "validation", "name", "examples"),
    [
        (None, None, "valid", 12),
        ("validation", None, "valid", 12),
        ("validation", "test", "test", 15),
        (None, "test", "test", 15),
        ("test", None, "test", 15),
        ("extra", "valid", "extra", 3),
        ("test[:40%]", None, "test[:40%]", 6),
        ("train[10:]", "valid", "train[10:]", 20),
        ("train", "valid", "train", 30),
        ("train", HELD_OUT, "train", 27),
        ("train", None, "train", 30),
        (None, "matched", "valid", 12),  # of another dataset's run
        (HELD_OUT, None, HELD_OUT, 3),
    ],
)
def test_any_split_can_be_measured(four_splits, split, validation, name, examples):
    dataset = open_split(four_splits, None, split, validation_split=validation)
    assert (dataset.train.examples, dataset.validation.name) == (0, name)
    assert len(contents(dataset.validation)[0]) == dataset.validation.examples == examples


@pytest.mark.parametrize("split", ["tets", "empty", "train[:80", "train[a:b]", "tets[:9]"])
def test_a_split_that_cannot_be_measured_is_refused_in_one_line(four_splits, split):
    with pytest.raises(UserError) as error:
        open_split(four_splits, None, split)
    assert "\n" not in str(error.value) and split in str(error.value)


def test_other_splits_of_a_folder(photos, tmp_path):
    shutil.copytree(photos / "train", tmp_path / "test")
    shutil.copytree(photos / "train", tmp_path / "dev")
    (tmp_path / "notes").mkdir()
    assert open_split("folder", str(tmp_path)).validation.name == "dev"
    shutil.rmtree(tmp_path / "test" / "ring")
    dataset = open_split("folder", str(tmp_path), "test")
    assert (dataset.validation.examples, len(dataset.classes)) == (27, 9)
    with pytest.raises(UserError, match="no split tset. It has dev, test"):
        open_dataset("folder", str(tmp_path), validation_split="tset", to_train=False)
    assert open_split("folder", str(tmp_path), None, 1.0, HELD_OUT).validation.name == "dev"
    with pytest.raises(UserError, match=f"{tmp_path} has no split train to train on, only dev, "):
        open_dataset("folder", str(tmp_path))
    with pytest.raises(UserError, match=r"not a slice. Received: test\[:5\]"):
        open_split("folder", str(tmp_path), "test[:5]")


def test_val_of_a_folder_goes_by_both_names(photos, tmp_path):
    for name in ("train", "val"):
        shutil.copytree(photos / "train", tmp_path / name)
    for asked in ("val", "validation", None):
        assert open_split("folder", str(tmp_path), asked).validation.name == "validation"
    with pytest.raises(UserError, match="no split test. It has train, validation"):
        open_split("folder", str(tmp_path), "test")
