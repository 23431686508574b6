"""The report that `alexnet_tf.prepare` writes beside a dataset: each file's size and digest."""

from __future__ import annotations

import pathlib
from concurrent import futures
from typing import Any

from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import file_sha256
from alexnet_tf.system.progress import Progress
from alexnet_tf.system.untrusted import check, line, natural, plain_name, read_json, sha256_digest

STATISTICS = "statistics.npz"  # of the training set
REPORT = "report.json"  # is written last

_MAX_BYTES = 2**26  # of the report; it names every skipped image
_DESCRIBED = {"dataset_info.json", "features.json"}  # files that it must know
_FORM = {
    "prepared": {line: {"shards": {plain_name: {"bytes": natural, "sha256": sha256_digest}}}},
    "files": {plain_name: sha256_digest},
}


def read_report(folder: pathlib.Path) -> dict[str, Any] | None:
    """The report of `alexnet_tf.prepare`; None if another program wrote the dataset.

    Raises:
        UserError: it cannot be read, or lacks the digest of a file.
    """
    path = folder / REPORT
    try:
        report = read_json(path, limit=_MAX_BYTES)
        if "prepared" not in report or "files" not in report:
            return None
        check(report, _FORM)
        described = {*_DESCRIBED, *({STATISTICS} if "train" in report["prepared"] else ())}
        if missing := described - report["files"].keys():
            raise ValueError(f"it has no digest of {min(missing)}")
    except FileNotFoundError:
        return None
    except UserError as error:
        raise UserError(f"{error}. Prepare the dataset again") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}. Prepare the dataset again") from None
    return report


def report_digests(report: dict[str, Any]) -> dict[str, str]:
    """From the name of each file to its SHA-256."""
    return {**{name: shard["sha256"] for name, shard in _shards(report)}, **report["files"]}


def report_sizes(report: dict[str, Any]) -> dict[str, int]:
    """From the name of each shard to its size, bytes."""
    return {name: shard["bytes"] for name, shard in _shards(report)}


def verified_files(folder: pathlib.Path, expected: dict[str, str], threads: int) -> set[str]:
    """The files that are there and unchanged.

    Args:
        folder: that holds them.
        expected: from a file's name to its SHA-256, in hexadecimal.
        threads: that read files at the same time.
    """
    found = set()
    with (
        Progress("checking", len(expected), "files") as progress,
        futures.ThreadPoolExecutor(threads) as pool,  # hashing releases Python's lock
    ):
        digests_now = pool.map(lambda name: _sha256(folder / name), expected)
        for (name, digest), now in zip(expected.items(), digests_now, strict=True):
            if now == digest:
                found.add(name)
            progress.advance(1)
    return found


def _sha256(path: pathlib.Path) -> str | None:
    """In hexadecimal; None if there is no such regular file."""
    return file_sha256(path) if path.is_file() else None


def _shards(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [pair for split in report["prepared"].values() for pair in split["shards"].items()]
