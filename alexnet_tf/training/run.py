"""From a run's options to its result: checks everything first, then trains."""

from __future__ import annotations

import dataclasses
import os
import re

from alexnet_tf.data.sources import open_source
from alexnet_tf.data.split import Source
from alexnet_tf.data.statistics import Statistics, compute_statistics
from alexnet_tf.data.unreadable import Unreadable
from alexnet_tf.errors import UserError
from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import get_variant
from alexnet_tf.training.directory import Card, ModelDirectory
from alexnet_tf.training.interrupt import Interrupt
from alexnet_tf.training.loop import Result, Run
from alexnet_tf.training.options import Options
from alexnet_tf.training.schedules import parse_freezes
from alexnet_tf.training.strategies import check_batch_size, make_strategy


def train(options: Options) -> Result:
    """Trains, or goes on with, the run that the options describe.

    Raises:
        UserError: something in the options, the data or the model directory is wrong; nothing
            has been trained then.
    """
    strategy = make_strategy(options.strategy, options.logical_cpus)
    check_batch_size(options.batch_size, strategy, options.accumulate)
    variant = get_variant(options.variant)
    if options.activation:
        variant = dataclasses.replace(variant, activation=options.activation)
    parse_freezes(options.freeze, variant)  # only to see that it can be done
    dataset = options.dataset
    if os.path.isdir(os.path.expanduser(dataset)):
        dataset = os.path.abspath(os.path.expanduser(dataset))
    short = os.path.basename(dataset) if os.path.isabs(dataset) else re.sub("[/:]", "-", dataset)
    default = f"runs/{short}-{variant.name}"
    directory = ModelDirectory(options.model_dir or default)
    directory.check_possible()
    _check_augmentations(options, variant)
    source = open_source(options.dataset, options.data_dir, options.max_unreadable)
    _check_examples(source.train.examples, options.batch_size)
    card = Card(
        variant=variant.name,
        activation=variant.activation,
        classes=source.classes,
        dataset=dataset,  # absolute if it is a path, so that evaluation can go on from anywhere
        data_dir=options.data_dir and os.path.abspath(os.path.expanduser(options.data_dir)),
        options=dataclasses.asdict(options),
    )
    statistics = _open_directory(directory, card, source, variant)
    run = Run(options, variant, source, statistics, directory, strategy)
    with Interrupt() as interrupt:
        return run(interrupt)


def _open_directory(
    directory: ModelDirectory, card: Card, source: Source, variant: Variant
) -> Statistics:
    """Begins a run in the directory or goes on with the one there; returns its statistics."""
    if directory.check_card(card) and directory.statistics_path.exists():
        statistics = Statistics.load(str(directory.statistics_path))
    else:
        statistics = _statistics(source, variant, card.options["max_unreadable"])
        directory.make()
        statistics.save(str(directory.statistics_path))
    directory.write_card(card)
    return statistics


def _statistics(source: Source, variant: Variant, max_unreadable: float) -> Statistics:
    """The dataset's own, where it brings them for the variant's squares; or computed now."""
    if source.statistics is not None:
        statistics = Statistics.load(source.statistics)
        if len(statistics.mean) == variant.preprocessing.image_size:
            return statistics
    unreadable = Unreadable(source.train, max_unreadable)
    return compute_statistics(source.train, variant.preprocessing, unreadable)


def _check_augmentations(options: Options, variant: Variant) -> None:
    """Refuses augmentations that exclude each other, or a cache of what is not there."""
    names = options.augment if options.augment is not None else variant.preprocessing.augmentations
    if {"crop", "resized_crop"} <= set(names):
        raise UserError(f"Expected --augment with crop or resized_crop. Received: {names}")
    if "resized_crop" in names and options.cache != "none":
        raise UserError(
            "Expected --cache=none with resized_crop, which needs the original image. Received: "
            f"{options.cache}"
        )


def _check_examples(examples: int, batch_size: int) -> None:
    """Refuses batches that no epoch fills."""
    if examples < batch_size:
        raise UserError(
            f"Expected --batch_size to be at most the {examples} training images. "
            f"Received: {batch_size}"
        )
