import collections
import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data import shuffle
from alexnet_tf.data.dataset import PADDING, Split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.pipeline import (
    evaluation_dataset,
    training_batch_spec,
    training_dataset,
)
from alexnet_tf.models.spec import PCANoise, Preprocessing
from tests.data.splits import sharded_split

SPEC = Preprocessing(image_size=8, crop_size=6, pca_noise=PCANoise())
LENGTHS, BATCH = (9, 9, 4), 4
EXAMPLES = sum(LENGTHS)


def batches(number, split=None, **options):
    options = {"seed": 3, **options}
    dataset = training_dataset(split or sharded_split(LENGTHS), SPEC, BATCH, **options)
    return list(itertools.islice(dataset.as_numpy_iterator(), number))


def assert_equal_batches(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_every_example_once_an_epoch_though_batches_straddle_epochs():
    indices = np.concatenate([batch["index"] for batch in batches(11)])  # 44 images: two epochs
    for epoch in indices.reshape(2, EXAMPLES):
        assert sorted(epoch) == list(range(EXAMPLES))


def test_image_and_label_stay_together():
    for batch in batches(6):
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], batch["label"])
        assert batch["image"].shape == (BATCH, 6, 6, 3)
        assert batch["image"].dtype == np.uint8


@pytest.mark.slow
@pytest.mark.parametrize("start_step", [0, 3, 5, 8, 12])
@pytest.mark.parametrize("broken", [(), (2, 7)])
def test_the_stream_can_start_at_any_step(start_step, broken):
    split = sharded_split(LENGTHS, broken)
    assert_equal_batches(
        batches(start_step + 7, split)[start_step:], batches(7, split, start_step=start_step)
    )


@pytest.mark.slow
@pytest.mark.parametrize("num_shards", [1, 2, 4])
def test_all_shards_together_yield_the_whole_batches(num_shards, monkeypatch):
    monkeypatch.setattr(shuffle, "WINDOW_BYTES", 100 * 5)
    parts = [batches(11, shard_index=i, num_shards=num_shards) for i in range(num_shards)]
    joined = [
        {name: np.concatenate([part[name] for part in step]) for name in step[0]}
        for step in zip(*parts, strict=True)
    ]
    assert_equal_batches(batches(11), joined)


def test_a_batch_divides_into_its_shards():
    with pytest.raises(ValueError, match="multiple of num_shards=3"):
        training_dataset(sharded_split(LENGTHS), SPEC, 8, 3, shard_index=0, num_shards=3)


def test_the_ids_of_an_epoch_with_three_shards():
    split = sharded_split(LENGTHS)
    seen = collections.Counter()
    for shard_index in range(3):
        dataset = training_dataset(split, SPEC, 6, 3, shard_index=shard_index, num_shards=3)
        for batch in itertools.islice(dataset.as_numpy_iterator(), 11):  # 66 images: three epochs
            seen.update(zip(batch["epoch"].tolist(), batch["index"].tolist(), strict=True))
    assert seen == {(epoch, index): 1 for epoch in range(3) for index in range(EXAMPLES)}


def test_augmentation_is_a_function_of_seed_epoch_and_index():
    """The same image in the same epoch has the same draws, whatever surrounds it."""
    one = {
        (e, i): offset.tolist()
        for batch in batches(11)
        for e, i, offset in zip(batch["epoch"], batch["index"], batch["offset"], strict=True)
    }
    dataset = training_dataset(sharded_split((EXAMPLES,)), SPEC, 11, seed=3)
    for batch in itertools.islice(dataset.as_numpy_iterator(), 4):
        for e, i, offset in zip(batch["epoch"], batch["index"], batch["offset"], strict=True):
            assert one.pop((e, i)) == offset.tolist()
    assert not one


def test_seeds_give_other_streams():
    one, other = batches(5), batches(5, seed=4)
    assert any((a["label"] != b["label"]).any() for a, b in zip(one, other, strict=True))


def test_the_global_seed_does_not_matter():
    streams = []
    for seed in (0, 1):
        tf.random.set_seed(seed)
        streams.append(batches(5))
    assert_equal_batches(*streams)


