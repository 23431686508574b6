"""From a run's options to its result: checks everything first, then trains."""

from __future__ import annotations

import dataclasses
import os

from alexnet_tf.data.sources import Source, open_source
from alexnet_tf.data.statistics import Statistics, compute_statistics
from alexnet_tf.errors import UserError
from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import get_variant
from alexnet_tf.training.checkpoints import Card, ModelDirectory
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
    check_batch_size(options.batch_size, strategy)
    variant = get_variant(options.variant)
    if options.activation:
        variant = dataclasses.replace(variant, activation=options.activation)
    parse_freezes(options.freeze, variant)  # only to see that it can be done
    default = f"runs/{options.dataset.replace('/', '-').replace(':', '-')}-{variant.name}"
    directory = ModelDirectory(options.model_dir or default)
    directory.check_possible()
    source = open_source(options.dataset, options.data_dir)
    _check_examples(source.train.examples, options.batch_size)
    card = Card(
        variant=variant.name,
        activation=variant.activation,
        classes=source.classes,
        dataset=options.dataset,
        # absolute, so that the model can be evaluated from anywhere
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
        statistics, unreadable = compute_statistics(source.train, variant.preprocessing)
        if unreadable:
            print(f"{unreadable:,} training images cannot be decoded and are left out")
        _check_examples(source.train.examples - unreadable, card.options["batch_size"])
        directory.make()
        statistics.save(str(directory.statistics_path))
    directory.write_card(card)
    return statistics


def _check_examples(examples: int, batch_size: int) -> None:
    """Refuses batches that no epoch fills."""
    if examples < batch_size:
        raise UserError(
            f"Expected --batch_size to be at most the {examples} training images. "
            f"Received: {batch_size}"
        )
