"""A pool of processes that prepare chunks of pictures, and nothing else.

They import no TensorFlow: each takes some 60 MB, and less than 1 GB when a picture is as large as
`picture.py` allows.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from alexnet_tf.data.moments import Moments
from alexnet_tf.preparation.chunks import Chunk, ChunkResult, prepare_chunk
from alexnet_tf.preparation.resize import Prepared
from alexnet_tf.system.errors import UserError

_SECONDS = 0.2  # between two questions whether to stop
# A chunk takes a tenth of a second, and by `picture.py`'s limits at most a minute of the CPU; the
# rest is for slow disks and busy machines.
_PATIENCE = 600.0  # seconds
_IN_A_ROW = 8  # pictures that may end their process one after the other: more is not their doing

# Reasons why there is no result of a picture, besides those of `transform.InvalidImage`.
ENDS = "ends the decoder"
LASTS = "takes too long"

Tag = TypeVar("Tag")


class Pool:
    """Processes that prepare chunks, in a context.

    A picture that ends its process, or keeps it busy for ever, costs only itself: what was in work
    at the time is done again by new processes, one picture after the other.

    Args:
        workers: how many.
        work: what they do.
        patience: seconds until a chunk counts as hung; a single picture has a quarter of that.
    """

    def __init__(
        self,
        workers: int,
        work: Callable[[Chunk], ChunkResult] = prepare_chunk,
        patience: float = _PATIENCE,
    ):
        self._workers, self._work, self._patience = workers, work, patience
        self._in_flight = 2 * workers + 2  # chunks: what bounds memory
        self._lost = 0  # pictures that ended their process, one after the other
        self._executor = self._new_executor()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception) -> None:
        self._kill()

    def map(
        self, chunks: Iterable[tuple[Tag, Chunk]], stop: Callable[[], bool]
    ) -> Iterator[tuple[Tag, ChunkResult]]:
        """Results in the order of the chunks, each with the tag that came with it.

        Args:
            chunks: taken only as fast as the processes work.
            stop: asked all the time; once it says yes, no more results come.

        Raises:
            UserError: a picture cannot be read, or the processes die whatever they do.
        """
        chunks = iter(chunks)
        queue: collections.deque[tuple[Tag, Chunk, Future | None]] = collections.deque()
        started = time.monotonic()  # of the chunk at the front
        while not stop():
            alone = any(future is None for *_, future in queue)
            while (
                not alone
                and len(queue) < self._in_flight
                and (item := next(chunks, None)) is not None
            ):
                queue.append((*item, self._submit(item[1])))
            if not queue:
                return
            tag, chunk, future = queue[0]
            if future is None:
                done = self._one_by_one(chunk, stop)
            elif not concurrent.futures.wait([future], timeout=_SECONDS).done:
                if time.monotonic() - started > self._patience:
                    queue = self._restart(queue)
                continue
            elif isinstance(future.exception(), BrokenProcessPool):
                queue = self._restart(queue)
                continue
            else:
                done = future.result()
            if done is None:
                return
            queue.popleft()
            yield tag, done
            started = time.monotonic()

    def _restart(self, queue: collections.deque) -> collections.deque:
        """New processes; what the old ones left undone is marked by None, to be done with care."""
        self._kill()
        self._executor = self._new_executor()
        return collections.deque(
            (tag, chunk, future if _has_result(future) else None) for tag, chunk, future in queue
        )

    def _one_by_one(self, chunk: Chunk, stop: Callable[[], bool]) -> ChunkResult | None:
        """As `work`, while the processes have nothing else to do; None if told to stop."""
        results: list[Prepared | str] = []
        moments = Moments(chunk.size) if any(chunk.measured) else None
        for picture, measured in zip(chunk.pictures, chunk.measured, strict=True):
            single = dataclasses.replace(chunk, pictures=[picture], measured=[measured])
            future = self._submit(single)
            end = time.monotonic() + self._patience / 4
            while not future.done() and time.monotonic() < end and not stop():
                concurrent.futures.wait([future], timeout=_SECONDS)
            if stop():  # whoever stops us may have stopped the processes as well
                return None
            if future.done() and not isinstance(future.exception(), BrokenProcessPool):
                done = future.result()
                self._lost = 0
            else:
                done = ChunkResult([ENDS if future.done() else LASTS], None)
                self._lose()
            results += done.results
            if done.moments is not None:
                moments.merge(done.moments)
        return ChunkResult(results, moments)

    def _lose(self) -> None:
        """New processes, after one picture has ended the old ones."""
        self._lost += 1
        if self._lost > _IN_A_ROW:
            raise UserError(
                f"Expected the worker processes to live. Received: {self._lost} that died one "
                "after the other, as happens when memory runs out; run the same command again to "
                "go on, perhaps with fewer --workers"
            )
        self._kill()
        self._executor = self._new_executor()

    def _new_executor(self) -> concurrent.futures.ProcessPoolExecutor:
        return concurrent.futures.ProcessPoolExecutor(
            self._workers, multiprocessing.get_context("spawn"), initializer=_start
        )

    def _kill(self) -> None:
        """Ends the processes, at once even where one hangs; nothing they do is needed any more."""
        results = self._executor._result_queue
        for process in list((self._executor._processes or {}).values()):
            process.kill()  # the executor's own method for it comes with Python 3.14
        # One that was writing a result has left a part of it, and the executor would wait for the
        # rest for ever, as there is still one who could write it: this process.
        results._writer.close()
        self._executor.shutdown(cancel_futures=True)

    def _submit(self, chunk: Chunk) -> Future:
        # This may start a process, which inherits what is blocked: Ctrl-C is for the parent alone.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self._executor.submit(self._work, chunk)
        except BrokenProcessPool as error:  # it has ended since we last looked
            future = Future()
            future.set_exception(error)
            return future
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _has_result(future: Future | None) -> bool:
    return (
        future is not None
        and future.done()
        and not future.cancelled()
        and future.exception() is None
    )


def _start() -> None:
    """Sees to it that a new process does not outlive its parent."""
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    # A parent killed outright tells no one, and its children would wait for work for ever.
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
