"""A whole preparation: from a source to a directory that TFDS reads, or to where it was stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import pathlib
import signal
from typing import Any

from PIL import features as pillow

import alexnet_tf
from alexnet_tf.data.statistics import MAX_IMAGES
from alexnet_tf.data.tfds import digests, verified_files
from alexnet_tf.preparation import directory, turbojpeg
from alexnet_tf.preparation.assembly import SkipLimit, prepare_shards
from alexnet_tf.preparation.journal import Finished, Journal
from alexnet_tf.preparation.metadata import finish
from alexnet_tf.preparation.plan import Settings, plan
from alexnet_tf.preparation.sources import Source
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.signals import Interrupt


@dataclasses.dataclass(frozen=True)
class Result:
    """How a preparation ended.

    Attributes:
        report: of all that there is, see `report.py`; None if it was interrupted.
        images: pictures that this run went through.
        interrupted_by: the signal, or None.
    """

    report: dict[str, Any] | None
    images: int
    interrupted_by: signal.Signals | None = None


def prepare_dataset(
    source: Source, output: str, settings: Settings, workers: int, max_skipped: float
) -> Result:
    """Prepares what an earlier run has not, and the statistics and reports of it all.

    Args:
        source: the pictures.
        output: the directory: new, empty, or left by an earlier run.
        settings: of the dataset.
        workers: processes.
        max_skipped: the share of a split's pictures that may be unusable.

    Raises:
        UserError: class names that TFDS cannot keep, a directory of something else or in use, too
            many unusable pictures, one that cannot be read, a full disk.
    """
    for split, pictures in source.splits.items():
        if not pictures.count:
            raise UserError(f"Expected pictures in {split}. Received: none")
    _check_names(source.classes)
    folder = pathlib.Path(output).expanduser()
    identity = _identity(source, settings)
    with directory.locked(folder):
        report, damaged = directory.complete(folder, identity, workers)
        if report is not None:
            return _repair(source, settings, folder, report, damaged, workers)
        journal = Journal(folder, identity, len(source.splits), len(source.classes))
        directory.begin(folder, journal)
        expected = {file: entry.sha256 for file, entry in journal.entries.items()}
        finished = verified_files(folder, expected, workers)
        limit = SkipLimit(source, max_skipped)
        for file in sorted(finished):
            limit.add(journal.entries[file].split, journal.entries[file].skipped)
        shards = plan(source, settings, MAX_IMAGES)
        todo = [shard for shard in shards if shard.file not in finished]
        with Interrupt() as interrupt:
            images = prepare_shards(source, settings, todo, journal, limit, workers, interrupt)
        if interrupt():
            return Result(None, images, interrupt.signal)
        return Result(finish(source, journal), images)


def _repair(
    source: Source,
    settings: Settings,
    folder: pathlib.Path,
    report: dict[str, Any],
    damaged: set[str],
    workers: int,
) -> Result:
    """Makes the damaged shards of a finished directory again."""
    if not damaged:
        return Result(report, images=0)
    print(f"shards that are not as they were written, and are made again: {len(damaged):,}")
    shards = [shard for shard in plan(source, settings, MAX_IMAGES) if shard.file in damaged]
    finished = Finished(folder, digests(report))
    limit = SkipLimit(source, share=1.0)  # it was kept when they were made
    with Interrupt() as interrupt:
        images = prepare_shards(source, settings, shards, finished, limit, workers, interrupt)
    stopped = interrupt()
    return Result(None if stopped else report, images, interrupt.signal if stopped else None)


def _check_names(classes: tuple[str, ...]) -> None:
    """Refuses names that would not come back from TFDS's list of them, a line of UTF-8 each."""
    for name in classes:
        kept = name.encode(errors="ignore").decode().strip()
        if kept != name or name.splitlines() != [name]:
            raise UserError(
                "Expected names of classes in UTF-8, without line breaks, and without spaces "
                f"around them. Received: {name!r}; rename it"
            )


def _identity(source: Source, settings: Settings) -> dict[str, Any]:
    """All that the bytes of the dataset depend on; a run goes on only where this is the same."""
    names = "\0".join(source.classes).encode(errors="surrogateescape")
    return {
        "source": {
            "dataset": source.dataset,
            "description": source.description,
            "classes": len(source.classes),
            "names": hashlib.sha256(names).hexdigest(),
        },
        "splits": {
            name: f"{pictures.count} pictures, {pictures.fingerprint()}"
            for name, pictures in source.splits.items()
        },
        "settings": dataclasses.asdict(settings),
        "libraries": {
            "alexnet_tf": alexnet_tf.__version__,
            "Pillow": importlib.metadata.version("pillow"),
            "libjpeg-turbo": pillow.version("libjpeg_turbo") or "none",
            **turbojpeg.libraries(),
        },
    }
