"""The manifest of a directory: facts, and size and checksum of every other file.

manifest.json has the checksum of its own contents in its first line, then JSON:
    {"facts": {...}, "files": {"variables.index": {"bytes": 1234, "sha256": "..."}, ...}}
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from typing import Any

from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import file_sha256, fsync_path
from alexnet_tf.system.untrusted import (
    check,
    natural,
    parse_json,
    plain_name,
    read_bytes,
    sha256_digest,
)

_MANIFEST = "manifest.json"
_MAX_BYTES = 2**20  # of a manifest
_MAX_FILE = 2**35  # bytes of another file; the largest known have 4 GB


class DamagedError(Exception):
    """A file of a directory is missing or has changed since it was written."""


class Manifest:
    """The manifest of a directory, as it was read.

    Args:
        directory: with a manifest in it.
        form: of the facts, as `untrusted.check` takes it.

    Attributes:
        facts: of `write`.
        files: from a name to its size in bytes and its SHA-256.

    Raises:
        DamagedError: the manifest is missing, has changed, or is none.
    """

    def __init__(self, directory: pathlib.Path, form: Any):
        self._directory = directory
        try:
            digest, _, content = read_bytes(directory / _MANIFEST, _MAX_BYTES).partition(b"\n")
            if hashlib.sha256(content).hexdigest().encode() != digest:
                raise DamagedError(f"{_MANIFEST} has changed since it was written")
            values = check(parse_json(content), {"facts": form, "files": dict})
            for name, entry in values["files"].items():
                check(name, plain_name, "a name")
                check(entry, {"bytes": natural, "sha256": sha256_digest}, name)
        except OSError as error:
            raise DamagedError(f"{_MANIFEST}: {error.strerror}") from None
        except ValueError as error:
            raise DamagedError(f"{_MANIFEST}: {error}") from None
        self.facts, self.files = values["facts"], values["files"]

    def verify(self, required: str, prefix: str) -> None:
        """Reads every file and compares sizes and checksums.

        Args:
            required: a file that has to be there.
            prefix: of names that all have to be in the manifest.

        Raises:
            DamagedError: a file is missing, has changed, or is not in the manifest.
        """
        try:
            names = os.listdir(self._directory)
        except OSError as error:
            raise DamagedError(error.strerror) from None
        for name in sorted({required, *self.files, *(n for n in names if n.startswith(prefix))}):
            self.check(name)

    def check(self, name: str) -> None:
        """Reads one file and compares size and checksum.

        Raises:
            DamagedError: it is missing, has changed, or is not in the manifest.
        """
        if name not in self.files:
            raise DamagedError(f"{name} is not in {_MANIFEST}")
        path, expected = self._directory / name, self.files[name]
        try:
            same = path.stat().st_size == expected["bytes"] <= _MAX_FILE
            if not same or file_sha256(path) != expected["sha256"]:
                raise DamagedError(f"{name} has changed since it was written")
        except OSError as error:
            raise DamagedError(f"{name}: {error.strerror}") from None
        except UserError as error:
            raise DamagedError(str(error)) from None


def write_manifest(directory: pathlib.Path, facts: dict) -> None:
    """Writes `manifest.json`, and forces everything to disk.

    Args:
        directory: without folders in it.
        facts: JSON values to store with the checksums.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(directory.iterdir())
    }
    content = json.dumps({"facts": facts, "files": files}, indent=1)
    digest = hashlib.sha256(content.encode()).hexdigest()
    (directory / _MANIFEST).write_text(f"{digest}\n{content}")
    for path in (*directory.iterdir(), directory):
        fsync_path(path)
