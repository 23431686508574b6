"""Files that survive a power cut, and locks on directories."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pathlib
from collections.abc import Iterator

from alexnet_tf.system.errors import UserError


def fsync_path(path: str | os.PathLike) -> None:
    """Forces a file, or the names in a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def atomic_rename(partial: str | os.PathLike, path: str | os.PathLike) -> None:
    """Gives a complete file or directory its final name, so that the name survives a power cut.

    The contents of a directory have to be on disk already.

    Args:
        partial: what was written.
        path: its final name, in the same directory; an existing file there is replaced.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    fsync_path(partial)
    os.replace(partial, path)
    fsync_path(pathlib.Path(path).absolute().parent)


@contextlib.contextmanager
def write_atomically(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Context that yields another name to write a file under, and renames it at the end.

    A file of the final name is thus always complete. After an exception nothing is left behind;
    after a kill, a file whose name has `.partial` before its suffix.

    Example:
        >>> with write_atomically("model.json") as partial:
        ...     partial.write_text("{}")

    Args:
        path: of the file.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    path = pathlib.Path(path)
    # The suffix stays the last one: NumPy would append .npz to any other name.
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        yield partial
        atomic_rename(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def reason_of(error: Exception) -> str:
    """Why something could not be written, in the words of the operating system."""
    if getattr(error, "strerror", None):
        return error.strerror
    # TensorFlow says what it did, to which file, and then, after a semicolon, what was wrong.
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return first_line.split("; ")[-1].split(" [Op:")[0]


@contextlib.contextmanager
def locked(folder: pathlib.Path, flag: str) -> Iterator[None]:
    """Keeps other processes that lock the same directory out of it, until this context ends.

    Args:
        folder: the directory, which exists.
        flag: the flag that names it.

    Raises:
        UserError: another process has the lock.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _lock_holder(os.fstat(descriptor))
        os.close(descriptor)
        raise UserError(
            f"{folder} is in use by another process{f' (pid {holder})' if holder else ''}. Choose "
            f"another {flag} or stop it."
        ) from None
    except OSError:
        pass  # some network file systems lock no directories
    try:
        yield
    finally:
        os.close(descriptor)  # which unlocks it


def _lock_holder(status: os.stat_result) -> int | None:
    """The process that has locked a file, where the system tells (Linux)."""
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    try:
        lines = pathlib.Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for fields in map(str.split, lines):  # 1: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF
        if fields[1:2] == ["FLOCK"] and fields[5] == f"{device}:{status.st_ino}":
            return int(fields[4]) if int(fields[4]) > 0 else None
    return None
