import numpy as np
import pytest

from alexnet_tf.preparation.plan import Settings, plan
from alexnet_tf.preparation.sources import FileReader, Source

CLASSES = 10
EACH = 100
NAMES = [f"n{label}_{i}" for label in range(CLASSES) for i in range(EACH)]  # sorted by class


def source(names=NAMES, in_order_only=False):
    train = FileReader("/", names, [int(name[1]) for name in names])
    train.in_order_only = in_order_only
    return Source(
        "birds", "", tuple("abcdefghij"), {"train": train, "val": FileReader("/", ["v"], [0])}
    )


def laid_out(seed=0, shard_examples=64, measured=10_000, **options):
    return plan(source(**options), Settings(256, 90, shard_examples, seed), measured)


def test_every_example_is_in_one_place():
    shards = laid_out()
    train = [shard for shard in shards if shard.split == "train"]
    assert sorted(np.concatenate([s.indices for s in train]).tolist()) == list(range(len(NAMES)))
    assert len(train) == 16
    assert {len(shard.indices) for shard in train} == {62, 63}
    assert shards[0].file == "birds-train.tfrecord-00000-of-00016"
    assert shards[-1].file == "birds-val.tfrecord-00000-of-00001"


def test_it_is_a_pure_function_of_seed_and_names():
    first, again, other = ([s.indices.tolist() for s in laid_out(seed)] for seed in (0, 0, 1))
    assert first == again
    assert first[:-1] != other[:-1]
    # Where a name stands in its source does not matter.
    moved = NAMES[500:] + NAMES[:500]
    order = [moved[i] for shard in laid_out(names=moved)[:-1] for i in shard.indices]
    assert order == [NAMES[i] for shard in laid_out()[:-1] for i in shard.indices]


def test_every_shard_is_a_mixture():
    for shard in laid_out(shard_examples=250)[:-1]:  # 25 of each class, give or take 4
        of_a_class = np.bincount(shard.indices // EACH, minlength=CLASSES)
        assert of_a_class.min() > 10
        assert of_a_class.max() < 40


def test_what_comes_in_one_order_only_stays_in_its_shard():
    shards = laid_out(in_order_only=True)[:-1]
    first = 0
    for shard in shards:
        end = first + len(shard.indices)
        assert sorted(shard.indices.tolist()) == list(range(first, end))
        assert shard.indices.tolist() != list(range(first, end))
        first = end


@pytest.mark.parametrize(("measured", "expected"), [(1000, 1000), (999, 500), (300, 250)])
def test_measured_examples_are_spread_evenly(measured, expected):
    *train, validation = laid_out(measured=measured)
    assert sum(shard.measured.sum() for shard in train) == expected
    assert len({int(shard.measured.sum()) for shard in train}) <= 2
    assert not validation.measured.any()
