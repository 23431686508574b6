"""Images that are in both splits: byte for byte, or to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from alexnet_tf.inspection.dataset_stats import DatasetStats
from alexnet_tf.system.progress import Progress

# Two fingerprints that differ in few bits share one of their bands: 16 of 16 bits each.
_BANDS = 16
_PLAIN = (0x0000, 0xFFFF)  # bands of a sky or a wall, which too many share
# Bits of 256 in which two may differ. Of 200 photographs of ImageNet made smaller by a third and
# encoded at quality 50, 95 % are found; no two different ones are nearer than 66.
_ALIKE = 24
_PAIRS = 2**20  # compared at a time, in some 100 MB
_BITS = np.array([number.bit_count() for number in range(256)], np.uint8)  # of each byte


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Titles of images in two splits, a pair for each of the second's.

    Attributes:
        exact: with the same bytes.
        alike: others that look alike: most of those that are the same photograph at another
            quality, size or brightness; not reflected or cropped ones.
        relabelled: those of `exact` that have another label in each split.
    """

    exact: list[tuple[str, str]]
    alike: list[tuple[str, str]]
    relabelled: list[tuple[str, str]]


def find_duplicates(one: DatasetStats, other: DatasetStats) -> Duplicates:
    """Compares two splits, of which the second is better the smaller."""
    shared = one.contents.keys() & other.contents.keys()
    pair_of = {key: (one.contents[key][0], other.contents[key][0]) for key in shared}
    relabelled = [
        key for key in shared if one.labels_of[key].keys().isdisjoint(other.labels_of[key].keys())
    ]
    first = _first_alike(_table(one), _table(other))
    titles, others = list(one.looks.values()), list(other.looks.values())
    same = {title for _, title in pair_of.values()}
    pairs = ((titles[i][0], others[j][0]) for j, i in first.items())
    alike = sorted(pair for pair in pairs if pair[1] not in same)
    exact, relabelled = sorted(pair_of.values()), sorted(pair_of[key] for key in relabelled)
    return Duplicates(exact, alike, relabelled)


def _table(census: DatasetStats) -> np.ndarray:
    """Fingerprints, uint8 [N, 32]."""
    return np.frombuffer(b"".join(census.looks), np.uint8).reshape(-1, 2 * _BANDS)


def _first_alike(one: np.ndarray, other: np.ndarray) -> dict[int, int]:
    """For each of `other` that has its like in `one`, the first such there, by number.

    Both are fingerprints, uint8 [N, 32] and [M, 32].
    """
    first = np.full(len(other), len(one))
    with Progress("comparing looks", _BANDS, "parts") as progress:
        for band in range(_BANDS):
            for i, j in _sharing(*(_band(table, band) for table in (one, other))):
                alike = _BITS[one[i] ^ other[j]].sum(axis=1, dtype=int) <= _ALIKE
                np.minimum.at(first, j[alike], i[alike])
            progress.advance(1)
    return {int(j): int(first[j]) for j in np.flatnonzero(first < len(one))}


def _band(table: np.ndarray, band: int) -> np.ndarray:
    """uint16 [N]."""
    return np.ascontiguousarray(table[:, 2 * band : 2 * band + 2]).view(np.uint16)[:, 0]


def _sharing(one: np.ndarray, other: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of pairs with the same band, some at a time, int [P] each."""
    order = np.argsort(other, kind="stable")
    ordered = other[order]
    starts, ends = (np.searchsorted(ordered, one, side) for side in ("left", "right"))
    counts = np.where(np.isin(one, _PLAIN), 0, ends - starts)
    totals = np.cumsum(counts)
    first = 0
    while first < len(one):
        before = totals[first - 1] if first else 0
        end = max(first + 1, int(np.searchsorted(totals, before + _PAIRS, "right")))
        i = np.repeat(np.arange(first, end), counts[first:end])
        place = (
            np.arange(len(i))
            + before
            - np.repeat(totals[first:end] - counts[first:end], counts[first:end])
        )  # of each pair among those of its i
        yield i, order[starts[i] + place]
        first = end
