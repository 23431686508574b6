"""Ctrl-C, SIGTERM and a closed terminal become a question that a loop asks between steps."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
import types


class Interrupt:
    """Context in which the first signal of `signals()` is noted and a second SIGINT raises.

    Only the main thread of Python is told of signals; in another one none is noted.

    Attributes:
        signal: the signal noted, or None.
    """

    def __init__(self):
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
            let_go_of_terminal()
        if self.signal is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.signal = signal.Signals(number)
        # Not print(), which may be what was interrupted.
        text = f"\n{self.signal.name}: stops after what is at hand, and saves"
        with contextlib.suppress(OSError):  # whoever read it may be gone
            os.write(2, f"{text}; Ctrl-C again: at once, without saving\n".encode())


def signals() -> list[signal.Signals]:
    """Those that ask a run to end; not SIGHUP where it is ignored, as nohup has it."""
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    found = [signal.SIGINT, signal.SIGTERM]
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        found.append(hangup)
    return found


def let_go_of_terminal() -> None:
    """Reads and writes nowhere in place of a terminal, which may have been closed.

    Else the next word to it would be an error, and that before anything is saved.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        with contextlib.suppress(OSError):  # it is closed
            if stat.S_ISCHR(os.fstat(stream).st_mode):  # isatty() denies one that has gone
                os.dup2(nowhere, stream)
    if nowhere > 2:
        os.close(nowhere)
