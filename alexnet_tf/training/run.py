"""From the options of a run to its result."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from alexnet_tf.data import augmentations, splits
from alexnet_tf.data.dataset import ImageDataset, check_beginning
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.identity import training_digest
from alexnet_tf.data.sources import dataset_directory, open_dataset
from alexnet_tf.data.statistics import Statistics, compute_statistics
from alexnet_tf.models.build import build_model
from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system import determinism
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.cluster import join_cluster
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.distributed import (
    RESTART_HINT,
    WorkerSync,
    check_batch_size,
    check_xla,
    make_strategy,
    translate_errors,
    worker_scope,
)
from alexnet_tf.training.initial_weights import initialize
from alexnet_tf.training.metadata import RunMetadata
from alexnet_tf.training.network import TrainableNetwork, network_scope
from alexnet_tf.training.optimizer import make_optimizer
from alexnet_tf.training.options import Options
from alexnet_tf.training.schedule import Schedule
from alexnet_tf.training.trainer import Result, Trainer


def train(
    options: Options,
    on_result: Callable[[Result], None] = lambda result: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    *,
    loss: keras.losses.Loss | None = None,
    schedule: Schedule | None = None,
) -> Result:
    """Trains as the options say, or resumes the run in their directory.

    Args:
        options: of the run.
        on_result: called with the result by worker 0, before the workers part.
        callbacks: Keras's (callbacks.py says how they are called).
        loss: to minimise in place of the cross-entropy (loss.py says what it gets). Validations
            still report the cross-entropy.
        schedule: from step, counted from 0, to learning rate, in place of `options.learning_rate`
            and its decay; such as a `keras.optimizers.schedules.LearningRateSchedule`.

    Raises:
        UserError: something in the options, the data or the model directory is wrong, which is
            found before anything is written; or the run had to end, because of its loss, its
            images, memory or disk, and can be resumed from its newest checkpoint.
    """
    facts = dataclasses.asdict(options) | describe_arguments(loss, schedule)
    cluster = join_cluster(options.workers, options.worker_index, facts, options.worker_timeout)
    if options.deterministic:
        determinism.enable()
    with translate_errors(cluster, RESTART_HINT):
        strategy = make_strategy(
            options.strategy,
            options.logical_cpus,
            cluster,
            options.tpu,
            bool(options.tower_devices),
        )
        sync = WorkerSync(strategy, cluster)
        with worker_scope(sync, RESTART_HINT):
            result = train_on(sync, options, callbacks, loss=loss, schedule=schedule)
            if sync.is_chief:
                on_result(result)
    return result


def train_on(
    sync: WorkerSync,
    options: Options,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    *,
    loss: keras.losses.Loss | None = None,
    schedule: Schedule | None = None,
    **seams,
) -> Result:
    """Trains on a given strategy and given workers.

    Args:
        sync: of the workers, over the strategy.
        options: of the run; those about devices are not read.
        callbacks: as in `train`.
        loss: as in `train`.
        schedule: as in `train`.
        **seams: replacements for parts of `Trainer`, its keyword arguments.

    Raises:
        UserError: as in `train`.
    """
    strategy = sync.strategy
    check_batch_size(options.batch_size, strategy, options.accumulate)
    if options.xla:
        check_xla(strategy, options.tpu)
    if options.tower_devices and callbacks:
        raise UserError(
            "Expected --tower_devices without Keras callbacks, which would see the model as it "
            "was before training. Received: both"
        )
    variant = get_variant(options.variant, options.activation)
    names = options.augment if options.augment is not None else variant.preprocessing.augmentations
    augmentations.check(names, cached=options.cache != "none")
    directory = ModelDirectory(options.model_dir or _default_directory(options))
    directory.check_writable()
    validation = options.validation_split or directory.validation_split()
    dataset = open_dataset(options.dataset, options.data_dir, options.max_unreadable, validation)
    for split in (dataset.train, dataset.validation):
        check_beginning(split)
    if validation == splits.EARLIER and sync.is_chief:
        print(
            f"This run was begun by an earlier version: split {dataset.validation.name} goes on "
            "validating"
        )
    network = build_network(options, variant, len(dataset.classes), strategy)
    initial_weights = None
    # Worker 0 decides: others may see an older state of a shared disk.
    if options.init_from and not sync.any(sync.is_chief and directory.checkpoints.exists):
        model = network.checkpointed.model
        initial_weights = initialize(model, variant, options, dataset.classes, sync)
    seams = {"loss": loss, "schedule": schedule, **seams}
    trainer = Trainer(options, dataset, network, directory, sync, callbacks, **seams)
    given = {"arguments": describe_arguments(loss, schedule), "initial_weights": initial_weights}
    with directory.lock() if sync.is_chief else contextlib.nullcontext():
        return trainer.run(_open_directory(directory, options, given, dataset, variant, sync))


def build_network(
    options: Options, variant: Variant, classes: int, strategy: tf.distribute.Strategy
) -> TrainableNetwork:
    """The network and its optimizer as the options describe them.

    Args:
        options: of the run.
        variant: of the network.
        classes: how many.
        strategy: where its weights are.

    Raises:
        UserError: a variant that cannot be split over `--tower_devices`, or no such devices.
    """
    with network_scope(options, strategy):
        model = build_model(variant, classes)
        for name in options.frozen_layers:
            model.get_layer(name).trainable = False
        network = TrainableNetwork(model, make_optimizer(options, model))
        if options.tower_devices:
            from alexnet_tf.towers.training import TowersNetwork  # the only use of towers

            network = TowersNetwork(network, options, variant, classes)
    return network


def describe_arguments(loss: keras.losses.Loss | None, schedule: Schedule | None) -> dict[str, str]:
    """The class and the configuration of a loss and a schedule, where they are given."""
    given = {"loss argument": loss, "schedule argument": schedule}
    return {name: _describe(value) for name, value in given.items() if value is not None}


def _describe(value: object) -> str:
    """For example "PolynomialDecay(initial_learning_rate=0.01, decay_steps=100)"."""
    if not hasattr(value, "get_config"):
        return getattr(value, "__qualname__", type(value).__qualname__)
    config = ", ".join(f"{name}={setting}" for name, setting in value.get_config().items())
    return f"{type(value).__qualname__}({config})"


def _default_directory(options: Options) -> str:
    """runs/<dataset>-<variant>."""
    dataset = dataset_directory(options.dataset)
    name = os.path.basename(dataset) if dataset else re.sub("[/:]", "-", options.dataset)
    return f"runs/{name}-{options.variant}"


def _open_directory(
    directory: ModelDirectory,
    options: Options,
    given: dict,
    dataset: ImageDataset,
    variant: Variant,
    sync: WorkerSync,
) -> Statistics:
    """Begins or resumes the run in its directory; returns the statistics of the training set.

    `given` are fields of `RunMetadata` that do not follow from the others.
    """
    metadata = RunMetadata(
        variant=variant.name,
        activation=variant.activation,
        classes=dataset.classes,
        # An absolute path, so that evaluation can be started from anywhere.
        dataset=dataset_directory(options.dataset) or options.dataset,
        data_dir=options.data_dir and os.path.abspath(os.path.expanduser(options.data_dir)),
        examples=dataset.train.examples,
        data_digest=training_digest(dataset),
        validation_split=dataset.validation.name,
        options=dataclasses.asdict(options),
        **given,
    )

    def statistics() -> Statistics:
        """Those of the dataset, if it has them for the variant's image size; or computed now."""
        if dataset.statistics is not None:
            found = Statistics.load(dataset.statistics)
            if len(found.mean) == variant.preprocessing.image_size:
                return found
        errors = DecodeErrors(dataset.train, options.max_unreadable)
        return compute_statistics(dataset.train, variant.preprocessing, errors)

    if sync.is_chief:
        directory.begin(metadata, statistics)
    sync.wait()  # for worker 0 to have written what the others read
    if not directory.matches(metadata):
        raise UserError(
            f"{directory.path} is empty on worker {sync.cluster.index}. All workers have to share "
            "--model_dir."
        )
    return Statistics.load(str(directory.statistics_path))
