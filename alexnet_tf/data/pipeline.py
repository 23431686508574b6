"""The tf.data graphs: which images are decoded on the host, how, and in which order.

A training batch is cut out while it is decoded and travels to the device as uint8 with the random
numbers of its images; everything else happens there (`preprocess.py`). Order and augmentation of
an epoch are a pure function of (seed, epoch), so a stream can start at any step.

Records are batched while they are still encoded, and each batch is decoded by one thread: less
work for the scheduler than a task an image, and the position in the data never depends on whether
an image can be decoded. An image that cannot is black, has weight 0, and is recorded. One that has
no label has weight 0 and is recorded, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import tensorflow as tf

from alexnet_tf.data import augmentations as augment
from alexnet_tf.data.dataset import PADDING, Records, Split
from alexnet_tf.data.decode import convert, decode_batch, decode_crop, decode_square, decode_window
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.shuffle import shuffled_records
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system import determinism
from alexnet_tf.system.progress import Progress

__all__ = [
    "PADDING",
    "Cache",
    "decoded_batches",
    "distribute",
    "evaluation_dataset",
    "training_batch_spec",
    "training_dataset",
]

_BATCH = 64  # images that `decoded_batches` decodes together


class Cache(Protocol):
    """Decoded images that crops can be cut from, such as `cache.DecodedCache`."""

    def crops(self, index: tf.Tensor, offset: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Index int64 [B] and offset int32 [B, 2] to uint8 [B, C, C, 3] and weight float32 [B]."""


def training_dataset(
    split: Split,
    preprocessing: Preprocessing,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    augmentations: tuple[str, ...] | None = None,
    decode_errors: DecodeErrors | None = None,
    shard_index: int = 0,
    num_shards: int = 1,
    cache: Cache | None = None,
    pca_noise_until: float = math.inf,
    cut: int = 0,
    end: int | None = None,
) -> tf.data.Dataset:
    """Batches without end; one may hold the end of an epoch and the beginning of the next.

    Args:
        split: the training set.
        preprocessing: the variant's.
        batch_size: B, over all shards.
        seed: of order and augmentation.
        start_step: the step whose batch comes first; what precedes it is not decoded.
        augmentations: names of those that are used; None: the variant's own.
        decode_errors: records images that do not decode.
        shard_index: which part of every batch to yield.
        num_shards: parts that every batch is divided into, for as many workers.
        cache: the split's decoded images, if they are cached.
        pca_noise_until: epochs after which there is no PCA noise.
        cut: images of the batches before `start_step` that had weight 0 by `end`; they come again.
        end: images of the whole run, over all epochs; all later ones have weight 0. None: no end.

    Returns:
        Batches as `training_batch_spec` describes them, with B / num_shards images.

    Raises:
        ValueError: a batch that the shards do not divide, or augmentations that exclude each other.
    """
    part = _part(batch_size, num_shards)
    used = preprocessing.augmentations if augmentations is None else augmentations
    window = augment.check(used, cached=cache is not None)
    decode_errors = DecodeErrors(split) if decode_errors is None else decode_errors

    def make_batch(records: Records) -> Records:
        """B / num_shards records to a training batch."""
        images, labels = split.parse(records)
        epoch, index, position = (records[name] for name in ("epoch", "index", "position"))
        source = augment.Images(seed, epoch, index, position, preprocessing, pca_noise_until)
        drawn = augment.draw(source, used)
        if cache is None:
            crop = _cropper(split, preprocessing, drawn, window)
            size = preprocessing.crop_size
            pixels, readable = _decode(split, crop, images, size)
            pixels, weight = _weigh(pixels, readable, index, images, labels, decode_errors)
        else:
            pixels, weight = cache.crops(index, drawn["offset"], preprocessing.crop_size)
        # An example without a label has weight 0, but the loss is computed from its label.
        labels = tf.maximum(labels, 0)
        if end is not None:
            weight *= tf.cast(epoch * split.examples + position < end, tf.float32)
        batch = {"image": pixels, "weight": weight, "label": labels, "index": index}
        return _with_length({**batch, "epoch": epoch, **drawn}, part)

    records = shuffled_records(split, seed, start_step * batch_size - cut)
    records = records.batch(batch_size, drop_remainder=True)
    if num_shards > 1:
        start = shard_index * part
        records = records.map(lambda batch: {n: v[start : start + part] for n, v in batch.items()})
    return _run(records, make_batch)


