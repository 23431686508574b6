"""Finds images that are in both splits: identical files, and images that look alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from alexnet_tf.inspection.dataset_stats import DatasetStats
from alexnet_tf.system.progress import Progress

# Two perceptual hashes that differ in few bits are equal in at least one of 16 bands of 16 bits.
_BANDS = 16
_PLAIN = (0x0000, 0xFFFF)  # bands of a sky or a wall, which too many images share
# Bits of 256 in which two similar images may differ. Of 200 ImageNet photographs made smaller by a
# third and encoded at quality 50, 95 % are found; different photographs differ in at least 66.
_MAX_DISTANCE = 24
_PAIRS = 2**20  # compared at a time, in some 100 MB
_BITS = np.array([number.bit_count() for number in range(256)], np.uint8)  # of each byte


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Examples that are in both splits: a pair of names for each example of the second split.

    Attributes:
        exact: the same bytes.
        alike: similar to the eye. These are most copies of another quality, size or brightness, but
            not flipped or cropped copies.
        relabelled: the pairs of `exact` that have different labels.
    """

    exact: list[tuple[str, str]]
    alike: list[tuple[str, str]]
    relabelled: list[tuple[str, str]]


def find_duplicates(one: DatasetStats, other: DatasetStats) -> Duplicates:
    """Compares two splits; faster if the second is the smaller one."""
    shared = one.contents.keys() & other.contents.keys()
    pair_of = {key: (one.contents[key][0], other.contents[key][0]) for key in shared}
    labels_of = {key: (one.labels_of[key].keys(), other.labels_of[key].keys()) for key in shared}
    # A copy without a label contradicts no other.
    relabelled = [key for key, (a, b) in labels_of.items() if a and b and a.isdisjoint(b)]
    first = first_similar(_table(one), _table(other))
    names, others = list(one.perceptual_hashes.values()), list(other.perceptual_hashes.values())
    same = {name for _, name in pair_of.values()}
    pairs = ((names[i][0], others[j][0]) for j, i in first.items())
    alike = sorted(pair for pair in pairs if pair[1] not in same)
    exact, relabelled = sorted(pair_of.values()), sorted(pair_of[key] for key in relabelled)
    return Duplicates(exact, alike, relabelled)


def _table(stats: DatasetStats) -> np.ndarray:
    """Perceptual hashes, uint8 [N, 32]."""
    return np.frombuffer(b"".join(stats.perceptual_hashes), np.uint8).reshape(-1, 2 * _BANDS)


def first_similar(
    one: np.ndarray, other: np.ndarray, pairs_at_a_time: int = _PAIRS
) -> dict[int, int]:
    """Finds, for each hash of `other`, the first similar hash of `one`.

    Returns indices of `one` by indices of `other`, without the hashes that have no similar one.

    Args:
        one: perceptual hashes, uint8 [N, 32].
        other: the same, [M, 32].
        pairs_at_a_time: number of pairs that are compared together; each takes 100 bytes.
    """
    first = np.full(len(other), len(one))
    with Progress("comparing images", _BANDS, "parts") as progress:
        for band in range(_BANDS):
            for i, j in _equal_pairs(_band(one, band), _band(other, band), pairs_at_a_time):
                alike = _BITS[one[i] ^ other[j]].sum(axis=1, dtype=int) <= _MAX_DISTANCE
                np.minimum.at(first, j[alike], i[alike])
            progress.advance(1)
    return {int(j): int(first[j]) for j in np.flatnonzero(first < len(one))}


def _band(table: np.ndarray, band: int) -> np.ndarray:
    """One band of each hash, uint16 [N]."""
    return np.ascontiguousarray(table[:, 2 * band : 2 * band + 2]).view(np.uint16)[:, 0]


def _equal_pairs(
    one: np.ndarray, other: np.ndarray, pairs_at_a_time: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the indices of pairs with equal bands, some at a time, int [P] each."""
    order = np.argsort(other, kind="stable")
    ordered = other[order]
    starts, ends = (np.searchsorted(ordered, one, side) for side in ("left", "right"))
    counts = np.where(np.isin(one, _PLAIN), 0, ends - starts)
    totals = np.cumsum(counts)
    first = 0
    while first < len(one):
        before = totals[first - 1] if first else 0
        end = max(first + 1, int(np.searchsorted(totals, before + pairs_at_a_time, "right")))
        i = np.repeat(np.arange(first, end), counts[first:end])
        offset = (
            np.arange(len(i))
            + before
            - np.repeat(totals[first:end] - counts[first:end], counts[first:end])
        )  # of each pair among the pairs of its i
        yield i, order[starts[i] + offset]
        first = end
