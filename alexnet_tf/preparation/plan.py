"""Assigns each example to a shard and a position in it: a pure function of seed and examples.

An example's position is the rank of a hash of (seed, split, name). Although archives are sorted by
class, every part of a shard is then a fair mixture of all classes, and readers need only a small
shuffle buffer.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from alexnet_tf.preparation.sources import ExampleReader, Source


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that determines a dataset, besides its source and the libraries.

    Attributes:
        size: S, pixels.
        quality: JPEG quality, 1 to 95.
        shard_examples: approximate number of examples in a shard.
        seed: of the order of the examples.
    """

    size: int
    quality: int
    shard_examples: int
    seed: int


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file that will be written.

    Attributes:
        file: its name, in TFDS's form.
        split: its split's name.
        indices: int64 [N], the indices of its examples in the order of its records.
        measured: bool [N], whether an example counts for the statistics.
    """

    file: str
    split: str
    indices: np.ndarray
    measured: np.ndarray


def plan(source: Source, settings: Settings, measured: int) -> list[Shard]:
    """Plans the shards of all splits. The shards of a split differ in length by one at most.

    Args:
        source: the examples.
        settings: seed and length of the shards are used.
        measured: the most training examples that count for the statistics; they are evenly spaced.
    """
    shards = []
    for split, reader in source.splits.items():
        order = _order(reader, f"{settings.seed} {split} ", settings.shard_examples)
        stride = -(-reader.count // measured)
        every_stride = np.arange(reader.count) % stride == 0
        counted = every_stride if split == "train" else np.zeros(reader.count, bool)
        bounds = _bounds(reader.count, settings.shard_examples)
        for number, (first, end) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            file = f"{source.dataset}-{split}.tfrecord-{number:05d}-of-{len(bounds) - 1:05d}"
            shards.append(Shard(file, split, order[first:end], counted[first:end]))
    return shards


def _order(reader: ExampleReader, salt: str, shard_examples: int) -> np.ndarray:
    """Indices of the examples in the order of the records of all shards, int64 [N]."""
    hashes = np.empty(reader.count, np.uint64)
    for index in range(reader.count):
        name = f"{salt}{reader.key(index)}".encode(errors="surrogateescape")
        hashes[index] = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")
    if not reader.in_order_only:
        return np.argsort(hashes, kind="stable")
    bounds = _bounds(reader.count, shard_examples)
    parts = [
        first + np.argsort(hashes[first:end], kind="stable")
        for first, end in zip(bounds[:-1], bounds[1:], strict=True)
    ]
    return np.concatenate(parts)


def _bounds(count: int, shard_examples: int) -> list[int]:
    shards = max(1, -(-count // shard_examples))
    return [count * shard // shards for shard in range(shards + 1)]
