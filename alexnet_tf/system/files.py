"""What survives a power cut, and whose a directory is meanwhile."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

from alexnet_tf.system.errors import UserError


def fsync_path(path: pathlib.Path) -> None:
    """Returns when a file, or the names in a directory, would be there after a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason_of(error: Exception) -> str:
    """Why something could not be written, in the system's words."""
    if getattr(error, "strerror", None):
        return error.strerror
    # TensorFlow says what it did, to which file, and then, after a semicolon, what was wrong.
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return first_line.split("; ")[-1].split(" [Op:")[0]


@contextlib.contextmanager
def locked(folder: pathlib.Path, flag: str) -> Iterator[None]:
    """Keeps other processes that ask for the same out of a directory, until this one ends.

    Args:
        folder: the directory, which exists.
        flag: that names it.

    Raises:
        UserError: another process is at work there.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(
            f"Expected {flag} to be no other run's. Received: {folder}, where one is at work"
        ) from None
    except OSError:
        pass  # some network file systems lock no directories
    try:
        yield
    finally:
        os.close(descriptor)  # which unlocks it
