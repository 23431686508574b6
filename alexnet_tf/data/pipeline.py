"""The tf.data graphs: what is decoded on the host, and in which order.

A training batch is cut out while it is decoded and travels to the device as uint8 with the random
numbers of its images; everything else happens there (`preprocess.py`). Order and
augmentation of an epoch are a pure function of (seed, epoch), so a stream can start at any step.
"""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.data import augment
from alexnet_tf.data.decode import decode_crop, decode_square
from alexnet_tf.data.sources import Split
from alexnet_tf.models.spec import AUGMENTATIONS, Preprocessing

SHUFFLE_BUFFER = 10_000  # records, still encoded: 0.2 GB of 256×256 JPEGs, 1.1 GB of ImageNet's


def training_dataset(
    split: Split,
    spec: Preprocessing,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    augmentations: tuple[str, ...] = AUGMENTATIONS,
) -> tf.data.Dataset:
    """Batches without end, epoch after epoch; the rest of an epoch that fills no batch is left.

    Args:
        split: the training set.
        spec: the variant's preprocessing.
        batch_size: B, over all replicas; at most the number of examples.
        seed: of order and augmentation.
        first_step: the step whose batch comes first; what precedes it is skipped undecoded.
        augmentations: which of `spec.AUGMENTATIONS` are on.

    Returns:
        Batches of image uint8 [B, C, C, 3], label int64 [B], offset int32 [B, 2], reflect bool
        [B], alpha float32 [B, 3].
    """
    first_epoch, first_batch = divmod(first_step, split.examples // batch_size)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        def example(record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            draws = augment.draw(seed, epoch, record["index"], spec, augmentations)
            image = decode_crop(split.load(record["image"]), draws["offset"], spec)
            return {"image": image, "label": record["label"], **draws}

        skipped = tf.where(epoch == first_epoch, first_batch * batch_size, 0)
        # Of this graph alone, in place of the process's global seed, which would enter into the
        # order (and which tf.data cannot combine with a tensor if it is 0).
        tf.compat.v1.set_random_seed(1)
        order = tf.random.stateless_uniform([], [seed, epoch], maxval=2**31 - 1, dtype=tf.int64)
        buffer = split.examples if split.light else min(split.examples, SHUFFLE_BUFFER)
        return (
            split.records.shuffle(buffer, seed=order, reshuffle_each_iteration=False)
            .skip(tf.cast(skipped, tf.int64))
            .map(example, tf.data.AUTOTUNE, deterministic=True)
            .ignore_errors()  # an image that does not decode; `compute_statistics` counts them
            .batch(batch_size, drop_remainder=True)
        )

    epochs = tf.data.Dataset.counter(first_epoch)
    return epochs.flat_map(epoch_batches).prefetch(2)


def evaluation_dataset(split: Split, spec: Preprocessing, batch_size: int) -> tf.data.Dataset:
    """Every readable example once, in order, the last batch filled up with weight 0.

    Args:
        split: the examples.
        spec: the variant's preprocessing.
        batch_size: B, over all replicas.

    Returns:
        Batches of image uint8 [B, S, S, 3], label int64 [B], weight float32 [B].
    """

    def example(record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {
            "image": decode_square(split.load(record["image"]), spec),
            "label": record["label"],
            "weight": tf.constant(1.0),
        }

    def fill(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        missing = batch_size - tf.shape(batch["label"])[0]

        def padded(values: tf.Tensor) -> tf.Tensor:
            edges = [[0, missing]] + [[0, 0]] * (len(values.shape) - 1)
            return tf.ensure_shape(tf.pad(values, edges), [batch_size, *values.shape[1:]])

        return {name: padded(values) for name, values in batch.items()}

    return (
        split.records.map(example, tf.data.AUTOTUNE, deterministic=True)
        .ignore_errors()  # the evaluation counts what is missing and says so
        .batch(batch_size)
        .map(fill)
        .prefetch(2)
    )
