"""Splits made for tests."""

import numpy as np
import tensorflow as tf

from alexnet_tf.data.dataset import Split


def shade_png(shade, side=8):
    return tf.io.encode_png(np.full((side, side, 3), shade, np.uint8)).numpy()


def sharded_split(lengths, broken=()):
    """PNGs of 8×8 pixels in shards: image i is all i (of 256), of label i; `broken` are none."""
    starts = np.cumsum([0, *lengths])
    encoded = tf.constant(
        [b"broken" if i in broken else shade_png(i % 256) for i in range(sum(lengths))] + [b""]
    )
    starts_, lengths_ = tf.constant(starts, tf.int64), tf.constant([*lengths, 0], tf.int64)

    def read(shard):
        index = tf.data.Dataset.range(starts_[shard], starts_[shard] + lengths_[shard])
        return index.map(lambda i: {"index": i, "encoded": encoded[i]})

    def parse(records):
        return records["encoded"], records["index"]

    return Split("train", tuple(lengths), read, parse, files=False, record_bytes=100)
