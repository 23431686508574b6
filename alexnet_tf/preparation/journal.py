"""What a preparation has finished so far: the one file that says so, replaced as a whole.

A shard counts as finished once it is in the journal; its file is complete by then. The sums for the
statistics are in the same file, so that they always are of just those shards.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import zipfile
from typing import Any

import numpy as np

from alexnet_tf.data.moments import Moments
from alexnet_tf.preparation.shards import PARTIAL, put, room
from alexnet_tf.system.errors import UserError

NAME = "unfinished.npz"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A finished shard.

    Attributes:
        split: its split's name.
        examples: how many it holds.
        bytes: of the file.
        sha256: of the file, in hexadecimal.
        notes: what was odd, and how often.
        skipped: name and reason of each picture that could not be used.
    """

    split: str
    examples: int
    bytes: int
    sha256: str
    notes: dict[str, int]
    skipped: list[tuple[str, str]]


class Journal:
    """Of one output directory.

    Attributes:
        folder: that directory.
        identity: all that the files depend on: source, settings, libraries.
        entries: of the finished shards, by file name.
        counts: int64 [splits, classes], images of each class in these shards.
        moments: sums over their examples that are measured.
    """

    def __init__(self, folder: pathlib.Path, identity: dict[str, Any], splits: int, classes: int):
        self.folder = folder
        self.identity = identity
        self.entries: dict[str, Entry] = {}
        self.counts = np.zeros((splits, classes), np.int64)
        self.moments = Moments(identity["settings"]["size"])
        self._path = folder / NAME

    @staticmethod
    def exists(folder: pathlib.Path) -> bool:
        """Whether a preparation has begun there and not ended."""
        return (folder / NAME).exists()

    def add(self, file: str, entry: Entry, counts: np.ndarray, moments: Moments) -> None:
        """Notes that a shard is finished, and does not return before that is on disk.

        Raises:
            UserError: the disk is full; or this shard was finished before, lost, and has come out
                differently.
        """
        before = self.entries.get(file)
        if before is not None:
            check_again(self.folder / file, before.sha256, entry)
            return
        self.entries[file] = entry
        self.counts += counts
        self.moments.merge(moments)
        self.save()

    def save(self) -> None:
        """Writes it."""
        text = {
            "identity": self.identity,
            "entries": {file: dataclasses.asdict(entry) for file, entry in self.entries.items()},
        }
        partial = self._path.with_name(NAME + PARTIAL)
        with room(self.folder):
            with partial.open("wb") as file:
                np.savez(
                    file,
                    text=np.frombuffer(json.dumps(text).encode(), np.uint8),
                    counts=self.counts,
                    pictures=self.moments.pictures,
                    total=self.moments.total,
                    products=self.moments.products,
                )
            put(partial, self._path)

    def load(self) -> bool:
        """Reads what an earlier run has left; whether it left anything.

        Raises:
            UserError: it was of another source, or had other settings.
        """
        if not self._path.exists():
            return False
        try:
            with np.load(self._path, allow_pickle=False) as arrays:
                text = json.loads(arrays["text"].tobytes())
                self.counts = arrays["counts"]
                self.moments.pictures = int(arrays["pictures"])
                self.moments.total = arrays["total"]
                self.moments.products = arrays["products"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"Expected the journal of a preparation in {self._path}. Received: {error}; choose "
                "another --output"
            ) from None
        check_identity(self.folder, text["identity"], self.identity)
        self.entries = {
            file: Entry(**{**entry, "skipped": [tuple(item) for item in entry["skipped"]]})
            for file, entry in text["entries"].items()
        }
        return True

    def remove(self) -> None:
        """Ends it: the dataset is complete."""
        self._path.unlink(missing_ok=True)


class Finished:
    """In place of the journal of a directory that was finished, while lost shards are made again.

    Attributes:
        folder: that directory.
        digests: SHA-256 of its files, by name.
    """

    def __init__(self, folder: pathlib.Path, digests: dict[str, str]):
        self.folder, self.digests = folder, digests

    def add(self, file: str, entry: Entry, counts: np.ndarray, moments: Moments) -> None:
        """Takes note of a shard, of which all else is known already.

        Raises:
            UserError: it has come out differently.
        """
        check_again(self.folder / file, self.digests[file], entry)


def check_again(path: pathlib.Path, sha256: str, entry: Entry) -> None:
    """Sees whether a shard that was lost has come out as it was; removes it if it has not.

    Raises:
        UserError: it has not.
    """
    if entry.sha256 != sha256:
        path.unlink()  # it may be as long as the lost one, and would be taken for it
        raise UserError(
            f"Expected {path.name} to come out as before it was lost. Received: another; perhaps "
            "the source has changed, so choose another --output"
        )


def check_identity(folder: pathlib.Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Sees whether a directory was begun just as this run would begin it.

    Raises:
        UserError: it was not; names the first difference.
    """
    for group in now:
        for name in sorted(set(before[group]) | set(now[group])):
            old, new = before[group].get(name), now[group].get(name)
            if old != new:
                raise UserError(
                    f"Expected the {group} that {folder} was begun with, {name}: {old or 'none'}. "
                    f"Received: {new or 'none'}; take those again, or choose another --output"
                )
