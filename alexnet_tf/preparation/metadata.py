"""What a dataset has besides its shards: statistics, reports, and what TFDS wants to know."""

from __future__ import annotations

import pathlib
from typing import Any

import tensorflow_datasets as tfds

from alexnet_tf.data.statistics import Statistics
from alexnet_tf.data.tfds import REPORT, STATISTICS
from alexnet_tf.preparation.journal import NAME, Journal
from alexnet_tf.preparation.report import TEXT, make_report, write_report
from alexnet_tf.preparation.shards import room, sha256
from alexnet_tf.preparation.sources import Source
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import fsync_path


def finish(source: Source, journal: Journal) -> dict[str, Any]:
    """Writes all that, once every shard is in the journal; then the journal has done its work.

    Returns:
        The report.

    Raises:
        UserError: a split without a usable picture, or a full disk.
    """
    folder = journal.folder
    report = make_report(journal, source.classes, source.ignored)
    for split in source.splits:
        if not report["prepared"][split]["examples"]:
            raise UserError(f"Expected usable pictures in {split}. Received: none")
    with room(folder):
        Statistics.of(journal.moments).save(str(folder / STATISTICS))
        _write_metadata(folder, source, report)
        written = {path.name for path in folder.iterdir()} - {*journal.entries, NAME, REPORT, TEXT}
        for name in sorted(written):  # safe before the journal goes, by which they could be redone
            fsync_path(folder / name)
            report["files"][name] = sha256(folder / name)
        write_report(folder, report)  # and with it the names in the directory
        journal.remove()
    return report


def _write_metadata(folder: pathlib.Path, source: Source, report: dict[str, Any]) -> None:
    """Features and splits, for `tfds.builder_from_directory`."""
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
