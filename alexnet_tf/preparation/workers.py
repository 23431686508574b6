"""A pool of processes that make shards, and that survives images that kill or hang a process.

The processes do not import TensorFlow. Each takes about 60 MB and one shard (25 MB with the
defaults), and less than 1 GB more while it decodes an image as large as `image_checks.py` allows.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future

from alexnet_tf.preparation.shards import ShardResult, ShardTask, make_shard
from alexnet_tf.system.errors import UserError

_POLL_SECONDS = 0.2  # between two checks of the processes
# An image takes milliseconds, and 2 s at most by `image_checks.py`'s limits; the rest is for slow
# disks and busy machines.
_PATIENCE = 150.0  # seconds
_MAX_LOST_IN_A_ROW = 8  # processes; if more are lost, the images are not the cause

# Reasons why an image cannot be used, besides the reasons of `InvalidImage`.
ENDS = "ends the decoder"
LASTS = "takes too long"

_CONTEXT = multiprocessing.get_context("spawn")


@dataclasses.dataclass(eq=False)
class _Job:
    """A shard that is being made.

    Attributes:
        task: the shard.
        alone: whether this is another attempt, one image at a time, while other processes are idle.
        shown: number of images already reported as done.
        position: number of the current image when last checked; -1 before the first.
        since: time of the last change of `position`.
    """

    task: ShardTask
    alone: bool = False
    shown: int = 0
    worker: _Worker | None = None
    future: Future | None = None
    position: int = -1
    since: float = 0.0


class Pool:
    """A context manager that runs processes which make shards.

    Only the image that kills or hangs a process is left out. If a process is lost, its shard is
    made again, alone and one image at a time. If that process is lost too, the current image is the
    cause: it is left out, and the shard is made again.

    Args:
        workers: number of processes.
        make: the function that they run, with the signature of `make_shard`.
        patience: seconds without a new image until a process counts as hung.
    """

    def __init__(
        self,
        workers: int,
        make: Callable[..., ShardResult] = make_shard,
        patience: float = _PATIENCE,
    ):
        self._workers, self._make, self._patience = workers, make, patience
        self._threads = _CONTEXT.RawValue("i", 1)  # images at a time in each process
        self._exchange = concurrent.futures.ThreadPoolExecutor(workers)  # a thread for each process
        self._idle: list[_Worker] = []
        self._jobs: list[_Job] = []
        self._lost_in_a_row = 0

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception) -> None:
        """Kills the processes at once, even one that hangs."""
        for worker in [*self._idle, *(job.worker for job in self._jobs)]:
            worker.kill()
        self._exchange.shutdown()

    def map(
        self,
        tasks: Iterable[ShardTask],
        stop: Callable[[], bool],
        advance: Callable[[int], None] = lambda images: None,
    ) -> Iterator[tuple[ShardTask, ShardResult]]:
        """Makes shards, and yields each with its result as soon as it is finished.

        Args:
            tasks: taken only as fast as the processes work, plus one in advance.
            stop: called repeatedly; once it returns True, no more results come.
            advance: called with the number of images done since the last call.

        Raises:
            UserError: an image cannot be read, a disk is full, or too many processes in a row die.
        """
        jobs = map(_Job, tasks)
        ahead = next(jobs, None)
        retries: list[_Job] = []  # jobs that have lost their processes
        while not stop():
            while ahead and not retries and len(self._jobs) < self._workers:
                self._start(ahead)
                ahead = next(jobs, None)
            if retries and not self._jobs:
                self._start(retries.pop())
            if not self._jobs:
                return
            self._share_cores()
            futures = [job.future for job in self._jobs]
            concurrent.futures.wait(futures, _POLL_SECONDS, concurrent.futures.FIRST_COMPLETED)
            for job in list(self._jobs):
                advance(self._observe(job))
                if reason := self._lost(job):
                    self._jobs.remove(job)
                    self._prepare_retry(job, reason)
                    retries.append(job)
                elif job.future.done():
                    self._jobs.remove(job)
                    self._idle.append(job.worker)
                    self._lost_in_a_row = 0
                    yield job.task, job.future.result()

    def _start(self, job: _Job) -> None:
        job.worker = self._idle.pop() if self._idle else _Worker(self._make, self._threads)
        job.worker.position.value = job.position = -1
        job.since = time.monotonic()
        self._jobs.append(job)
        self._share_cores()
        job.future = self._exchange.submit(job.worker.make, job.task)

    def _share_cores(self) -> None:
        """With fewer shards than processes, each process prepares several images at a time."""
        alone = self._jobs[0].alone
        self._threads.value = 1 if alone else max(1, self._workers // len(self._jobs))

    def _observe(self, job: _Job) -> int:
        """Updates the progress of a job; returns the number of newly finished images."""
        position = job.worker.position.value
        if position != job.position:
            job.position, job.since = position, time.monotonic()
        new = max(0, position - job.shown)
        job.shown += new
        return new

    def _lost(self, job: _Job) -> str | None:
        """Returns why a job will have no result, or None if it may have one."""
        if job.future.done():
            return ENDS if isinstance(job.future.exception(), (EOFError, OSError)) else None
        # A slow disk may delay the writing of the file; no image is the cause of that.
        writes = job.position == len(job.task.examples)
        hangs = not writes and time.monotonic() - job.since > self._patience
        return LASTS if hangs else None

    def _prepare_retry(self, job: _Job, reason: str) -> None:
        """Kills a job's process; if the job was alone, its next attempt omits the current image.

        Raises:
            UserError: too many processes in a row were lost.
        """
        job.worker.kill()
        task, position = job.task, job.worker.position.value
        if job.alone:
            if 0 <= position < len(task.examples):
                if position > 0 and position - 1 not in task.unusable:
                    self._lost_in_a_row = 0  # the image before this one succeeded
                job.task = dataclasses.replace(task, unusable={**task.unusable, position: reason})
            self._lost_in_a_row += 1
        job.alone = True
        if self._lost_in_a_row > _MAX_LOST_IN_A_ROW:
            raise UserError(
                f"{self._lost_in_a_row} worker processes died one after the other, as happens when "
                "memory runs out. Run the same command again to continue, perhaps with fewer "
                "--workers"
            )


@contextlib.contextmanager
def _safe_path() -> Iterator[None]:
    """Context in which started Python processes do not look in the working directory.

    Python 3.10 knows no such setting, and looks there until it has the `sys.path` of its parent.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


