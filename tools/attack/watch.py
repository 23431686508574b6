"""Watches a process for everything that reading a file must not do, by Python's audit events.

Audit events come from Python only: files that TensorFlow writes show in the folder `outside`, which
must not change.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_STARTS = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork"),
    *("os.forkpty", "os.startfile", "pty.spawn", "webbrowser.open"),
)
_CONNECTS = ("socket.connect", "socket.getaddrinfo", "socket.bind", "urllib.Request")
# Each with the numbers of its arguments that are paths, and of their directory's descriptor.
_CHANGES = {
    **{"os.remove": ((0, 1),), "os.rmdir": ((0, 1),), "os.mkdir": ((0, 2),)},
    **{"os.rename": ((0, 2), (1, 3)), "os.link": ((1, 3),), "os.symlink": ((1, 2),)},
    **{"os.truncate": ((0, None),), "os.chmod": ((0, 2),), "os.chown": ((0, 3),)},
}
# What a stranger's file may name, and nothing else imports.
MODULES = ("stranger", "antigravity", "this", "turtledemo", "idlelib")


class Watch:
    """Notes what the process does while it is on.

    Python cannot remove an audit hook, so a process should make one of these.

    Args:
        root: the temporary folder. Files may be written everywhere in it but in `outside`.

    Attributes:
        found: what was done that must not be.
    """

    def __init__(self, root: pathlib.Path):
        self._root = os.path.realpath(root)
        self._outside = os.path.join(self._root, "outside")
        package = pathlib.Path(__file__).parent.parent.parent
        installed = (sys.prefix, sys.base_prefix, package, os.path.join(self._root, "tmp"))
        self._installed = tuple(f"{os.path.realpath(folder)}{os.sep}" for folder in installed)
        self._on = False
        self.found: list[str] = []
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Watches; the temporary files of libraries go into the folder as well."""
        before = tempfile.tempdir, sys.dont_write_bytecode
        tempfile.tempdir, sys.dont_write_bytecode = os.path.join(self._root, "tmp"), True
        self.found, self._on = [], True
        try:
            yield
        finally:
            self._on = False
            tempfile.tempdir, sys.dont_write_bytecode = before

    def _hook(self, event: str, arguments: tuple) -> None:
        if not self._on:
            return
        self._on = False  # looking a path up is an event, too
        try:
            if problem := self._problem(event, arguments):
                self.found.append(problem[:300])
        finally:
            self._on = True

    def _problem(self, event: str, arguments: tuple) -> str | None:
        if event in _STARTS or event in _CONNECTS:
            return f"{event} {arguments!r}"
        if event == "pickle.find_class":
            return f"unpickles {arguments[0]}.{arguments[1]}"
        if event == "import" and arguments[0].partition(".")[0] in MODULES:
            return f"imports {arguments[0]}"
        if event == "exec":
            name = getattr(arguments[0], "co_filename", "<")
            if not name.startswith("<") and not self._is_installed(name):
                return f"runs {name}"
        if event == "open" and arguments[2] & _WRITES and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            return None if self._may_write(path) else f"writes {path}"
        for path, folder in _CHANGES.get(event, ()):
            changed = _absolute(arguments[path], folder and arguments[folder])
            if not self._may_write(changed):
                return f"{event} {changed}"
        return None

    def _is_installed(self, name: str) -> bool:
        return os.path.realpath(name).startswith(self._installed)

    def _may_write(self, path: str) -> bool:
        inside = path.startswith(f"{self._root}{os.sep}") or path == self._root
        return path == os.devnull or (inside and not path.startswith(self._outside))


def _absolute(path: int | str | bytes | os.PathLike, folder: int | None) -> str:
    """The path of a directory's entry, which may itself be a link."""
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    parent, name = os.path.split(os.fsdecode(path))
    if not os.path.isabs(parent) and folder is not None and folder >= 0:
        parent = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), parent)
    return os.path.join(os.path.realpath(parent), name)
