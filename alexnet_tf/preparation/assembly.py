"""Chunks out, results in, shards written.

Memory is bounded whatever the size of the dataset: by the chunks in flight, the one shard that is
being put together, 25 MB with the defaults, and the list of names. A shard's pictures are read in
the order of their source, so that a disk's head sweeps one way, and written in the plan's.
"""

from __future__ import annotations

import collections
import itertools
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from alexnet_tf.data.moments import Moments
from alexnet_tf.preparation.chunks import Chunk, ChunkResult
from alexnet_tf.preparation.journal import Entry, Finished, Journal
from alexnet_tf.preparation.plan import Settings, Shard
from alexnet_tf.preparation.shards import serialize, write_shard
from alexnet_tf.preparation.sources import Source
from alexnet_tf.preparation.workers import Pool
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress

_CHUNK = 32  # pictures
_NAMED = 3  # skipped pictures in a message

_Part = tuple[Shard, np.ndarray, list[tuple[str, int]]]  # of a shard: places, names and labels


class SkipLimit:
    """Counts unusable pictures, and says when there are too many.

    Args:
        source: the pictures.
        share: of a split's pictures that may be unusable.
    """

    def __init__(self, source: Source, share: float):
        self._counts = {split: pictures.count for split, pictures in source.splits.items()}
        self._share = share
        self._skipped: dict[str, list[tuple[str, str]]] = {split: [] for split in source.splits}

    def add(self, split: str, skipped: list[tuple[str, str]]) -> None:
        """Counts names, each with its reason.

        Raises:
            UserError: there are too many now.
        """
        names = self._skipped[split]
        names += skipped
        if len(names) > self._share * self._counts[split]:
            reasons = collections.Counter(reason for _, reason in names).most_common()
            why = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
            first = ", ".join(name for name, _ in names[:_NAMED])
            raise UserError(
                f"Expected at most {self._share:.2%} of the {self._counts[split]:,} {split} "
                f"pictures to be unusable. Received: {len(names):,} so far ({why}): {first}"
                f"{', ...' * (len(names) > _NAMED)}; mend or remove them, or raise --max_skipped"
            )


class _Assembly:
    """A shard whose examples arrive."""

    def __init__(self, shard: Shard, source: Source, size: int):
        self.shard = shard
        self.missing = len(shard.indices)
        self.counts = np.zeros((len(source.splits), len(source.classes)), np.int64)
        self.moments = Moments(size)
        self._notes: collections.Counter[str] = collections.Counter()
        self._skipped: list[tuple[str, str]] = []
        self._records: list[bytes | None] = [None] * self.missing
        self._row = self.counts[list(source.splits).index(shard.split)]

    def add(self, part: _Part, done: ChunkResult) -> list[tuple[str, str]]:
        """Takes a chunk's results; returns the name and reason of what could not be used."""
        skipped = []
        _, positions, names = part
        for position, (name, label), result in zip(positions, names, done.results, strict=True):
            if isinstance(result, str):
                skipped.append((name, result))
            else:
                self._records[position] = serialize(result.jpeg, label, name)
                self._row[label] += 1
                self._notes.update(result.notes)
        if done.moments is not None:
            self.moments.merge(done.moments)
        self.missing -= len(positions)
        self._skipped += skipped
        return skipped

    def write(self, folder: pathlib.Path) -> Entry:
        """Writes the file."""
        records = [record for record in self._records if record is not None]
        path = folder / self.shard.file
        digest = write_shard(path, records)
        notes, skipped = dict(sorted(self._notes.items())), sorted(self._skipped)
        size = path.stat().st_size
        return Entry(self.shard.split, len(records), size, digest, notes, skipped)


def prepare_shards(
    source: Source,
    settings: Settings,
    shards: list[Shard],
    journal: Journal | Finished,
    limit: SkipLimit,
    workers: int,
    stop: Callable[[], bool],
) -> int:
    """Makes shards and notes each in the journal, until all are made or it is told to stop.

    Args:
        source: the pictures.
        settings: of the dataset.
        shards: which to make.
        journal: notes them; they go into its directory.
        limit: of unusable pictures; it knows of those in all other shards.
        workers: processes.
        stop: asked all the time.

    Returns:
        How many pictures it went through.

    Raises:
        UserError: too many unusable pictures, one that cannot be read, a full disk.
    """
    total = sum(pictures.count for pictures in source.splits.values())
    left = sum(len(shard.indices) for shard in shards)
    images = 0
    assembly = None
    with (
        Pool(workers) as pool,
        Progress("preparing", total, "images", done=total - left) as progress,
    ):
        for part, done in pool.map(_chunks(source, settings, shards), stop):
            if assembly is None:
                assembly = _Assembly(part[0], source, settings.size)
            limit.add(assembly.shard.split, assembly.add(part, done))
            images += len(done.results)
            progress.advance(len(done.results))
            if not assembly.missing:
                entry = assembly.write(journal.folder)
                journal.add(assembly.shard.file, entry, assembly.counts, assembly.moments)
                assembly = None
    return images


def _chunks(
    source: Source, settings: Settings, shards: list[Shard]
) -> Iterator[tuple[_Part, Chunk]]:
    """The work, shard by shard, each in the order of the source."""
    for shard in shards:
        places = np.argsort(shard.indices)  # in the shard
        examples = source.splits[shard.split].examples(shard.indices[places])
        for first in range(0, len(places), _CHUNK):
            positions = places[first : first + _CHUNK]
            taken = list(itertools.islice(examples, len(positions)))
            names = [(example.file_name, example.label) for example in taken]
            pictures = [example.picture for example in taken]
            measured = shard.measured[positions].tolist()
            chunk = Chunk(pictures, measured, settings.size, settings.quality)
            yield (shard, positions, names), chunk
