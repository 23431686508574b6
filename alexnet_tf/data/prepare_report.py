"""What a directory that `prepare` wrote says about its own files."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from alexnet_tf.system.errors import UserError

REPORT = "report.json"  # `preparation/report.py` writes it, last of all


def read_report(folder: pathlib.Path) -> dict[str, Any] | None:
    """The report; None if there is none, as others wrote the dataset.

    Raises:
        UserError: it cannot be read.
    """
    path = folder / REPORT
    if not path.exists():
        return None
    try:
        report = json.loads(path.read_text("utf-8"))
        return report if "prepared" in report and "files" in report else None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"Expected {path} as it was written. Received: {error}") from None


def sizes(report: dict[str, Any]) -> dict[str, int]:
    """Bytes of each shard, by the name of its file."""
    return {name: shard["bytes"] for name, shard in _shards(report)}


def digests(report: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of each file, by its name."""
    return {**{name: shard["sha256"] for name, shard in _shards(report)}, **report["files"]}


def _shards(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [pair for split in report["prepared"].values() for pair in split["shards"].items()]
