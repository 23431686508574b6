"""Random numbers as pure functions of their key: SplitMix64 with a key and a counter.

TensorFlow's stateless generators take one seed per call, hence a dozen calls for each image. These
draw for a whole batch in some twenty operations, and NumPy makes the same bits from the same words.

The generator is Steele, Lea and Flood's (Fast splittable pseudorandom number generators, 2014),
the constants are from Vigna's public domain `splitmix64.c`. It runs on the host only.
"""

from __future__ import annotations

import math

import tensorflow as tf

_GOLDEN = 0x9E3779B97F4A7C15


def _words(value: tf.Tensor | int) -> tf.Tensor:
    return tf.cast(value, tf.uint64) if tf.is_tensor(value) else tf.constant(value, tf.uint64)


def _mix(z: tf.Tensor) -> tf.Tensor:
    """Changes every bit of uint64 words with probability 1/2 if one bit of them changes."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, None)):
        z = tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, _words(shift)))
        if factor is not None:
            z *= _words(factor)
    return z


def make_key(*words: tf.Tensor | int) -> tf.Tensor:
    """One key uint64 [...] from words that broadcast, e.g. a run's seed, an epoch and an image."""
    key = _words(0)
    for word in words:
        key = _mix(key + _words(_GOLDEN) + _words(word))
    return key


def bits(key: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """The first `count` outputs uint64 [..., count] of the generators with states `key` [...]."""
    counters = _words(tf.range(1, tf.cast(count, tf.int64) + 1))
    return _mix(key[..., None] + _words(_GOLDEN) * counters)


def uniform(key: tf.Tensor, count: int) -> tf.Tensor:
    """float32 [..., count], multiples of 2⁻²⁴ from 0 to 1, 1 excluded."""
    return tf.cast(tf.bitwise.right_shift(bits(key, count), _words(40)), tf.float32) * 2.0**-24


def normal(key: tf.Tensor, count: int) -> tf.Tensor:
    """float32 [..., count], of mean 0 and variance 1 (Box and Muller, 1958)."""
    # In float64, because the last bit of a logarithm depends on its position in the batch (vector
    # units compute it differently from the rest of a batch); rounding to float32 hides that bit.
    pairs = tf.cast(uniform(key, 2 * count), tf.float64)
    radius = tf.sqrt(-2 * tf.math.log(1 - pairs[..., :count]))  # 1 - u: never the log of 0
    return tf.cast(radius * tf.cos(2 * math.pi * pairs[..., count:]), tf.float32)


def permutation(key: tf.Tensor, length: int | tf.Tensor) -> tf.Tensor:
    """The numbers 0 to length - 1 in random order, int64 [length]; `key` is a scalar."""
    draws = tf.bitwise.right_shift(bits(key, length), _words(1))  # as int64: no negative ones
    return tf.cast(tf.argsort(tf.cast(draws, tf.int64), stable=True), tf.int64)