class _Worker:
    """A process, as its parent sees it.

    Attributes:
        position: number of the current image, in shared memory, which outlives the process.
    """

    def __init__(self, make: Callable[..., ShardResult], threads: multiprocessing.RawValue):
        self.position = _CONTEXT.RawValue("q", -1)
        self._connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(
            target=_serve, args=(theirs, make, self.position, threads), daemon=True
        )
        # The process inherits the blocked signals: only the parent handles Ctrl-C.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with _safe_path(), _without_main_module():
                self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()  # so that the pipe ends with the process

    def make(self, task: ShardTask) -> ShardResult:
        """Sends a task to the process and waits for the result.

        Call it in a thread: a process that hangs may not even take its task.

        Raises:
            EOFError, OSError: the process has ended.
            Exception: what the shard's maker raised.
        """
        self._connection.send(task)
        outcome = self._connection.recv()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def kill(self) -> None:
        """Kills the process; its work is not needed any more."""
        self._process.kill()
        self._process.join()


@contextlib.contextmanager
def _without_main_module() -> Iterator[None]:
    """Context in which a new process does not import the program's main module.

    It does not need it. And a script without `if __name__ == "__main__"` would start from the top
    in each process.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _serve(connection, make, position, threads) -> None:  # noqa: ANN001
    """The main function of a worker process: makes shards until the pipe is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def on_image(number: int) -> None:
        """Tells the parent which image is at work, in case it ends this process."""
        position.value = number

    with contextlib.suppress(EOFError, BrokenPipeError):  # the parent has gone
        while True:
            task = connection.recv()
            try:
                outcome = make(task, on_image, lambda: threads.value)
            except UserError as error:
                outcome = error
            except MemoryError:
                outcome = UserError(
                    f"Not enough memory to make {task.path.name}. Run the same command again to "
                    "continue, perhaps with fewer --workers"
                )
            except Exception:
                outcome = RuntimeError(traceback.format_exc())  # a traceback cannot be sent
            connection.send(outcome)


def _end_with_parent() -> None:
    # A killed parent cannot stop its children, and they must not write beside a later run.
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
