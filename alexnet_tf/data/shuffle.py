"""The order of an epoch: a pure function of (seed, epoch), read shard by shard.

The shards are shuffled, then the records within a window of them that fits into memory. Which
records precede a position in an epoch is then known without reading them: a stream can start
anywhere at the cost of reading one window. Records are still encoded here.
"""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.data.dataset import Records, Split
from alexnet_tf.data.random_bits import make_key, permutation

WINDOW_BYTES = (
    128 * 2**20
)  # of records that are shuffled together; about three such windows are in memory
_ORDER = 1  # sets these random numbers apart from those of the augmentations


def window_length(split: Split) -> int:
    """Records that are shuffled together."""
    return min(split.examples, max(1, WINDOW_BYTES // split.record_bytes))


def shuffled_records(split: Split, seed: int, start: int = 0) -> tf.data.Dataset:
    """Records without end, each example once an epoch.

    Args:
        split: the examples.
        seed: of the order.
        start: records to leave out at the beginning, over all epochs.

    Returns:
        The split's records, each with epoch and position (in the order of that epoch), int64.
    """
    start_epoch, start_position = divmod(start, split.examples)
    window = window_length(split)
    lengths = tf.constant(split.lengths, tf.int64)

    def epoch_records(epoch: tf.Tensor) -> tf.data.Dataset:
        """The records of an epoch, from the start of the stream."""

        def shuffle(number: tf.Tensor, records: Records) -> Records:
            """A window of records, in its own order."""
            count = tf.size(records["index"], tf.int64)
            order = permutation(make_key(seed, _ORDER, epoch, 1 + number), count)
            shuffled = {name: tf.gather(values, order) for name, values in records.items()}
            positions = number * window + tf.range(count)
            return {**shuffled, "epoch": tf.fill([count], epoch), "position": positions}

        skipped = tf.where(epoch == start_epoch, tf.constant(start_position, tf.int64), 0)
        first_window = skipped // window
        shards = permutation(make_key(seed, _ORDER, epoch, 0), len(split.lengths))
        ends = tf.cumsum(tf.gather(lengths, shards))
        read_before = tf.reduce_sum(tf.cast(ends <= first_window * window, tf.int64))  # shards
        first_read = tf.concat([[0], ends], axis=0)[
            read_before
        ]  # position of the first shard to read
        windows = (
            tf.data.Dataset.from_tensor_slices(shards[read_before:])
            .flat_map(split.read)
            .skip(first_window * window - first_read)
            .batch(window)
            .enumerate(first_window)
            .map(shuffle)
            .prefetch(1)  # read while the previous window is used
        )
        return windows.unbatch().skip(skipped - first_window * window)

    return tf.data.Dataset.counter(start_epoch).flat_map(epoch_records)
