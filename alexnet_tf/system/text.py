"""Text from outside, made safe to print: names of files and classes, and messages about them.

A terminal obeys control characters, and displays what follows a bidirectional override in another
order. A spreadsheet computes a cell that begins like a formula.
"""

from __future__ import annotations

import io
import os
import re
import sys

from alexnet_tf.system.errors import UserError

# Control characters, line separators, bidirectional controls, invisible tags, and halves of
# surrogate pairs, by which Python stands for bytes that are not UTF-8.
_UNSAFE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb"
_UNSAFE += "\ud800-\udfff\U000e0000-\U000e007f"
_IN_A_NAME = re.compile(f"[{_UNSAFE}]")
_IN_LINES = re.compile(f"(?![\t\n])[{_UNSAFE}]")
# Spreadsheets also drop the tab or line break and run the rest; wide forms count in East Asia.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def printable(text: str) -> str:
    r"""One line of text, with escapes such as \x1b and \u202e for what a terminal obeys."""
    return _IN_A_NAME.sub(_escape, text)


def printable_lines(text: str) -> str:
    """As `printable`, but line breaks and tabs stay."""
    return _IN_LINES.sub(_escape, text)


def csv_cell(text: str) -> str:
    """A cell that spreadsheets show as text: one that begins like a formula gets a "'" before it.

    Source: OWASP, CSV Injection.
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def _escape(match: re.Match) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


class Output(io.TextIOWrapper):
    """A standard stream that prints `printable_lines`, in an encoding of any kind.

    Args:
        stream: that it replaces.
        required: whether an error ends the program. A message or a progress bar that nobody can
            read does not.

    Attributes:
        unescaped: the stream that it replaces, for a progress bar.

    Raises:
        UserError: it cannot be written, as on a full disk.
        BrokenPipeError: its reader has ended.
    """

    def __init__(self, stream: io.TextIOWrapper, required: bool):
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        self.unescaped, self._required = stream, required

    def write(self, text: str) -> int:
        """Writes text; returns its length."""
        try:
            super().write(printable_lines(text))
        except OSError as error:
            self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Writes what is buffered."""
        try:
            super().flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        """Gives the stream up: what is buffered and what follows goes nowhere."""
        discard(self)
        if isinstance(error, BrokenPipeError) and self._required:
            raise error
        if self._required:
            raise UserError(
                f"Cannot write to standard output: {error.strerror}. Redirect it elsewhere."
            ) from None


def discard(stream: io.TextIOWrapper) -> None:
    """Redirects a stream to /dev/null."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def protect_outputs() -> None:
    """Makes standard output and standard error an `Output`, and opens them if they are closed.

    Where a descriptor is closed (`2>&-`, a daemon), Python has None for the stream, and the next
    file that is opened would get the messages of C++ code.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor, which is this one
            os.set_inheritable(descriptor, True)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name) or open(descriptor, "w", closefd=False)  # noqa: SIM115
        if isinstance(stream, io.TextIOWrapper):  # not one that a program has put there
            stream.flush()
            setattr(sys, name, Output(stream, required=name == "stdout"))