def test_broken_images_have_weight_0_and_are_recorded():
    split = sharded_split(LENGTHS, broken=(2, 7))
    errors = DecodeErrors(split)
    for batch, whole in zip(batches(11, split, decode_errors=errors), batches(11), strict=True):
        broken = np.isin(batch["index"], (2, 7))
        np.testing.assert_array_equal(batch["weight"], ~broken)
        np.testing.assert_array_equal(batch["index"], whole["index"])
        np.testing.assert_array_equal(batch["image"][~broken], whole["image"][~broken])
        assert not batch["image"][broken].any()
    assert len(errors) == 2
    assert "train example 2, train example 7" in str(errors)


def test_a_batch_of_broken_images_alone():
    split = sharded_split((4,), broken=(0, 1, 2, 3))
    errors = DecodeErrors(split)
    (batch,) = batches(1, split, decode_errors=errors)
    assert not batch["weight"].any()
    assert len(errors) == 4


@pytest.mark.parametrize("lengths", [(8,), (5, 4), (4, 4, 3)])
@pytest.mark.parametrize("broken", [(), (1, 6)])
def test_evaluation_weighs_every_example_exactly_once(lengths, broken):
    weight_of = collections.Counter()
    errors = DecodeErrors(sharded_split(lengths))
    dataset = evaluation_dataset(sharded_split(lengths, broken), SPEC, BATCH, errors)
    for batch in dataset.as_numpy_iterator():
        assert batch["image"].shape == (BATCH, 8, 8, 3)
        for index, weight in zip(batch["index"], batch["weight"], strict=True):
            weight_of[int(index)] += float(weight)
    del weight_of[-1]  # what fills the last batch up
    assert weight_of == {i: float(i not in broken) for i in range(sum(lengths))}
    assert len(errors) == len(broken)


class CountedSplit(Split):
    """Counts the images that are loaded."""

    loaded = 0

    def load(self, image):
        def count(image):
            CountedSplit.loaded += 1
            return image

        return tf.ensure_shape(tf.numpy_function(count, [super().load(image)], tf.string), [])


@pytest.mark.parametrize("num_shards", [1, 2])
def test_padding_is_never_loaded_nor_a_batch_decoded_twice(num_shards):
    split = sharded_split(LENGTHS)
    counted = CountedSplit(**{f.name: getattr(split, f.name) for f in dataclasses.fields(split)})
    CountedSplit.loaded, indices = 0, []
    for shard in range(num_shards):
        data = evaluation_dataset(counted, SPEC, 16, shard_index=shard, num_shards=num_shards)
        for batch in data.as_numpy_iterator():
            indices += batch["index"].tolist()
            np.testing.assert_array_equal(batch["weight"], batch["index"] != PADDING)
    assert sorted(indices) == 10 * [PADDING] + list(range(EXAMPLES))
    assert CountedSplit.loaded == EXAMPLES


def test_evaluation_of_every_third_example():
    dataset = evaluation_dataset(sharded_split(LENGTHS), SPEC, BATCH, stride=3)
    indices = np.concatenate([batch["index"] for batch in dataset.as_numpy_iterator()])
    assert [i for i in indices if i >= 0] == list(range(0, EXAMPLES, 3))


@pytest.mark.parametrize(
    "augmentations", [None, (), ("crop", "flip", "pca_noise"), ("resized_crop", "flip")]
)
def test_the_signature_of_a_batch_is_that_of_the_batches(augmentations):
    dataset = training_dataset(
        sharded_split(LENGTHS), SPEC, BATCH, seed=3, augmentations=augmentations
    )
    assert dataset.element_spec == training_batch_spec(BATCH, SPEC, augmentations)
    names = {"image", "label", "weight", "index", "epoch", "offset", "flip"}
    assert dataset.element_spec.keys() == names | {"pca_applied", "pca_noise"}


def test_each_example_counts_once_an_epoch_up_to_the_end_of_the_run():
    """Two epochs end within the last batch. A longer run begins with the images that were cut."""
    end, counted = 2 * EXAMPLES - 1, collections.Counter()  # 43 images, 11 batches of 4
    rest = 2 * EXAMPLES - end  # the 44th image had weight 0 and comes again
    for shard in range(2):
        part = {"shard_index": shard, "num_shards": 2}
        first = batches(11, end=end, **part)
        longer = batches(3, start_step=11, cut=rest, end=50, **part)
        for batch in (*first, *longer):
            numbers = batch["epoch"] * EXAMPLES + batch["index"]
            counted.update(numbers[batch["weight"] > 0].tolist())
    assert set(counted.values()) == {1} and counted.total() == 50
    assert set(range(2 * EXAMPLES)) <= set(counted)
