"""What a directory that `prepare` wrote says about its own files."""

from __future__ import annotations

import json
import pathlib
from typing import Any

REPORT = "report.json"  # `preparation/report.py` writes it, last of all


def recorded_sizes(folder: str) -> dict[str, int]:
    """Bytes of each shard, by the name of its file; nothing if others wrote the dataset."""
    return {name: shard["bytes"] for name, shard in _shards(_read(folder)).items()}


def recorded_digests(folder: str) -> dict[str, str]:
    """SHA-256 of each file, by its name; nothing if others wrote the dataset."""
    report = _read(folder)
    digests = {name: shard["sha256"] for name, shard in _shards(report).items()}
    return {**digests, **report.get("files", {})}


def _shards(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    splits = report.get("prepared", {}).values()
    return {name: shard for split in splits for name, shard in split["shards"].items()}


def _read(folder: str) -> dict[str, Any]:
    path = pathlib.Path(folder) / REPORT
    return json.loads(path.read_text("utf-8")) if path.exists() else {}
