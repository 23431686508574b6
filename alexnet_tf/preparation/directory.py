"""The output directory: one run at a time, and what an earlier run has left there."""

from __future__ import annotations

import concurrent.futures
import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

from alexnet_tf.data import prepare_report
from alexnet_tf.data.tfds_builders import METADATA
from alexnet_tf.preparation.journal import NAME, Journal, check_identity
from alexnet_tf.preparation.shards import PARTIAL, room, sha256
from alexnet_tf.system import files
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress


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
    found = prepare_report.read_report(folder)
    if found is None:
        raise UserError(
            f"Expected --output to be of an earlier run of this command. Received: {folder}, "
            f"with {METADATA} but without its {prepare_report.REPORT}"
        )
    check_identity(folder, found, identity)
    digests = prepare_report.digests(found)
    damaged = set(digests) - intact(folder, digests, workers)
    others = sorted(damaged & set(found["files"]))
    if others:
        raise UserError(
            f"Expected {folder} as it was prepared. Received: another {others[0]}, or none "
            f"({len(others)} such files); remove the directory to prepare it again"
        )
    return found, damaged


def intact(folder: pathlib.Path, digests: dict[str, str], workers: int) -> set[str]:
    """Those files that are there and have their SHA-256, given by name."""

    def check(item: tuple[str, str]) -> bool:
        """Whether a file is there and is as it was."""
        path = folder / item[0]
        return path.exists() and sha256(path) == item[1]

    found = set()
    with (
        Progress("checking", len(digests), "files") as progress,
        concurrent.futures.ThreadPoolExecutor(workers) as threads,  # hashing frees Python's lock
    ):
        for file, good in zip(digests, threads.map(check, digests.items()), strict=True):
            if good:
                found.add(file)
            progress.advance(1)
    return found
