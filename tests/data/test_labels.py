"""Examples without a label, and shards that are not what their metadata says."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.cache import open_decoded_cache
from alexnet_tf.data.contact_sheet import sample
from alexnet_tf.data.dataset import NO_LABEL, check_beginning
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.pipeline import evaluation_dataset, training_dataset
from alexnet_tf.data.shuffle import shuffled_records
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.inspection.dataset_stats import collect_stats
from alexnet_tf.inspection.duplicates import find_duplicates
from alexnet_tf.models.variants import get_variant
from alexnet_tf.preparation.plan import Settings
from alexnet_tf.preparation.run import prepare_dataset
from alexnet_tf.preparation.sources import open_tfds_source
from alexnet_tf.system.errors import UserError, damage_of_data
from tests.data.splits import shade_png
from tests.stored_datasets import serialised, write_dataset

PREPROCESSING = get_variant("tiny32").preprocessing
LABELS = [0, -1, 2, 1, 3, 10**6]  # of three classes
VALID = [True, False, True, True, False, False]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "small" / "1.0.0"
    return open_dataset(str(write_dataset(folder, {"train": LABELS, "validation": [-1, -1]})))


def weights(batches, examples=6):
    weight = {}
    for batch in batches:
        for name in ("index", "label", "weight"):
            assert batch[name].shape == batch["index"].shape
        assert (batch["weight"].numpy()[batch["label"].numpy() < 0] == 0).all()
        weight.update(zip(batch["index"].numpy().tolist(), batch["weight"].numpy(), strict=True))
    return [bool(weight[i]) for i in range(examples)]


def test_they_have_weight_zero_in_training_and_evaluation(dataset):
    errors = DecodeErrors(dataset.train)
    assert weights(evaluation_dataset(dataset.train, PREPROCESSING, 4, errors)) == VALID
    assert str(errors).startswith("3 unusable (3 without a label): train example 1, ")
    assert errors.undecodable == 0
    batches = list(training_dataset(dataset.train, PREPROCESSING, 6, seed=0).take(1))
    assert weights(batches) == VALID
    assert (batches[0]["label"].numpy() >= 0).all()


def test_they_have_weight_zero_in_a_cache(dataset):
    cache = open_decoded_cache(dataset.train, PREPROCESSING, DecodeErrors(dataset.train))
    batches = training_dataset(dataset.train, PREPROCESSING, 6, seed=0, cache=cache).take(1)
    assert weights(batches) == VALID


def test_they_stay_without_one_in_a_models_order_of_classes(dataset):
    train = dataset.with_class_order(("red", "black", "green", "blue")).train
    _, labels = train.parse(next(iter(train.in_order().batch(6))))
    assert labels.numpy().tolist() == [3, NO_LABEL, 0, 2, NO_LABEL, NO_LABEL]


def test_a_split_without_any_is_refused_before_training(dataset):
    check_beginning(dataset.train)
    with pytest.raises(UserError, match="The validation images have no labels"):
        check_beginning(dataset.validation)


def test_the_doctor_counts_them_apart(dataset):
    stats = collect_stats(dataset.train, 3)
    assert stats.labels.tolist() == [1, 1, 1]
    assert stats.unlabelled == ["train example 1", "train example 4", "train example 5"]
    assert stats.images == 6
    test = collect_stats(dataset.validation, 3)
    duplicates = find_duplicates(stats, test)
    assert len(duplicates.exact) == 2 and not duplicates.relabelled
    assert len(sample(dataset.train, 6)) == 3


def test_preparation_skips_and_names_them(tmp_path):
    write_dataset(tmp_path / "small" / "1.0.0", {"train": LABELS, "validation": [2, -1]})
    source = open_tfds_source("small", str(tmp_path))
    settings, output = Settings(32, 90, 1024, 0), str(tmp_path / "out")
    report = prepare_dataset(source, output, settings, workers=1, max_skipped=0.5).report
    assert report["prepared"]["validation"]["classes"] == {"blue": 0, "green": 0, "red": 1}
    assert report["prepared"]["validation"]["skipped"] == [("validation 1", "without a label")]
    assert report["prepared"]["train"]["examples"] == 3
    assert open_dataset(output).train.examples == 3


def test_a_label_without_classes_is_refused(tmp_path):
    import tensorflow_datasets as tfds

    label = tfds.features.ClassLabel()
    label._num_classes = 0  # TFDS stores a missing number as 0
    place = write_dataset(tmp_path / "odd", {"train": [0], "validation": [0]}, label=label)
    with pytest.raises(UserError, match="with no classes of label"):
        open_dataset(str(place))


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(
    "claimed, words",
    [(11, "a shard has only 10 examples, not 11"), (9, "a shard has at least 10 examples, not 9")],
)
@pytest.mark.parametrize("sliced", [False, True])
def test_a_shard_of_another_length_ends_the_run(tmp_path, sliced, claimed, words, shuffled):
    splits = {"train": [0, 1] * 5} | ({} if sliced else {"validation": [0]})
    place = write_dataset(tmp_path / "small", splits, claimed={"train": claimed})
    dataset = open_dataset(str(place))
    split = dataset.validation if sliced else dataset.train
    examples = split.examples + 1
    records = shuffled_records(split, 0).take(examples) if shuffled else split.in_order()
    with pytest.raises(tf.errors.FailedPreconditionError) as error:
        for _ in records.batch(4):
            pass
    assert words in damage_of_data(error.value)


def test_examples_that_lack_an_image_or_a_label_are_counted(tmp_path):
    empty = tf.train.Example().SerializeToString()
    records = {"train": [serialised(shade_png(9), 1), empty, serialised(b"", 2)]}
    splits = {"train": [1, 1, 1], "validation": [0]}
    train = open_dataset(str(write_dataset(tmp_path / "small", splits, records=records))).train
    errors = DecodeErrors(train)
    assert weights(evaluation_dataset(train, PREPROCESSING, 3, errors), 3) == [True, False, False]
    assert len(errors) == 2


def test_records_that_are_no_examples_are_damage(tmp_path):
    records = {"train": [b"\x0a\xff no example, but its length is right"]}
    splits = {"train": [1], "validation": [0]}
    train = open_dataset(str(write_dataset(tmp_path / "small", splits, records=records))).train
    with pytest.raises((tf.errors.InvalidArgumentError, UnicodeDecodeError)) as error:
        for _ in train.in_order().batch(1).map(train.parse):
            pass
    assert "a record is no example" in damage_of_data(error.value)
    assert damage_of_data(np.linalg.LinAlgError("another")) is None
