"""A progress bar on a terminal; elsewhere a line every ten seconds."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

from alexnet_tf.system.text import printable

SECONDS_BETWEEN_LINES = 10.0  # where standard error is not a terminal
_quiet = False


@contextlib.contextmanager
def quiet(wanted: bool) -> Iterator[None]:
    """Context without progress bars and without standard output, if `wanted`."""
    global _quiet
    if not wanted:
        yield
        return
    before, _quiet = _quiet, True
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        _quiet = before


class Progress:
    """Shows how far a job is, its rate and the time left, on standard error.

    Args:
        title: of the job, one or two words.
        total: units of work in all.
        unit: of work, in the plural, e.g. "images".
        done: units done before now; they count as done but not for the rate.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        title: str,
        total: int,
        unit: str,
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.title, self.total, self.unit = printable(title), total, unit
        self._done = self._first = done
        self._note = ""
        self._clock = clock
        self._started = self._last_line = clock()
        self._bar = None
        if sys.stderr and sys.stderr.isatty() and not _quiet:
            # A bar moves the cursor by the characters that `Output` escapes.
            terminal = getattr(sys.stderr, "unescaped", sys.stderr)
            self._bar = tqdm(
                total=total, initial=done, desc=self.title, unit=f" {unit}", leave=False,
                dynamic_ncols=True, file=terminal, unit_scale=total >= 100_000,
            )  # fmt: skip

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, units: int, note: str = "") -> None:
        """Counts units as done; `note` is shown behind the rate."""
        self._done += units
        self._note = printable(note) or self._note
        if self._bar is not None:
            self._bar.set_postfix_str(self._note, refresh=False)
            self._bar.update(units)
        elif sys.stderr and not _quiet and self._clock() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = self._clock()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """The plain line."""
        seconds = max(self._clock() - self._started, 1e-9)
        rate = (self._done - self._first) / seconds
        left = (self.total - self._done) / rate if rate else 0.0
        text = f"{self.title}: {self._done:,} of {self.total:,} {self.unit}, {rate:,.0f}/s"
        text += f", {int(left) // 60}:{int(left) % 60:02d} left"
        return f"{text}, {self._note}" if self._note else text

    def write(self, text: str) -> None:
        """Prints a line of its own above the bar, on standard output."""
        if self._bar is not None:
            self._bar.clear()
        print(text, flush=True)
        if self._bar is not None:
            self._bar.refresh()