def training_batch_spec(
    batch_size: int, preprocessing: Preprocessing, augmentations: tuple[str, ...] | None = None
) -> dict[str, tf.TensorSpec]:
    """The signature of a training batch.

    Args:
        batch_size: B.
        preprocessing: the variant's.
        augmentations: names of those that are used; None: the variant's own.

    Returns:
        image uint8 [B, C, C, 3], cropped; index, epoch and label int64 [B]; weight float32 [B], 0
        where there is no image; and the drawn tensors: offset int32 [B, 2], flip bool [B],
        pca_applied bool [B], pca_noise float32 [B, 3], and those of other augmentations.
    """
    used = preprocessing.augmentations if augmentations is None else augmentations
    numbers = tf.TensorSpec([batch_size], tf.int64)

    @tf.function(autograph=False)
    def draw(epoch: tf.Tensor, index: tf.Tensor, position: tf.Tensor) -> Records:
        """The random numbers of a batch, for their names and types."""
        return augment.draw(augment.Images(0, epoch, index, position, preprocessing), used)

    drawn = draw.get_concrete_function(numbers, numbers, numbers).structured_outputs
    window = augment.find_window(used)
    cut = window.tensors if window else ()
    crop = [batch_size, preprocessing.crop_size, preprocessing.crop_size, 3]
    return {
        "image": tf.TensorSpec(crop, tf.uint8),
        "weight": tf.TensorSpec([batch_size], tf.float32),
        **dict.fromkeys(("label", "index", "epoch"), numbers),
        **{
            name: tf.TensorSpec([batch_size, *tensor.shape[1:]], tensor.dtype)
            for name, tensor in drawn.items()
            if name not in cut
        },
    }


def evaluation_dataset(
    split: Split,
    preprocessing: Preprocessing,
    batch_size: int,
    decode_errors: DecodeErrors | None = None,
    stride: int = 1,
    shard_index: int = 0,
    num_shards: int = 1,
) -> tf.data.Dataset:
    """Every example once, in order; padding with weight 0 fills up the last batch.

    Args:
        split: the examples.
        preprocessing: the variant's.
        batch_size: B, over all shards.
        decode_errors: records images that do not decode; they have weight 0.
        stride: take only each `stride`-th example.
        shard_index: which part of every batch to yield.
        num_shards: parts that every batch is divided into, for as many workers.

    Returns:
        Batches of image uint8 [b, S, S, 3], index and label int64 [b], weight float32 [b], with
        b = B / num_shards; index is -1 where there is no image, and label where there is no label.

    Raises:
        ValueError: a batch that cannot be divided into the shards.
    """
    part = _part(batch_size, num_shards)
    decode_errors = DecodeErrors(split) if decode_errors is None else decode_errors

    def make_batch(records: Records) -> Records:
        """At most B records to an evaluation batch."""
        images, labels = split.parse(records)
        mine = slice(shard_index * part, (shard_index + 1) * part)
        images, labels, index = images[mine], labels[mine], records["index"][mine]
        pixels, readable = decode_squares(split, images, preprocessing)
        pixels, weight = _weigh(pixels, readable, index, images, labels, decode_errors)
        # Padding comes last: decoding it would fail, and cost the batch a second pass.
        missing = [[0, part - tf.size(labels)]]
        batch = {
            "image": tf.pad(pixels, missing + 3 * [[0, 0]]),
            "weight": tf.pad(weight, missing),
            "label": tf.pad(labels, missing),
            "index": tf.pad(index, missing, constant_values=PADDING),
        }
        return _with_length(batch, part)

    return _run(split.in_order().shard(stride, 0).batch(batch_size), make_batch)


