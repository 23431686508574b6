"""A dataset over all replicas of a strategy, wherever they are."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def distribute(
    strategy: tf.distribute.Strategy,
    make_dataset: Callable[[int, int], tf.data.Dataset],
    batch_size: int,
) -> tf.distribute.DistributedDataset:
    """Divides batches among workers, and what a worker gets among its replicas.

    Args:
        strategy: whose.
        make_dataset: number of a reader and of all readers to the batches of that one, which are
            batch_size / readers long; each worker is a reader.
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
