"""What a worker process does: it reads and prepares a chunk of pictures, and adds them up."""

from __future__ import annotations

import dataclasses
import errno
import functools
import os
import time

from alexnet_tf.data.image_checks import read_file
from alexnet_tf.data.limits import MAX_BYTES
from alexnet_tf.data.moments import Moments
from alexnet_tf.preparation.resize import InvalidImage, Prepared, prepare
from alexnet_tf.preparation.sources import Place
from alexnet_tf.system.errors import UserError

_WAITS = (0.2, 2.0)  # seconds, after a disk or memory has failed


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Work for one process.

    Attributes:
        pictures: encoded bytes, or where they are.
        measured: which of them count for the statistics.
        size: S, pixels.
        quality: of the JPEGs.
    """

    pictures: list[bytes | Place]
    measured: list[bool]
    size: int
    quality: int


@dataclasses.dataclass(frozen=True)
class ChunkResult:
    """What became of a chunk.

    Attributes:
        results: for each picture, or the reason why there is none.
        moments: of those that were to be measured, if any.
    """

    results: list[Prepared | str]
    moments: Moments | None


def prepare_chunk(chunk: Chunk) -> ChunkResult:
    """Reads, prepares and measures; runs in a worker.

    Raises:
        UserError: a picture that cannot be read now, or prepared in the memory that there is now.
    """
    results: list[Prepared | str] = []
    moments = Moments(chunk.size) if any(chunk.measured) else None
    for picture, measured in zip(chunk.pictures, chunk.measured, strict=True):
        try:
            result = _try_again(picture, chunk)
            if measured:
                moments.add(result.jpeg)
            results.append(result)
        except InvalidImage as reason:
            results.append(str(reason))
    return ChunkResult(results, moments)


@functools.lru_cache(maxsize=16)
def _descriptor(path: str) -> int:
    """An archive, opened once a process."""
    return os.open(path, os.O_RDONLY)


def _try_again(picture: bytes | Place, chunk: Chunk) -> Prepared:
    """Reads and prepares; what does not lie in a picture's bytes may be better the next time.

    Raises:
        InvalidImage: the picture cannot be used.
        UserError: it did not get better.
    """
    for wait in (*_WAITS, None):
        try:
            encoded = picture if isinstance(picture, bytes) else _read(picture)
            return prepare(encoded, chunk.size, chunk.quality)
        except (OSError, MemoryError) as error:
            if wait is None:
                reason = getattr(error, "strerror", None) or "not enough memory"
                name = "a picture" if isinstance(picture, bytes) else picture
                raise UserError(
                    f"Expected to be able to prepare {name}. Received: {reason}, "
                    f"{len(_WAITS) + 1} times; mend that and run the same command again to go on"
                ) from None
            time.sleep(wait)
    raise AssertionError("unreachable")


def _read(place: Place) -> bytes:
    if place.size is None:
        return read_file(place.path)
    if place.size > MAX_BYTES:
        raise InvalidImage("too large")
    encoded = os.pread(_descriptor(place.path), place.size, place.offset)
    if len(encoded) < place.size:
        raise OSError(errno.EIO, "the archive has become shorter")
    return encoded
