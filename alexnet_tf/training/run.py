"""From a run's options to its result: checks everything first, then trains."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from alexnet_tf.data import augmentations
from alexnet_tf.data.dataset import ImageDataset
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.sources import dataset_directory, open_dataset
from alexnet_tf.data.statistics import Statistics, compute_statistics
from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system import determinism
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import reason_of
from alexnet_tf.system.signals import Interrupt
from alexnet_tf.towers.network import check_towers
from alexnet_tf.training.cluster import Cluster, join_cluster
from alexnet_tf.training.directory import ModelDirectory, RunMetadata
from alexnet_tf.training.gear import Gear
from alexnet_tf.training.loop import Run
from alexnet_tf.training.options import Options
from alexnet_tf.training.profiler import parse_span
from alexnet_tf.training.result import Result
from alexnet_tf.training.strategies import (
    Consensus,
    check_batch_size,
    check_xla,
    make_strategy,
    one_line_errors,
    together,
)
from alexnet_tf.training.timetable import Timetable, parse_layer_rates


def train(
    options: Options,
    on_result: Callable[[Result], None] = lambda result: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Result:
    """Trains, or goes on with, the run that the options describe.

    Args:
        options: the run's.
        on_result: what to do with the result before the workers of the run, if there are several,
            part; only worker 0 does it.
        callbacks: Keras's, to be called on the way (callbacks.py says what with).

    Raises:
        UserError: something in the options, the data or the model directory is wrong, which is
            seen before anything is trained; or the run could not go on, because of its figures,
            its images, memory or disk, and can from its newest checkpoint.
    """
    cluster = join_cluster(
        options.workers,
        options.worker_index,
        dataclasses.asdict(options),
        options.worker_timeout,
    )
    if options.deterministic:
        determinism.ask_for()
    again = "the run goes on from its newest checkpoint"
    with one_line_errors(cluster, again):
        strategy = make_strategy(
            options.strategy,
            options.logical_cpus,
            cluster,
            options.tpu,
            bool(options.tower_devices),
        )
        with together(strategy, cluster, again):
            result = _train(options, strategy, cluster, callbacks)
            if cluster.is_chief:
                on_result(result)
    return result


def _train(
    options: Options,
    strategy: tf.distribute.Strategy,
    cluster: Cluster,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Result:
    check_batch_size(options.batch_size, strategy, options.accumulate)
    variant = get_variant(options.variant, options.activation)
    parse_layer_rates(options.layer_rates, variant)  # only to see that it can be done
    parse_span(options.profile)  # likewise
    _check_devices(options, variant, strategy, callbacks)
    dataset = dataset_directory(options.dataset) or options.dataset
    short = os.path.basename(dataset) if os.path.isabs(dataset) else re.sub("[/:]", "-", dataset)
    default = f"runs/{short}-{variant.name}"
    directory = ModelDirectory(options.model_dir or default)
    directory.check_possible()
    names = options.augment if options.augment is not None else variant.preprocessing.augmentations
    augmentations.check(names, cached=options.cache != "none")
    source = open_dataset(options.dataset, options.data_dir, options.max_unreadable)
    _check_examples(source.train.examples, options.batch_size)
    Timetable(options, variant, source.train.examples)  # only to see that there is one
    card = RunMetadata(
        variant=variant.name,
        activation=variant.activation,
        classes=source.classes,
        dataset=dataset,  # absolute if it is a path, so that evaluation can go on from anywhere
        data_dir=options.data_dir and os.path.abspath(os.path.expanduser(options.data_dir)),
        examples=source.train.examples,
        options=dataclasses.asdict(options),
    )
    with directory.held() if cluster.is_chief else contextlib.nullcontext():
        return _train_there(directory, card, source, options, variant, strategy, cluster, callbacks)


def _train_there(
    directory: ModelDirectory,
    card: RunMetadata,
    source: ImageDataset,
    options: Options,
    variant: Variant,
    strategy: tf.distribute.Strategy,
    cluster: Cluster,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Result:
    if cluster.is_chief:
        try:
            _open_directory(directory, card, source, variant)
        except OSError as error:
            raise UserError(
                f"Expected to begin a run in {directory.path}. Received: {reason_of(error)}; make "
                "room or mend the disk, and start again"
            ) from None
    Consensus(strategy, cluster).wait()  # for worker 0 to have written what the others read
    if not directory.check_metadata(card):
        raise UserError(
            "Expected --model_dir on a file system that all workers share. Received: "
            f"{directory.path}"
        )
    statistics = Statistics.load(str(directory.statistics_path))
    gear = Gear(options, variant, source, statistics, directory, strategy, cluster, callbacks)
    with Interrupt() as interrupt:
        return Run(gear, interrupt)()


def _open_directory(
    directory: ModelDirectory, card: RunMetadata, source: ImageDataset, variant: Variant
) -> None:
    """Begins a run in the directory, or goes on with the one there."""
    try:
        known = directory.check_metadata(card)
    except UserError:
        if directory.checkpoints.begun or directory.saved_model.exists():
            raise
        known = False  # of a start that came to nothing
    if known:
        for change in directory.changes(card):
            print(f"Other than before: {change}")
    if not known or not directory.statistics_path.exists():
        statistics = _statistics(source, variant, card.options["max_unreadable"])
        statistics.save(str(directory.statistics_path))
    directory.write_metadata(card)


def _statistics(source: ImageDataset, variant: Variant, max_unreadable: float) -> Statistics:
    """The dataset's own, where it brings them for the variant's squares; or computed now."""
    if source.statistics is not None:
        statistics = Statistics.load(source.statistics)
        if len(statistics.mean) == variant.preprocessing.image_size:
            return statistics
    unreadable = DecodeErrors(source.train, max_unreadable)
    return compute_statistics(source.train, variant.preprocessing, unreadable)


def _check_devices(
    options: Options,
    variant: Variant,
    strategy: tf.distribute.Strategy,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Refuses what cannot be done on the devices of the run."""
    if options.xla:
        check_xla(strategy, options.tpu)
    if options.cache != "none" and options.tpu not in (None, "", "local"):
        raise UserError(
            "Expected --cache=none with a TPU of another machine, which cannot see the cache. "
            f"Received: {options.cache}"
        )
    if not options.tower_devices:
        return
    check_towers(variant, options.tower_devices)
    if options.xla:
        raise UserError(
            "Expected --tower_devices without --xla, which compiles for one device. Received: both"
        )
    if callbacks:
        raise UserError(
            "Expected --tower_devices without Keras callbacks, who would see the model as it was "
            "when the towers were made of it. Received: both"
        )


def _check_examples(examples: int, batch_size: int) -> None:
    """Refuses batches that no epoch fills."""
    if examples < batch_size:
        raise UserError(
            f"Expected --batch_size to be at most the {examples} training images. "
            f"Received: {batch_size}"
        )
