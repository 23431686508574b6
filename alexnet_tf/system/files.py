"""Files that survive a power cut, and locks on directories."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from alexnet_tf.system.errors import UserError
from alexnet_tf.system.untrusted import open_regular

PARTIAL = ".partial"  # suffix of what is being written
_WRITING = ".writing-"  # prefix of a directory that is being written


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


def create_file(path: str | os.PathLike) -> BinaryIO:
    """Creates a temporary file and opens it for reading and writing.

    A file or link of that name, left behind by a kill or put there by a stranger, is removed
    first. A link is never followed.

    Raises:
        OSError: a directory has the name, or the disk is full or cannot be written.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return open(os.open(path, flags, 0o666), "w+b")


@contextlib.contextmanager
def write_atomically(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Context that yields a file under another name, and renames it at the end.

    A file of the final name is thus always complete and on disk. A link of that name is replaced,
    not followed. After an exception nothing is left behind; after a kill, a file with the suffix
    `PARTIAL`.

    Example:
        >>> with write_atomically("model.json") as file:
        ...     file.write(b"{}")

    Args:
        path: of the file.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    path = pathlib.Path(path)
    partial = path.with_name(path.name + PARTIAL)
    with create_file(partial) as file:
        try:
            yield file
            file.flush()
            atomic_rename(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def make_directory(path: str | os.PathLike) -> None:
    """Makes a directory and the missing ones above it, so that their names survive a power cut.

    Raises:
        OSError: it cannot be made, or a file has its name.
    """
    path = pathlib.Path(path).absolute()
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for each in missing:
        fsync_path(each.parent)


def new_directory(folder: pathlib.Path) -> pathlib.Path:
    """Makes a directory in a folder, with a temporary name that nothing has, and returns it."""
    return pathlib.Path(tempfile.mkdtemp(prefix=_WRITING, dir=folder))


def remove_directories(folder: pathlib.Path) -> None:
    """Removes the directories that `new_directory` made for processes that were killed."""
    for path in folder.iterdir():
        if re.fullmatch(rf"{re.escape(_WRITING)}\w{{1,16}}", path.name):
            remove(path)


def remove(path: pathlib.Path) -> None:
    """Deletes a file, a link (not what it leads to) or a directory with its contents.

    Nothing happens if there is none. A part of a directory that cannot be deleted is left.

    Raises:
        OSError: a file or link cannot be deleted.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_to(folder: str | os.PathLike, *others: type[Exception]) -> Iterator[None]:
    """Turns an `OSError`, or one of `others`, into a `UserError` of one line.

    Raises:
        UserError: the disk is full, or cannot be written.
    """
    try:
        yield
    except (OSError, *others) as error:
        raise UserError(
            f"Could not write to {folder}: {reason_of(error)}. Solve this and run the same command "
            "again to continue"
        ) from None


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a regular file, in hexadecimal.

    Raises:
        FileNotFoundError: there is none.
        UserError: it is a pipe, a device or a directory, or cannot be opened.
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
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
