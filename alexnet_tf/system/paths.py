"""Paths that a user names, and names that TensorFlow can read."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator

from alexnet_tf.system.errors import UserError

# pathlib makes gs:/ of gs://.
_URL = re.compile(r"[A-Za-z][\w+.-]*://|(gs|s3|hdfs|viewfs|file|https?|ftp|az|abfss?):/", re.I)
# TensorFlow takes these for patterns of names. A colon before slashes is a file system's name.
_PATTERN = re.compile(r"[][*?\\{}]|://")
_SHOWN = 200  # characters of a path that is too long


def local_path(path: str | os.PathLike, flag: str = "the path", utf8: bool = False) -> pathlib.Path:
    """A path on a disk of this machine, with the home directory in place of `~`.

    Args:
        path: as the user gave it.
        flag: that names it, for the message.
        utf8: whether it has to be UTF-8, as for TFDS.

    Raises:
        UserError: a URL such as gs://bucket/run, nothing, a home directory that does not exist, or
            a path that the system refuses.
    """
    text = os.fsdecode(path)
    check_no_url(text, flag)
    if utf8 and not _is_utf8(text):
        raise UserError(f"Expected {flag} to be a path in UTF-8. Received: {text!r}. Rename it")
    if not text or "\0" in text:
        raise UserError(f"Expected {flag} to be a path. Received: {text!r}")
    expanded = os.path.expanduser(text)
    if text.startswith("~") and expanded == text:
        raise UserError(
            f"Expected {flag} to begin with ~ or with ~USER of a user of this machine. Received: "
            f"{text}. ./{text} is a directory of that name"
        )
    try:
        os.stat(expanded)
    except (FileNotFoundError, NotADirectoryError):
        pass  # whoever uses the path says what should be there
    except OSError as error:  # closed, too long, or a circle of links: pathlib would raise it
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        raise UserError(
            f"Expected {flag} to be a path that can be opened. Received: {shown} ({error.strerror})"
        ) from None
    found = pathlib.Path(expanded)
    return found.absolute() if str(found).startswith("~") else found  # pathlib makes ~ of ./~


def check_no_url(path: str | os.PathLike, what: str) -> None:
    """Refuses URLs such as gs://bucket/run, of which pathlib would make a local path.

    Raises:
        UserError: it is one; `what` says in the message what the path is for.
    """
    text = os.fsdecode(path)
    if _URL.match(text):
        raise UserError(
            f"Expected {what} to be a path on this machine. Received: {text}. Copy the files, or "
            "mount the storage (gcsfuse, s3fs), and name the local directory"
        )


@contextlib.contextmanager
def tensorflow_path(folder: str | os.PathLike) -> Iterator[str]:
    """Context that yields a name of a directory that TensorFlow reads and writes as it is.

    TensorFlow takes brackets, stars, question marks and backslashes for a pattern when it looks for
    a checkpoint, and its file names have to be UTF-8. A directory with such a path is reached by a
    link in the directory for temporary files.

    Args:
        folder: an existing directory, by any name.

    Raises:
        OSError: the link cannot be made.
    """
    text = os.fsdecode(folder)
    if not _PATTERN.search(text) and _is_utf8(text):
        yield text
        return
    with tempfile.TemporaryDirectory(prefix="alexnet_tf-") as temporary:
        link = os.path.join(temporary, "folder")
        os.symlink(os.path.abspath(text), link)
        yield link


def _is_utf8(text: str) -> bool:
    return text == text.encode(errors="ignore").decode()
