"""Ctrl-C, SIGTERM, a closed terminal and a scheduler's warning are noted.

A loop asks between steps whether one came.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
import types
from collections.abc import Callable


class Interrupt:
    """Context that notes the first of `signals()`; a second SIGINT raises KeyboardInterrupt.

    Python delivers signals to the main thread only; in another thread none is noted.

    Args:
        release_terminal: called on SIGHUP; default `let_go_of_terminal`.

    Attributes:
        signal: the signal noted, or None.
    """

    def __init__(self, release_terminal: Callable[[], None] | None = None):
        self._release_terminal = release_terminal or let_go_of_terminal
        self.signal: signal.Signals | None = None
        self._previous: dict = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in signals():
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if number == getattr(signal, "SIGHUP", None):
            self._release_terminal()
        if self.signal is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.signal = signal.Signals(number)
        # Not print(), which may be what was interrupted.
        text = f"\n{self.signal.name}: stops after the current step and saves"
        with contextlib.suppress(OSError):  # the reader of a pipe may be gone
            os.write(2, f"{text}; Ctrl-C again stops at once, without saving\n".encode())


# Besides SIGINT and SIGTERM. Schedulers of clusters send the last three before they kill a job:
# SLURM the one that --signal names, Grid Engine SIGUSR1 and SIGUSR2, and all SIGXCPU when the time
# is up. Windows has none of them.
_WARNINGS = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")


def signals() -> list[signal.Signals]:
    """The signals that ask a run to stop; not those ignored, as SIGHUP is under nohup."""
    others = [getattr(signal, name) for name in _WARNINGS if hasattr(signal, name)]
    heeded = [number for number in others if signal.getsignal(number) != signal.SIG_IGN]
    return [signal.SIGINT, signal.SIGTERM, *heeded]


def let_go_of_terminal() -> None:
    """Redirects standard streams from a terminal, which may have been closed, to /dev/null.

    Otherwise the next print would fail before anything is saved.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        with contextlib.suppress(OSError):  # it is closed
            if stat.S_ISCHR(os.fstat(stream).st_mode):  # isatty() denies one that has gone
                os.dup2(nowhere, stream)
    if nowhere > 2:
        os.close(nowhere)