def decoded_batches(
    split: Split,
    preprocessing: Preprocessing,
    decode_errors: DecodeErrors,
    title: str,
    stride: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Goes once over a split, without padding, and shows its progress.

    Args:
        split: the examples.
        preprocessing: the variant's.
        decode_errors: records images that do not decode, and says when there are too many.
        title: of the progress bar.
        stride: take only each `stride`-th example.

    Yields:
        Batches of image uint8 [b, S, S, 3], index and label int64 [b], weight float32 [b].

    Raises:
        UserError: too many images do not decode.
    """
    batches = evaluation_dataset(split, preprocessing, _BATCH, decode_errors, stride=stride)
    with Progress(title, -(-split.examples // stride), "images") as progress:
        for batch in batches.as_numpy_iterator():
            there = batch["index"] != PADDING
            yield {name: values[there] for name, values in batch.items()}
            progress.advance(int(there.sum()))
            decode_errors.check()


def distribute(
    strategy: tf.distribute.Strategy,
    make_dataset: Callable[[int, int], tf.data.Dataset],
    batch_size: int,
) -> tf.distribute.DistributedDataset:
    """Divides batches among workers, and each worker's part among its replicas.

    Args:
        strategy: decides how many of each there are.
        make_dataset: from shard_index and num_shards to the batches of one worker, which have
            batch_size / num_shards images.
        batch_size: over all replicas.
    """

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        """One worker's batches, cut into those of its replicas."""
        dataset = make_dataset(context.input_pipeline_id, context.num_input_pipelines)
        if context.num_replicas_in_sync == context.num_input_pipelines:
            return dataset
        part = context.get_per_replica_batch_size(batch_size)
        return dataset.rebatch(part, drop_remainder=True)

    return strategy.distribute_datasets_from_function(of_worker)


def _run(records: tf.data.Dataset, make_batch: Callable[[Records], Records]) -> tf.data.Dataset:
    """Makes batches on all cores, two ahead of the consumer."""
    options = tf.data.Options()
    # There is nothing to tune, but every batch has datasets of its own inside (`decode_batch`), and
    # TensorFlow's tuner thinks about all of them: after 3,000 batches it takes 4 s to make it stop.
    options.autotune.enabled = False
    # TensorFlow would make it one after the other anyway, and print a line about that each time.
    parallel = None if determinism.is_enabled() else tf.data.AUTOTUNE
    # Nothing in there is left to AutoGraph, which would take half of the time to build the graph.
    make_batch = tf.autograph.experimental.do_not_convert(make_batch)
    batches = records.map(make_batch, parallel, deterministic=True if parallel else None)
    return batches.prefetch(2).with_options(options)


def _cropper(
    split: Split,
    preprocessing: Preprocessing,
    drawn: Records,
    window: augment.Augmentation | None,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """From place in a batch and encoded image to the crop, uint8 [C, C, 3], cut out in decoding.

    Args:
        split: the training set.
        preprocessing: the variant's.
        drawn: the batch's random numbers, [B, ...]; loses those of `window`.
        window: the augmentation that says which part to decode; None: the crop at drawn["offset"].
    """
    cut = {name: drawn.pop(name) for name in window.tensors} if window else {}

    def crop(i: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
        """Image i of the batch, encoded, to its crop [C, C, 3]."""
        if window is None:
            is_square = split.square_size == preprocessing.image_size
            return decode_crop(encoded, drawn["offset"][i], preprocessing, is_square)
        own = {name: values[i] for name, values in cut.items()}
        return decode_window(encoded, lambda shape: window.window(own, shape), preprocessing)

    return crop


def decode_squares(
    split: Split, images: tf.Tensor, preprocessing: Preprocessing
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a batch, in which any image may be damaged, or of a kind that only Pillow reads.

    Args:
        split: loads the images.
        images: `Split.parse`'s, string [B].
        preprocessing: says S.

    Returns:
        uint8 [B, S, S, 3], black where an image is unreadable, and bool [B], false there.
    """
    size = preprocessing.image_size
    return _decode(split, lambda i, encoded: decode_square(encoded, preprocessing), images, size)


def _decode(
    split: Split,
    decode: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    images: tf.Tensor,
    size: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """As `decode_squares`; `decode`: place in the batch and encoded image to [size, size, 3]."""
    return decode_batch(
        lambda i: decode(i, split.load(images[i])),
        tf.size(images),
        size,
        second_try=lambda i: decode(i, convert(split.load(images[i]))),
    )


def _weigh(
    pixels: tf.Tensor,
    readable: tf.Tensor,
    index: tf.Tensor,
    images: tf.Tensor,
    labels: tf.Tensor,
    decode_errors: DecodeErrors,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The pixels, and their weight, float32 [B]: 0 if unreadable or unlabelled, as is recorded."""
    readable &= labels >= 0
    with tf.control_dependencies([decode_errors.record_in_graph(readable, index, images, labels)]):
        return pixels, tf.cast(readable, tf.float32)


def _part(batch_size: int, num_shards: int) -> int:
    """The images of a batch that one shard yields."""
    if batch_size % num_shards:
        raise ValueError(f"Expected a multiple of {num_shards=}. Received: {batch_size=}")
    return batch_size // num_shards


def _with_length(batch: Records, length: int) -> Records:
    """The batch with its length known before it runs."""
    return {name: tf.ensure_shape(v, [length, *v.shape[1:]]) for name, v in batch.items()}
