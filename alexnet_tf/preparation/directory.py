"""The output directory: one run at a time, and the shards that earlier runs have finished there."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from alexnet_tf.data.moments import Moments
from alexnet_tf.data.prepared import REPORT, read_report, report_digests, verified_files
from alexnet_tf.data.tfds_metadata import METADATA
from alexnet_tf.preparation.shards import ShardResult, ShardSummary
from alexnet_tf.system import files
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import PARTIAL, write_atomically, writing_to
from alexnet_tf.system.untrusted import (
    check,
    natural,
    parse_json,
    plain_name,
    read_arrays,
    sha256_digest,
)

LEDGER = "unfinished.npz"
_PARTIAL_NAME = re.compile(  # with `.images`: see `run`
    r"(.+\.tfrecord-\d+-of-\d+(\.images)?|unfinished\.npz|statistics\.npz|report\.(json|txt))"
    + re.escape(PARTIAL)
)
_MAX_ARRAY = 2**28  # bytes; sums over squares of 2,048 pixels take 100 MB
_FORM = {  # of the text in a ledger
    "identity": {"source": dict, "splits": dict, "settings": dict, "libraries": dict},
    "entries": {
        plain_name: {
            **{"split": str, "examples": natural, "bytes": natural, "sha256": sha256_digest},
            **{"notes": dict, "skipped": [[str]]},
        }
    },
}


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Creates the directory if necessary, and locks it against other runs.

    Raises:
        UserError: the directory cannot be created, or another process uses it.
    """
    with writing_to(folder):
        files.make_directory(folder)
    with files.locked(folder, "--output"):
        yield


def check_output(output: str) -> None:
    """Checks, before a source is opened or downloaded, that a dataset can be prepared there.

    Raises:
        UserError: the directory cannot be made or written, or holds other files.
    """
    folder = pathlib.Path(output).expanduser()
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"Could not write to {folder}: {nearest} is no directory to write in")
    if nearest == folder and not any((folder / name).exists() for name in (LEDGER, METADATA)):
        _check_no_other_files(folder)


def _check_no_other_files(folder: pathlib.Path) -> None:
    # A run that was killed at its start leaves half a ledger and nothing else.
    if others := {path.name for path in folder.iterdir()} - {LEDGER + PARTIAL}:
        raise UserError(
            f"{folder} holds other files, e.g. {min(others)}. Choose an --output that is new, "
            "empty, or left by an earlier run of this command"
        )


