"""The unit of work: one pure function makes one shard, a TFRecord file.

`make_shard` needs nothing but its task, imports no TensorFlow, and can run in a local process
(`workers.py`) or be mapped by a cluster's engine: `beam.Create(tasks) | beam.Map(make_shard)`.
It may be repeated at any time: the same task gives the same bytes, and a file gets its name only
when it is complete and on disk.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import errno
import functools
import hashlib
import os
import pathlib
import time
from collections.abc import Callable, Iterator

import numpy as np

from alexnet_tf.data.image_checks import read_file
from alexnet_tf.data.limits import MAX_BYTES
from alexnet_tf.data.moments import Moments
from alexnet_tf.preparation.resize import InvalidImage, Prepared, prepare
from alexnet_tf.preparation.sources import Example, FileRange
from alexnet_tf.preparation.tfrecord import frame_records, serialize_example
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import write_atomically, writing_to

RETRY_WAITS = (0.2, 2.0)  # seconds, after a disk error or a lack of memory


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """The input of `make_shard`.

    Attributes:
        path: the file to write.
        examples: in the order of the source, so that a hard disk reads in one direction.
        positions: int64 [N], the index of each example's record.
        measured: bool [N], whether an example counts for the statistics.
        classes: C, the number of classes.
        size: S, pixels.
        quality: JPEG quality, 1 to 95.
        unusable: from the number of an example to the reason not to open it, e.g. because it killed
            an earlier process.
    """

    path: pathlib.Path
    examples: list[Example]
    positions: np.ndarray
    measured: np.ndarray
    classes: int
    size: int
    quality: int
    unusable: dict[int, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ShardSummary:
    """The facts about a shard for the reports.

    Attributes:
        examples: number of its examples.
        bytes: of the file.
        sha256: of the file, in hexadecimal.
        notes: oddities of the originals, and the number of images with each.
        skipped: name and reason of each image that cannot be used.
    """

    examples: int
    bytes: int
    sha256: str
    notes: dict[str, int]
    skipped: list[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class ShardResult:
    """The result of `make_shard`.

    Attributes:
        summary: for the reports.
        counts: int64 [C], images of each class.
        moments: sums over the examples that are measured.
    """

    summary: ShardSummary
    counts: np.ndarray
    moments: Moments


def make_shard(
    task: ShardTask,
    on_image: Callable[[int], None] = lambda number: None,
    threads: Callable[[], int] = lambda: 1,
) -> ShardResult:
    """Reads and prepares all images of a shard, and writes it.

    Args:
        task: the shard.
        on_image: called with the number of each example before it is opened, and with N before the
            file is written.
        threads: returns the number of images to prepare at a time; called before each image.

    Raises:
        UserError: an image that cannot be read now, too little memory, or a full disk.
    """
    records: list[bytes | None] = [None] * len(task.examples)
    counts = np.zeros(task.classes, np.int64)
    moments = Moments(task.size)
    notes: collections.Counter[str] = collections.Counter()
    skipped = []
    for number, outcome in enumerate(_prepare_all(task, on_image, threads)):
        example = task.examples[number]
        if isinstance(outcome, str):
            skipped.append((example.file_name, outcome))
            continue
        record = serialize_example(outcome.jpeg, example.label, example.file_name)
        records[task.positions[number]] = record
        counts[example.label] += 1
        notes.update(outcome.notes)
        if task.measured[number]:
            moments.add(outcome.jpeg)
    on_image(len(task.examples))
    usable = [record for record in records if record is not None]
    size, digest = _write_shard(task.path, usable)
    summary = ShardSummary(len(usable), size, digest, dict(sorted(notes.items())), sorted(skipped))
    return ShardResult(summary, counts, moments)


def _prepare_all(
    task: ShardTask, on_image: Callable[[int], None], threads: Callable[[], int]
) -> Iterator[Prepared | str]:
    """Yields for each example the prepared image, or the reason why it cannot be used."""
    pending: collections.deque[concurrent.futures.Future] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor() as executor:  # decoders release the GIL
        for number in range(len(task.examples)):
            pending.append(executor.submit(_prepare_example, task, number, on_image))
            while len(pending) >= threads():
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _prepare_example(
    task: ShardTask, number: int, on_image: Callable[[int], None]
) -> Prepared | str:
    """Prepares one image; tries again after a disk error or a lack of memory.

    Raises:
        UserError: every attempt failed.
    """
    if number in task.unusable:
        return task.unusable[number]
    on_image(number)
    image = task.examples[number].image
    for wait in (*RETRY_WAITS, None):
        try:
            return prepare(read_image(image), task.size, task.quality)
        except InvalidImage as reason:
            return str(reason)
        except (OSError, MemoryError) as error:
            if wait is None:
                reason = getattr(error, "strerror", None) or "not enough memory"
                raise UserError(
                    f"Could not read or prepare {image}, in {1 + len(RETRY_WAITS)} attempts: "
                    f"{reason}. Solve this and run the same command again to continue"
                ) from None
            time.sleep(wait)
    raise AssertionError("unreachable")


@functools.lru_cache(maxsize=16)
def _descriptor(path: str) -> int:
    """The descriptor of an archive, which is opened once per process."""
    return os.open(path, os.O_RDONLY)


def read_image(image: FileRange) -> bytes:
    """Reads the encoded bytes of an image.

    Raises:
        InvalidImage: there are too many bytes.
        OSError: they cannot be read.
    """
    if image.size is None:
        return read_file(image.path)
    if image.size > MAX_BYTES:
        raise InvalidImage("too large")
    encoded = os.pread(_descriptor(image.path), image.size, image.offset)
    if len(encoded) < image.size:
        raise OSError(errno.EIO, "the archive has become shorter")
    return encoded


def _write_shard(path: pathlib.Path, records: list[bytes]) -> tuple[int, str]:
    """Writes a TFRecord file, and returns its bytes and SHA-256 once it is safe on disk."""
    digest = hashlib.sha256()
    with writing_to(path.parent), write_atomically(path) as file:
        for piece in frame_records(records):
            digest.update(piece)
            file.write(piece)
        size = file.tell()
    return size, digest.hexdigest()
