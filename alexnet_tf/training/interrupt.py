"""Ctrl-C and SIGTERM become a question that a loop asks between steps."""

from __future__ import annotations

import signal
import threading
import types


class Interrupt:
    """Context in which the first SIGINT or SIGTERM is noted and a second SIGINT raises.

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
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
