"""The training batches of a run, on any strategy."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from alexnet_tf.data.cache import open_decoded_cache
from alexnet_tf.data.dataset import Split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.pipeline import distribute, training_dataset
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.training.options import Options


def training_batches(
    strategy: tf.distribute.Strategy,
    split: Split,
    spec: Preprocessing,
    options: Options,
    first_step: int,
    unreadable: DecodeErrors,
    directory: pathlib.Path,
    show: Callable[[tf.data.Dataset], None] = lambda batches: None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator:
    """Batches from a step on, divided among the strategy's replicas.

    Args:
        strategy: whose replicas.
        split: the training set.
        spec: the variant's.
        options: the run's.
        first_step: the step whose batch comes first.
        unreadable: is told of images that do not decode.
        directory: the run's, for a cache on disk.
        show: is given this worker's batches as well, before they are divided among its replicas.
        stop: asked while a cache is made whether to give up.

    Raises:
        StoppedError: that.
    """
    squares = None
    if options.cache != "none":
        file = directory / "cache" / "train.npy" if options.cache == "disk" else None
        squares = open_decoded_cache(split, spec, unreadable, file, stop)

    def make_dataset(reader: int, readers: int) -> tf.data.Dataset:
        """One reader's part of every batch."""
        batches = training_dataset(
            split,
            spec,
            options.batch_size,
            options.seed,
            start_step=first_step,
            augmentations=options.augment,
            decode_errors=unreadable,
            shard_index=reader,
            num_shards=readers,
            cache=squares,
            pca_noise_until=options.pca_noise_until,
        )
        show(batches)
        return batches

    return iter(distribute(strategy, make_dataset, options.batch_size))
