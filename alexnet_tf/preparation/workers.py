"""A pool of processes that prepare chunks of pictures, and nothing else.

They import no TensorFlow: each takes some 60 MB, and less than 1 GB when a picture is as large as
`picture.py` allows.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from alexnet_tf.data.limits import MAX_BYTES
from alexnet_tf.errors import UserError
from alexnet_tf.preparation.inputs import Place
from alexnet_tf.preparation.moments import Moments
from alexnet_tf.preparation.transform import Prepared, Refused, prepare

_SECONDS = 0.2  # between two questions whether to stop

Tag = TypeVar("Tag")


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
class Done:
    """What became of a chunk.

    Attributes:
        results: for each picture, or the reason why there is none.
        moments: of those that were to be measured, if any.
    """

    results: list[Prepared | str]
    moments: Moments | None


def prepare_chunk(chunk: Chunk) -> Done:
    """Reads, prepares and measures; runs in a worker."""
    results: list[Prepared | str] = []
    moments = Moments(chunk.size) if any(chunk.measured) else None
    for picture, measured in zip(chunk.pictures, chunk.measured, strict=True):
        try:
            encoded = picture if isinstance(picture, bytes) else _read(picture)
            result = prepare(encoded, chunk.size, chunk.quality)
            if measured:
                moments.add(result.jpeg)
            results.append(result)
        except Refused as reason:
            results.append(str(reason))
    return Done(results, moments)


class Pool:
    """Processes that prepare chunks, in a context.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int):
        self._in_flight = 2 * workers + 2  # chunks: what bounds memory
        self._executor = concurrent.futures.ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), initializer=_start
        )

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception) -> None:
        self._executor.shutdown(cancel_futures=True)

    def map(
        self, chunks: Iterable[tuple[Tag, Chunk]], stop: Callable[[], bool]
    ) -> Iterator[tuple[Tag, Done]]:
        """Results in the order of the chunks, each with the tag that came with it.

        Args:
            chunks: taken only as fast as the processes work.
            stop: asked all the time; once it says yes, no more results come.

        Raises:
            UserError: a process died.
        """
        chunks = iter(chunks)
        queue: collections.deque = collections.deque()
        try:
            while not stop():
                while len(queue) < self._in_flight and (item := next(chunks, None)) is not None:
                    queue.append((item[0], self._submit(item[1])))
                if not queue:
                    return
                if concurrent.futures.wait([queue[0][1]], timeout=_SECONDS).done:
                    tag, future = queue.popleft()
                    yield tag, future.result()
        except BrokenProcessPool:
            if not stop():  # or else whoever stops us has stopped the workers as well
                raise UserError(
                    "Expected the worker processes to live. Received: one died, as happens when "
                    "memory runs out; run the same command again to go on, perhaps with fewer "
                    "--workers"
                ) from None

    def _submit(self, chunk: Chunk) -> concurrent.futures.Future[Done]:
        # This may start a process, which inherits what is blocked: Ctrl-C is for the parent alone.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self._executor.submit(prepare_chunk, chunk)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _start() -> None:
    """Sees to it that a new process does not outlive its parent."""
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    # A parent killed outright tells no one, and its children would wait for work for ever.
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


@functools.lru_cache(maxsize=16)
def _descriptor(path: str) -> int:
    """An archive, opened once a process."""
    return os.open(path, os.O_RDONLY)


def _read(place: Place) -> bytes:
    try:
        if place.size is None:
            with open(place.path, "rb") as file:
                return file.read(MAX_BYTES + 1)
        if place.size > MAX_BYTES:
            raise Refused("too large")
        return os.pread(_descriptor(place.path), place.size, place.offset)
    except OSError as error:
        raise Refused(f"not readable ({error.strerror})") from None
