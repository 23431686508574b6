"""Everything a run works with, put together once."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from alexnet_tf.data.dataset import ImageDataset
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.models.spec import Variant
from alexnet_tf.training.callbacks import Callbacks
from alexnet_tf.training.checkpoints import RunState
from alexnet_tf.training.cluster import Cluster
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.logs import Logs, NoLogs
from alexnet_tf.training.options import Options
from alexnet_tf.training.parts import make_parts
from alexnet_tf.training.profiler import Profiler
from alexnet_tf.training.saving import Saving
from alexnet_tf.training.strategies import Consensus
from alexnet_tf.training.timetable import Timetable


class Gear:
    """What the loop and the stretches of training in it share.

    Args:
        options: the run's.
        variant: the network.
        source: training and validation sets.
        statistics: of the training set.
        directory: where to write.
        strategy: where to compute.
        cluster: the workers, of which this is one; only worker 0 writes.
        callbacks: Keras's, to be called on the way (callbacks.py).
    """

    def __init__(
        self,
        options: Options,
        variant: Variant,
        source: ImageDataset,
        statistics: Statistics,
        directory: ModelDirectory,
        strategy: tf.distribute.Strategy,
        cluster: Cluster,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ):
        self.options, self.variant, self.source = options, variant, source
        self.directory, self.strategy, self.cluster = directory, strategy, cluster
        self.consensus = Consensus(strategy, cluster)
        self.timetable = Timetable(options, variant, source.train.examples)
        self.parts = make_parts(options, variant, source.classes, statistics, strategy)
        self.state = RunState()
        self.saving = Saving(
            options,
            self.parts,
            self.state,
            directory.checkpoints,
            cluster.is_chief,
            self.consensus,
        )
        self.logs = NoLogs()
        if cluster.is_chief:
            self.logs = Logs(
                directory,
                options.batch_size,
                self.parts.model,
                variant.preprocessing.channels,
                self.parts.layers,
                timed=not options.deterministic,
            )
        self.profiler = Profiler(options.profile, directory.tensorboard, cluster.is_chief)
        self.unreadable = {
            split.name: DecodeErrors(split, options.max_unreadable)
            for split in (source.train, source.validation)
        }
        self.callbacks = Callbacks(
            callbacks,
            self.parts.model,
            self.parts.optimizer,
            options.batch_size,
            self.timetable.total_steps,
            self.timetable.validation_steps,
        )

    def validation_due(self, step: int) -> bool:
        """Whether there is one after `step` steps."""
        return self.timetable.validation_due(step) or self.callbacks.stop
