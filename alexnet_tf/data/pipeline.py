"""The tf.data graphs: what is decoded on the host, and in which order.

A training batch is cut out while it is decoded and travels to the device as uint8 with the random
numbers of its images; everything else happens there (`preprocess.py`). Order and
augmentation of an epoch are a pure function of (seed, epoch), so a stream can start at any step.

Records are batched while they are still encoded, and each batch is decoded by one thread: less
work for the scheduler than a task an image, and the place in the data never depends on whether
an image can be decoded. One that cannot is black, has weight 0, and is reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from alexnet_tf.data import augment
from alexnet_tf.data.dataset import Records, Split
from alexnet_tf.data.decode import decode_batch, decode_crop, decode_resized_crop, decode_square
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.shuffle import shuffled_records
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system import determinism

if TYPE_CHECKING:
    from alexnet_tf.data.cache import DecodedCache

PADDING = -1  # the index of what only fills up a batch


def training_dataset(
    split: Split,
    spec: Preprocessing,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    augmentations: tuple[str, ...] | None = None,
    unreadable: DecodeErrors | None = None,
    reader: int = 0,
    readers: int = 1,
    squares: DecodedCache | None = None,
    pca_noise_until: float = math.inf,
) -> tf.data.Dataset:
    """Batches without end; one may hold the end of an epoch and the beginning of the next.

    Args:
        split: the training set.
        spec: the variant's preprocessing.
        batch_size: B, over all readers.
        seed: of order and augmentation.
        first_step: the step whose batch comes first; what precedes it is not decoded.
        augmentations: which of `spec.AUGMENTATIONS` are on; None: the variant's own.
        unreadable: is told of images that do not decode.
        reader: number of this one of the readers, who together yield what one alone would.
        readers: how many; each yields its own part of every batch.
        squares: the split's decoded images, where there is a cache of them.
        pca_noise_until: epochs after which there is no lighting any more.

    Returns:
        Batches of image uint8 [b, C, C, 3], index, epoch and label int64 [b], weight float32 [b],
        offset int32 [b, 2], reflect and lit bool [b], alpha float32 [b, 3], with b = B / readers.

    Raises:
        ValueError: a batch that does not divide by the readers.
    """
    part = _part(batch_size, readers)
    if augmentations is None:
        augmentations = spec.augmentations
    unreadable = DecodeErrors(split) if unreadable is None else unreadable

    def batch(records: Records) -> Records:
        """Records [B] to a training batch."""
        images, labels = split.parse(records)
        epoch, index, place = (records[name] for name in ("epoch", "index", "place"))
        draws = augment.draw(seed, epoch, index, place, spec, augmentations, pca_noise_until)
        if squares is not None:
            pixels, weight = squares.crops(index, draws["offset"], spec.crop_size)
        else:
            crop = _crop(split, spec, images, draws["offset"], draws.pop("window", None))
            pixels, weight = _decode(crop, images, index, spec.crop_size, unreadable)
        batch = {"image": pixels, "weight": weight, "label": labels, "index": index, **draws}
        return _with_length({**batch, "epoch": epoch}, part)

    records = shuffled_records(split, seed, first_step * batch_size)
    records = records.batch(batch_size, drop_remainder=True)
    if readers > 1:
        records = records.map(
            lambda batch: {n: v[reader * part :][:part] for n, v in batch.items()}
        )
    return _run(records, batch)


def evaluation_dataset(
    split: Split,
    spec: Preprocessing,
    batch_size: int,
    unreadable: DecodeErrors | None = None,
    every: int = 1,
    reader: int = 0,
    readers: int = 1,
) -> tf.data.Dataset:
    """Every example once, in order, the last batch filled up with weight 0.

    Args:
        split: the examples.
        spec: the variant's preprocessing.
        batch_size: B, over all replicas.
        unreadable: is told of images that do not decode; they have weight 0.
        every: take only each `every`-th example.
        reader: number of this one, of several that together yield what one alone would.
        readers: how many; each yields its own part of every batch.

    Returns:
        Batches of image uint8 [b, S, S, 3], index and label int64 [b], weight float32 [b], with
        b = B / readers; index is -1 where there is no image.

    Raises:
        ValueError: a batch that does not divide by the readers.
    """
    part = _part(batch_size, readers)
    unreadable = DecodeErrors(split) if unreadable is None else unreadable

    def batch(records: Records) -> Records:
        """Records, B at most, to a batch of the evaluation."""
        images, labels = split.parse(records)
        missing = batch_size - tf.size(labels)
        index = tf.pad(records["index"], [[0, missing]], constant_values=PADDING)
        images, labels = tf.pad(images, [[0, missing]]), tf.pad(labels, [[0, missing]])
        images, labels, index = (x[reader * part :][:part] for x in (images, labels, index))
        pixels, weight = _decode(
            lambda i: decode_square(split.load(images[i]), spec),
            images, index, spec.image_size, unreadable,
        )  # fmt: skip
        batch = {"image": pixels, "weight": weight, "label": labels, "index": index}
        return _with_length(batch, part)

    records = split.in_order().shard(every, 0).batch(batch_size)
    return _run(records, batch)


def _run(records: tf.data.Dataset, batch: Callable[[Records], Records]) -> tf.data.Dataset:
    """Makes batches on all cores, two ahead of whoever takes them."""
    options = tf.data.Options()
    # There is nothing to tune, but every batch has datasets of its own inside (`decode_batch`), and
    # TensorFlow's tuner thinks about all of them: after 3,000 batches it takes 4 s to make it stop.
    options.autotune.enabled = False
    # TensorFlow would make it one after the other anyway, and print a line about that each time.
    parallel = None if determinism.is_enabled() else tf.data.AUTOTUNE
    # Nothing in there is left to AutoGraph, which would take half of the time to build the graph.
    batch = tf.autograph.experimental.do_not_convert(batch)
    batches = records.map(batch, parallel, deterministic=True if parallel else None).prefetch(2)
    return batches.with_options(options)


def _crop(
    split: Split,
    spec: Preprocessing,
    images: tf.Tensor,
    offset: tf.Tensor,
    window: tf.Tensor | None,
) -> Callable[[tf.Tensor], tf.Tensor]:
    """From the place in a batch to the image that is cut out there, uint8 [C, C, 3]."""

    def crop(i: tf.Tensor) -> tf.Tensor:
        """Place in the batch to uint8 [C, C, 3]."""
        encoded = split.load(images[i])
        if window is not None:
            return decode_resized_crop(encoded, window[i], spec)
        return decode_crop(encoded, offset[i], spec, split.side == spec.image_size)

    return crop


def _part(batch_size: int, readers: int) -> int:
    """What one of the readers yields of a batch."""
    if batch_size % readers:
        raise ValueError(f"Expected a multiple of {readers} readers. Received: {batch_size=}")
    return batch_size // readers


def _decode(
    decode: Callable[[tf.Tensor], tf.Tensor],
    images: tf.Tensor,
    index: tf.Tensor,
    side: int,
    unreadable: DecodeErrors,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a batch of whatever images.

    Args:
        decode: place in the batch to uint8 [side, side, 3]; may raise.
        images: `Split.parse`'s, string [B].
        index: int64 [B], `PADDING` where there is no image.
        side: pixels.
        unreadable: is told of those that raise.

    Returns:
        uint8 [B, side, side, 3], and weight float32 [B], 0 where there is no image.
    """
    pixels, readable = decode_batch(decode, tf.size(index), side)

    def tell(indices: np.ndarray, images: np.ndarray) -> np.int64:
        """Passes on what is missing, out of the graph."""
        unreadable.tell(indices, images)
        return np.int64(len(unreadable))

    def tell_of_missing() -> tf.Tensor:
        """Runs `tell`; how many are unreadable, int64 scalar."""
        missing = ~readable & (index != PADDING)
        return tf.numpy_function(tell, [index[missing], images[missing]], tf.int64)

    told = tf.cond(tf.reduce_all(readable), lambda: tf.constant(0, tf.int64), tell_of_missing)
    with tf.control_dependencies([told]):
        return pixels, tf.cast(readable, tf.float32)


def _with_length(batch: Records, length: int) -> Records:
    """The batch with its length known before it runs."""
    return {name: tf.ensure_shape(v, [length, *v.shape[1:]]) for name, v in batch.items()}