class Ledger:
    """The finished shards of a dataset that is not complete yet: one file, replaced as a whole.

    A shard counts as finished once it is in the ledger; its file is complete by then. Its sums for
    the statistics are added to the ledger's sums (1.5 MB). Separate sums for each of ImageNet's
    1,300 shards would take 2 GB.

    Attributes:
        folder: the output directory.
        identity: everything that determines the files: source, settings, libraries.
        shards: summaries of the finished shards, by split and file name.
        counts: int64 [splits, classes], images of each class in these shards.
        moments: sums over the measured examples of these shards.
    """

    def __init__(self, folder: pathlib.Path, identity: dict[str, Any]):
        self.folder, self.identity = folder, identity
        self.shards: dict[str, dict[str, ShardSummary]] = {name: {} for name in identity["splits"]}
        self.counts = np.zeros((len(self.shards), identity["source"]["classes"]), np.int64)
        self.moments = Moments(identity["settings"]["size"])

    @classmethod
    def open(cls, folder: pathlib.Path, identity: dict[str, Any]) -> Ledger:
        """Reads the ledger of an earlier run, or creates one.

        Raises:
            UserError: the directory holds other files, or a run with other settings.
        """
        ledger = cls(folder, identity)
        exists = (folder / LEDGER).exists()
        if exists:
            ledger._load()
        else:
            _check_no_other_files(folder)
        remove_partial_files(folder)
        if not exists:
            ledger._save()
        return ledger

    def digests(self) -> dict[str, str]:
        """SHA-256 of each finished shard, by file name."""
        return {
            file: shard.sha256 for shards in self.shards.values() for file, shard in shards.items()
        }

    def add(self, split: str, file: str, result: ShardResult) -> None:
        """Records a finished shard; returns when the record is on disk.

        Raises:
            UserError: the disk is full.
        """
        self.shards[split][file] = result.summary
        self.counts[list(self.shards).index(split)] += result.counts
        self.moments.merge(result.moments)
        self._save()

    def _save(self) -> None:
        entries = {
            file: {"split": split, **dataclasses.asdict(shard)}
            for split, shards in self.shards.items()
            for file, shard in shards.items()
        }
        text = json.dumps({"identity": self.identity, "entries": entries})
        with writing_to(self.folder), write_atomically(self.folder / LEDGER) as file:
            np.savez(
                file,
                text=np.frombuffer(text.encode(), np.uint8),
                **self._arrays(),
            )

    def _load(self) -> None:
        path = self.folder / LEDGER
        try:
            arrays = read_arrays(path, ["text", *self._arrays()], _MAX_ARRAY)
            text = check(parse_json(arrays.pop("text").tobytes()), _FORM)
            for name, like in self._arrays().items():
                if arrays[name].shape != like.shape or arrays[name].dtype != like.dtype:
                    raise ValueError(f"{name} of {arrays[name].dtype} {arrays[name].shape}")
            for file, entry in text["entries"].items():
                if entry["split"] not in text["identity"]["splits"]:
                    raise ValueError(f"{file} of a split {entry['split']}")
        except (OSError, ValueError) as error:
            reason = str(error).removeprefix(f"{path} is damaged: ")
            raise UserError(
                f"{path} is damaged: {reason}. It lists the finished shards. Choose another "
                "--output"
            ) from None
        check_identity(self.folder, text["identity"], self.identity)
        self.counts, self.moments.pictures = arrays["counts"], int(arrays["pictures"])
        self.moments.total, self.moments.products = arrays["total"], arrays["products"]
        for file, entry in text["entries"].items():
            split, skipped = entry.pop("split"), [tuple(item) for item in entry.pop("skipped")]
            self.shards[split][file] = ShardSummary(**entry, skipped=skipped)

    def _arrays(self) -> dict[str, np.ndarray]:
        moments = self.moments
        return {
            "counts": self.counts,
            "pictures": np.array(moments.pictures),
            "total": moments.total,
            "products": moments.products,
        }

    def remove(self) -> None:
        """Deletes the ledger: the dataset is complete."""
        (self.folder / LEDGER).unlink(missing_ok=True)


def remove_partial_files(folder: pathlib.Path) -> None:
    """Removes the incomplete files of a run that was killed, and nothing with another name."""
    with writing_to(folder):
        files.remove_directories(folder)
        for path in folder.iterdir():
            if _PARTIAL_NAME.fullmatch(path.name) and (path.is_symlink() or path.is_file()):
                path.unlink()


def read_complete(
    folder: pathlib.Path, identity: dict[str, Any], workers: int
) -> tuple[dict[str, Any] | None, set[str]]:
    """Reads the report of a complete dataset, and finds shards that were damaged since.

    Returns:
        The report and the names of the damaged shards; None and an empty set if the dataset is not
        complete.

    Raises:
        UserError: the dataset was made with other settings, or a file besides the shards is
            damaged.
    """
    if (folder / LEDGER).exists() or not (folder / METADATA).exists():
        return None, set()
    report = read_report(folder)
    if report is None:
        raise UserError(
            f"{folder} holds a dataset that this command has not written: it has {METADATA} but no "
            f"{REPORT}. Choose another --output"
        )
    check_identity(folder, report, identity)
    digests = report_digests(report)
    damaged = set(digests) - verified_files(folder, digests, workers)
    others = sorted(damaged & set(report["files"]))
    if others:
        raise UserError(
            f"{others[0]} in {folder} is missing or has changed since it was written "
            f"({len(others)} such files). Remove the directory to prepare it again"
        )
    return report, damaged


def check_reproduced(path: pathlib.Path, sha256: str, result: ShardResult) -> None:
    """Checks that a lost shard has its former content again; removes it if not.

    Raises:
        UserError: the content differs.
    """
    if result.summary.sha256 != sha256:
        path.unlink()  # it may be as long as the lost one, and pass for it
        raise UserError(
            f"{path.name} was lost, and the new file differs from it. Perhaps the source has "
            "changed. Choose another --output"
        )


def check_identity(folder: pathlib.Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Checks that source, settings and libraries are the same as when a directory was begun.

    Raises:
        UserError: they are not; the message names the first difference.
    """
    for group in now:
        for name in sorted(set(before[group]) | set(now[group])):
            old, new = before[group].get(name), now[group].get(name)
            if old != new:
                raise UserError(
                    f"{folder} was begun with other {group}. {name} was {old or 'none'} and is "
                    f"{new or 'none'} now. Use the former value, or choose another --output"
                )
