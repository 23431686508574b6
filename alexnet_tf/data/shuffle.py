"""The order of an epoch: a pure function of (seed, epoch), read shard by shard.

The shards are shuffled, then the records within a window of them that fits into memory. What
precedes a place in an epoch is then known without reading it: a stream can start anywhere at the
cost of reading one window. Records are still encoded here.
"""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.data.dataset import Records, Split
from alexnet_tf.data.random_bits import make_key, permutation

WINDOW_BYTES = 128 * 2**20  # of records that are shuffled together; some three such are in memory
_ORDER = 1  # sets these random numbers apart from those of `augment.py`


def window_length(split: Split) -> int:
    """Records that are shuffled together."""
    return min(split.examples, max(1, WINDOW_BYTES // split.record_bytes))


def shuffled_records(split: Split, seed: int, first: int = 0) -> tf.data.Dataset:
    """Records without end, each example once an epoch.

    Args:
        split: the examples.
        seed: of the order.
        first: records to leave out at the beginning, over all epochs.

    Returns:
        The split's records, each with epoch and place (in the order of that epoch), int64.
    """
    first_epoch, first_place = divmod(first, split.examples)
    window = window_length(split)
    lengths = tf.constant(split.lengths, tf.int64)

    def epoch_records(epoch: tf.Tensor) -> tf.data.Dataset:
        """The records of an epoch, from the first that is wanted."""

        def shuffle(number: tf.Tensor, records: Records) -> Records:
            """A window of records, in its own order."""
            count = tf.size(records["index"], tf.int64)
            order = permutation(make_key(seed, _ORDER, epoch, 1 + number), count)
            shuffled = {name: tf.gather(values, order) for name, values in records.items()}
            places = number * window + tf.range(count)
            return {**shuffled, "epoch": tf.fill([count], epoch), "place": places}

        place = tf.where(epoch == first_epoch, tf.constant(first_place, tf.int64), 0)
        first_window = place // window
        shards = permutation(make_key(seed, _ORDER, epoch, 0), len(split.lengths))
        ends = tf.cumsum(tf.gather(lengths, shards))
        read_before = tf.reduce_sum(tf.cast(ends <= first_window * window, tf.int64))  # shards
        start = tf.concat([[0], ends], axis=0)[read_before]  # place of the first shard to read
        windows = (
            tf.data.Dataset.from_tensor_slices(shards[read_before:])
            .flat_map(split.read)
            .skip(first_window * window - start)
            .batch(window)
            .enumerate(first_window)
            .map(shuffle)
            .prefetch(1)  # read while the one before is used
        )
        return windows.unbatch().skip(place - first_window * window)

    return tf.data.Dataset.counter(first_epoch).flat_map(epoch_records)
