"""What became of every example, for people (report.txt) and for programs (report.json).

Neither holds a time or a place of this machine: the same files with the same settings give the same
bytes, whether or not the preparation was interrupted. (A folder's files are the same where their
times of change are: these are in its fingerprint.)
"""

from __future__ import annotations

import collections
import json
import pathlib
from typing import Any

from alexnet_tf.data.tfds import REPORT
from alexnet_tf.preparation.journal import Journal
from alexnet_tf.preparation.shards import PARTIAL, put

TEXT = "report.txt"
_NAMED = 100  # skipped pictures in the text; the other file has them all


def make_report(journal: Journal, classes: tuple[str, ...], ignored: int) -> dict[str, Any]:
    """Everything, for programs.

    Args:
        journal: of a preparation whose shards are all finished.
        classes: names in label order.
        ignored: entries of the source that are no files.
    """
    splits: dict[str, Any] = {
        name: {"examples": 0, "bytes": 0, "classes": dict(zip(classes, counts, strict=True)),
               "notes": collections.Counter(), "skipped": [], "shards": {}}
        for name, counts in zip(journal.identity["splits"], journal.counts.tolist(), strict=True)
    }  # fmt: skip
    for file, entry in sorted(journal.entries.items()):
        split = splits[entry.split]
        split["examples"] += entry.examples
        split["bytes"] += entry.bytes
        split["notes"].update(entry.notes)
        split["skipped"] += entry.skipped
        split["shards"][file] = {
            "examples": entry.examples, "bytes": entry.bytes, "sha256": entry.sha256
        }  # fmt: skip
    for split in splits.values():
        split["notes"] = dict(sorted(split["notes"].items()))
        split["skipped"].sort()
    return {
        **journal.identity,
        "ignored": ignored,
        "measured": journal.moments.pictures,
        "prepared": splits,
        "files": {},  # name → SHA-256 of what is no shard, once it is written
    }


def write_report(folder: pathlib.Path, report: dict[str, Any]) -> None:
    """Writes both files."""
    for name, text in ((REPORT, json.dumps(report, indent=1)), (TEXT, _text(report))):
        partial = folder / (name + PARTIAL)
        partial.write_text(text.rstrip() + "\n", errors="backslashreplace", encoding="utf-8")
        put(partial, folder / name)


def _text(report: dict[str, Any]) -> str:
    settings, source = report["settings"], report["source"]
    versions = ", ".join(f"{name} {version}" for name, version in report["libraries"].items())
    lines = [
        f"{source['dataset']}: squares of {settings['size']} pixels",
        "",
        f"source      {source['description']}, {source['classes']:,} classes",
        f"settings    {', '.join(f'{name} {value}' for name, value in settings.items())}",
        f"made with   {versions}",
        f"statistics  of {report['measured']:,} training pictures",
    ]
    if report["ignored"]:
        lines.append(f"ignored     {report['ignored']:,} entries that are no files")
    for name, split in report["prepared"].items():
        counts = split["classes"].values()
        lines += [
            "",
            f"{name}: {split['examples']:,} pictures in {len(split['shards']):,} shards, "
            f"{split['bytes'] / 1e6:,.1f} MB; {min(counts):,} to {max(counts):,} of a class",
        ]
        lines += [f"  {n:>9,}  {note}" for note, n in split["notes"].items()]
        reasons = collections.Counter(reason for _, reason in split["skipped"])
        lines += [f"  {n:>9,}  skipped: {reason}" for reason, n in sorted(reasons.items())]
        lines += [f"             {name}: {reason}" for name, reason in split["skipped"][:_NAMED]]
        if len(split["skipped"]) > _NAMED:
            lines.append(f"             and others, see {REPORT}")
    return "\n".join(lines)
