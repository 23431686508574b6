"""A directory whose files can be proved to be as they were written."""

from __future__ import annotations

import hashlib
import json
import pathlib

from alexnet_tf.system.files import fsync_path

NAME = "manifest.json"


class DamagedError(Exception):
    """A directory is not as it was written; says which file, in one line."""


def write_manifest(directory: pathlib.Path, facts: dict) -> None:
    """Writes `manifest.json` beside the files there, and forces all of it to disk.

    Args:
        directory: flat.
        facts: JSON values to keep with the fingerprints.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    files = {path.name: _fingerprint(path) for path in sorted(directory.iterdir())}
    content = json.dumps({"facts": facts, "files": files}, indent=1)
    # The manifest's own fingerprint is its first line.
    (directory / NAME).write_text(f"{hashlib.sha256(content.encode()).hexdigest()}\n{content}")
    for path in (*directory.iterdir(), directory):
        fsync_path(path)


def read_facts(directory: pathlib.Path) -> dict:
    """What `write_manifest` was told, without looking at the files.

    Raises:
        DamagedError: there is no manifest, or it has changed.
    """
    return _read(directory)["facts"]


def verify(directory: pathlib.Path) -> dict:
    """Reads every file; returns what `write_manifest` was told.

    Raises:
        DamagedError: a file is missing or has changed.
    """
    values = _read(directory)
    for name, fingerprint in values["files"].items():
        try:
            same = _fingerprint(directory / name) == fingerprint
        except OSError as error:
            raise DamagedError(f"{name}: {error.strerror}") from None
        if not same:
            raise DamagedError(f"{name} is not as it was written")
    return values["facts"]


def _read(directory: pathlib.Path) -> dict:
    try:
        checksum, _, content = (directory / NAME).read_text().partition("\n")
    except OSError as error:
        raise DamagedError(f"{NAME}: {error.strerror}") from None
    except UnicodeDecodeError:
        checksum = content = ""
    if hashlib.sha256(content.encode()).hexdigest() != checksum:
        raise DamagedError(f"{NAME} is not as it was written")
    return json.loads(content)


def _fingerprint(path: pathlib.Path) -> dict[str, int | str]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}
