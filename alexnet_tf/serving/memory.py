"""The server's memory: gives back to the system what large requests needed.

The C library keeps freed memory for later. A server that has once answered large requests would
never be small again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import ctypes
from collections.abc import Callable

_PAUSE = 1.0  # seconds between two calls; each takes some milliseconds


# Bytes from which on a block of memory is one of the system's own, so that it can be given back.
# The C library would raise this limit to the size of the largest block that was ever freed.
_OWN_BLOCK = 2**22
_M_MMAP_THRESHOLD = -3  # of mallopt


def keep_large_blocks_apart() -> None:
    """Keeps large blocks of memory apart from small ones, with glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _OWN_BLOCK)


def trim_memory() -> None:
    """Gives unused memory back to the system, with glibc; other C libraries do it themselves."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


class MemoryTrimmer:
    """Trims the memory in a thread, soon after requests, at most once a second.

    Args:
        threads: run it.
        trim: the function to run.
    """

    def __init__(
        self,
        threads: concurrent.futures.Executor,
        trim: Callable[[], None] = trim_memory,
    ):
        self._threads, self._trim = threads, trim
        self._due: asyncio.TimerHandle | None = None

    def request(self) -> None:
        """Asks for it; called in the event loop."""
        if self._due is None:
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(_PAUSE, self._run, loop)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = None
        loop.run_in_executor(self._threads, self._trim)
