import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data import pipeline
from alexnet_tf.data.pipeline import evaluation_dataset, training_dataset
from alexnet_tf.data.sources import Split
from alexnet_tf.models.spec import Lighting, Preprocessing

SPEC = Preprocessing(image_size=8, crop_size=6, lighting=Lighting())
EXAMPLES, BATCH = 22, 4


def make_split(examples=EXAMPLES, broken=(), light=False):
    """PNGs of one shade each; image i is all i and has label i, those in `broken` are no PNGs."""
    encoded = [
        b"broken" if i in broken else tf.io.encode_png(np.full((8, 8, 3), i, np.uint8)).numpy()
        for i in range(examples)
    ]
    records = tf.data.Dataset.from_tensor_slices(
        {
            "index": tf.range(examples, dtype=tf.int64),
            "image": encoded,
            "label": tf.range(examples, dtype=tf.int64),
        }
    )
    return Split(records, examples, lambda image: image, light=light)


def batches(number, split=None, **options):
    options = {"seed": 3, **options}
    dataset = training_dataset(split or make_split(), SPEC, BATCH, **options)
    return list(itertools.islice(dataset.as_numpy_iterator(), number))


@pytest.mark.parametrize("light", [False, True])
def test_each_example_at_most_once_an_epoch_and_in_another_order_each(light):
    per_epoch = EXAMPLES // BATCH
    labels = [b["label"] for b in batches(3 * per_epoch, make_split(light=light))]
    epochs = np.array(labels).reshape(3, -1)
    for epoch in epochs:
        assert len(set(epoch)) == per_epoch * BATCH
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert any(tuple(epoch) != tuple(sorted(epoch)) for epoch in epochs)


def test_image_and_label_stay_together():
    for batch in batches(6):
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], batch["label"])
        assert batch["image"].shape == (BATCH, 6, 6, 3)
        assert batch["image"].dtype == np.uint8


@pytest.mark.parametrize("first_step", [0, 3, 5, 8, 12])
def test_the_stream_can_start_at_any_step(first_step):
    undisturbed = batches(first_step + 7)[first_step:]
    resumed = batches(7, first_step=first_step)
    for one, other in zip(undisturbed, resumed, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_seeds_give_other_streams():
    one, other = batches(5), batches(5, seed=4)
    assert any((a["label"] != b["label"]).any() for a, b in zip(one, other, strict=True))


def test_the_global_seed_does_not_matter():
    streams = []
    for seed in (0, 1):
        tf.random.set_seed(seed)
        streams.append(batches(5))
    for one, other in zip(*streams, strict=True):
        np.testing.assert_array_equal(one["label"], other["label"])


def test_small_shuffle_buffers_still_serve_every_example(monkeypatch):
    monkeypatch.setattr(pipeline, "SHUFFLE_BUFFER", 5)
    labels = np.concatenate([b["label"] for b in batches(EXAMPLES // BATCH)])
    assert len(set(labels)) == len(labels)


def test_broken_images_are_left_out_of_training():
    labels = np.concatenate([b["label"] for b in batches(10, make_split(broken=(2, 7)))])
    assert not {2, 7} & set(labels)


@pytest.mark.parametrize("examples", [8, 9, 11])
def test_evaluation_weighs_every_example_exactly_once(examples):
    weight_of = collections.Counter()
    for batch in evaluation_dataset(make_split(examples), SPEC, BATCH).as_numpy_iterator():
        assert batch["image"].shape == (BATCH, 8, 8, 3)
        for label, weight in zip(batch["label"], batch["weight"], strict=True):
            weight_of[int(label)] += float(weight)
    assert weight_of == {i: 1.0 for i in range(examples)}
