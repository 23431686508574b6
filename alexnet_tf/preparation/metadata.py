"""Writes the files of a dataset besides its shards: statistics, reports, and TFDS's description.

report.json is for programs, report.txt for people; both account for every example. Neither holds a
time or a path of this machine: the same files with the same settings give the same bytes, whether
or not the preparation was interrupted. (For a folder, the same files includes their modification
times.)
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from alexnet_tf.data.prepared import REPORT, STATISTICS
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.preparation.directory import LEDGER, Ledger
from alexnet_tf.preparation.sources import Source
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import (
    file_sha256,
    fsync_path,
    new_directory,
    remove,
    write_atomically,
    writing_to,
)
from alexnet_tf.system.paths import tensorflow_path

TEXT = "report.txt"
_NAMED = 100  # skipped images in the text; report.json has them all


def write_metadata(source: Source, ledger: Ledger) -> dict[str, Any]:
    """Writes these files once every shard is in the ledger, and then removes the ledger.

    Returns:
        The report.

    Raises:
        UserError: a split without a usable image, or a full disk.
    """
    folder = ledger.folder
    report = _make_report(ledger, source.classes, source.ignored)
    for name, split in report["prepared"].items():
        if not split["examples"]:
            raise UserError(f"None of the {name} images can be used")
    shards = ledger.digests().keys()
    with writing_to(folder, tf.errors.OpError):
        if ledger.moments.pictures:  # else there is no training set
            Statistics.of(ledger.moments).save(str(folder / STATISTICS))
        _write_tfds_metadata(folder, source, report)
        written = {path.name for path in folder.iterdir()} - {*shards, LEDGER, REPORT, TEXT}
        for name in sorted(written):  # on disk before the ledger is removed
            fsync_path(folder / name)
            report["files"][name] = file_sha256(folder / name)
        for name, text in ((REPORT, json.dumps(report, indent=1)), (TEXT, _report_text(report))):
            with write_atomically(folder / name) as file:  # this also forces the names to disk
                file.write(f"{text.rstrip()}\n".encode(errors="backslashreplace"))
        ledger.remove()
    return report


def _write_tfds_metadata(folder: pathlib.Path, source: Source, report: dict[str, Any]) -> None:
    """Writes features and splits for `tfds.builder_from_directory`.

    TFDS follows links. So it writes into a new directory, and the files are moved. Of the shards it
    needs the names.
    """
    scratch = new_directory(folder)
    shards = [shard for split in report["prepared"].values() for shard in split["shards"]]
    try:
        for shard in shards:
            (scratch / shard).touch()
        with tensorflow_path(scratch) as path:
            _write_with_tfds(path, source, report)
        for name in {path.name for path in scratch.iterdir()} - {*shards}:
            os.replace(scratch / name, folder / name)
    finally:
        remove(scratch)


def _write_with_tfds(folder: str, source: Source, report: dict[str, Any]) -> None:
    size = report["settings"]["size"]
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(size, size, 3), encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(names=source.classes),
                "file_name": tfds.features.Text(),
            }
        ),
        split_infos=[
            tfds.core.SplitInfo(
                name, [shard["examples"] for shard in split["shards"].values()], split["bytes"]
            )
            for name, split in report["prepared"].items()
        ],
        version="1.0.0",
        supervised_keys=("image", "label"),
        description=f"Squares of {size} pixels: {source.description}.",
        check_data=False,
    )


def _make_report(ledger: Ledger, classes: tuple[str, ...], ignored: int) -> dict[str, Any]:
    """Returns the content of report.json."""
    splits = {}
    for (name, shards), counts in zip(ledger.shards.items(), ledger.counts.tolist(), strict=True):
        summaries = [shards[file] for file in sorted(shards)]
        notes: collections.Counter[str] = collections.Counter()
        for shard in summaries:
            notes.update(shard.notes)
        splits[name] = {
            "examples": sum(shard.examples for shard in summaries),
            "bytes": sum(shard.bytes for shard in summaries),
            "classes": dict(zip(classes, counts, strict=True)),
            "notes": dict(sorted(notes.items())),
            "skipped": sorted(item for shard in summaries for item in shard.skipped),
            "shards": {
                file: {key: getattr(shards[file], key) for key in ("examples", "bytes", "sha256")}
                for file in sorted(shards)
            },
        }
    return {
        **ledger.identity,
        "ignored": ignored,
        "measured": ledger.moments.pictures,
        "prepared": splits,
        "files": {},  # name → SHA-256 of the files besides the shards, added when they are written
    }


def _report_text(report: dict[str, Any]) -> str:
    """Returns the content of report.txt."""
    settings, source = report["settings"], report["source"]
    versions = ", ".join(f"{name} {version}" for name, version in report["libraries"].items())
    lines = [
        f"{source['dataset']}: squares of {settings['size']} pixels",
        "",
        f"source      {source['description']}, {source['classes']:,} classes",
        f"settings    {', '.join(f'{name} {value}' for name, value in settings.items())}",
        f"made with   {versions}",
        f"statistics  of {report['measured']:,} training images",
    ]
    if report["ignored"]:
        lines.append(f"ignored     {report['ignored']:,} entries that are no image files")
    for name, split in report["prepared"].items():
        counts = split["classes"].values()
        lines += [
            "",
            f"{name}: {split['examples']:,} images in {len(split['shards']):,} shards, "
            f"{split['bytes'] / 1e6:,.1f} MB; {min(counts):,} to {max(counts):,} per class",
        ]
        lines += [f"  {n:>9,}  {note}" for note, n in split["notes"].items()]
        reasons = collections.Counter(reason for _, reason in split["skipped"])
        lines += [f"  {n:>9,}  skipped: {reason}" for reason, n in sorted(reasons.items())]
        lines += [f"             {name}: {reason}" for name, reason in split["skipped"][:_NAMED]]
        if len(split["skipped"]) > _NAMED:
            lines.append(f"             and others, see {REPORT}")
    return "\n".join(lines)
