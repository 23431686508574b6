"""The output directory: one run at a time, and what an earlier run has left there."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

from alexnet_tf.data.tfds import METADATA, REPORT, digests, read_report, verified_files
from alexnet_tf.preparation.journal import NAME, Journal, check_identity
from alexnet_tf.preparation.shards import PARTIAL, room
from alexnet_tf.system import files
from alexnet_tf.system.errors import UserError


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Makes the directory if need be, and keeps other runs out of it.

    Raises:
        UserError: it cannot be made, or another run is at work there.
    """
    with room(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder, "--output"):
        yield


def begin(folder: pathlib.Path, journal: Journal) -> None:
    """Reads the journal of an earlier run, or starts one.

    Raises:
        UserError: the directory holds something else, or was begun in another way.
    """
    found = journal.load()
    # A run killed while it began has left half a journal and nothing else.
    others = {path.name for path in folder.iterdir()} - {NAME + PARTIAL}
    if others and not found:
        raise UserError(
            "Expected --output to be new, empty, or left by an earlier run of this command. "
            f"Received: {folder}, with {min(others)} in it"
        )
    for partial in folder.glob(f"*{PARTIAL}*"):
        partial.unlink()
    if not found:
        journal.save()


def complete(
    folder: pathlib.Path, identity: dict[str, Any], workers: int
) -> tuple[dict[str, Any] | None, set[str]]:
    """The report of a directory that was finished, and which of its shards have been damaged since.

    None and nothing if it was not finished.

    Raises:
        UserError: it was made in another way, or files that are no shards are damaged.
    """
    if Journal.exists(folder) or not (folder / METADATA).exists():
        return None, set()
    found = read_report(folder)
    if found is None:
        raise UserError(
            f"Expected --output to be of an earlier run of this command. Received: {folder}, "
            f"with {METADATA} but without its {REPORT}"
        )
    check_identity(folder, found, identity)
    expected = digests(found)
    damaged = set(expected) - verified_files(folder, expected, workers)
    others = sorted(damaged & set(found["files"]))
    if others:
        raise UserError(
            f"Expected {folder} as it was prepared. Received: another {others[0]}, or none "
            f"({len(others)} such files); remove the directory to prepare it again"
        )
    return found, damaged
