"""Runs a whole preparation: from a source to a directory that TFDS reads."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import importlib.metadata
import pathlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import features as pillow

import alexnet_tf
from alexnet_tf.data.class_folders import check_class_names
from alexnet_tf.data.decode_errors import UNLABELLED
from alexnet_tf.data.prepared import report_digests, verified_files
from alexnet_tf.data.statistics import MAX_IMAGES
from alexnet_tf.preparation import directory, resize
from alexnet_tf.preparation.metadata import write_metadata
from alexnet_tf.preparation.plan import Settings, Shard, plan
from alexnet_tf.preparation.shards import ShardResult, ShardTask
from alexnet_tf.preparation.sources import Source
from alexnet_tf.preparation.workers import Pool
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import PARTIAL, writing_to
from alexnet_tf.system.paths import local_path
from alexnet_tf.system.progress import Progress
from alexnet_tf.system.signals import Interrupt

_NAMED = 3  # skipped images in a message


@dataclasses.dataclass(frozen=True)
class Result:
    """How a preparation ended.

    Attributes:
        report: report.json; None if the preparation was interrupted.
        images: number of images, used or skipped, in the shards that this run finished.
        interrupted_by: the signal that interrupted it, or None.
    """

    report: dict[str, Any] | None
    images: int
    interrupted_by: signal.Signals | None = None


def prepare_dataset(
    source: Source,
    output: str,
    settings: Settings,
    workers: int,
    max_skipped: float,
    new_pool: Callable[[int], Pool] = Pool,
) -> Result:
    """Makes the shards that are missing, then the statistics and reports.

    Args:
        source: the images.
        output: the directory: new, empty, or left by an earlier run.
        settings: of the dataset.
        workers: processes.
        max_skipped: the largest share of a split's images that may be unusable.
        new_pool: makes a pool with the given number of processes.

    Raises:
        UserError: class names that TFDS cannot keep, a directory that holds something else or is in
            use, too many unusable images, an image that cannot be read, a full disk.
    """
    for split, reader in source.splits.items():
        if not reader.count:
            raise UserError(f"The split {split} has no images")
    check_class_names(source.classes)
    folder = local_path(output, "--output", utf8=True)
    identity = _identity(source, settings)
    with directory.locked(folder):
        report, damaged = directory.read_complete(folder, identity, workers)
        if report is None:
            ledger = directory.Ledger.open(folder, identity)
            digests = ledger.digests()
            finished = verified_files(folder, digests, workers)
            _check_skipped(ledger, source, max_skipped)
        else:
            digests = report_digests(report)
            finished = digests.keys() - damaged
            directory.remove_partial_files(folder)
            if damaged:
                print(f"missing or changed shards, which are made again: {len(damaged):,}")

        def finish(shard: Shard, result: ShardResult) -> None:
            """Adds a new shard to the ledger, or checks one that was made again."""
            if shard.file in digests:
                directory.check_reproduced(folder / shard.file, digests[shard.file], result)
            else:
                ledger.add(shard.split, shard.file, result)
                _check_skipped(ledger, source, max_skipped)

        todo = [s for s in plan(source, settings, MAX_IMAGES) if s.file not in finished]
        images, stopped_by = _make_shards(source, settings, folder, todo, new_pool(workers), finish)
        if stopped_by is not None:
            return Result(None, images, stopped_by)
        return Result(report or write_metadata(source, ledger), images)


def _check_skipped(ledger: directory.Ledger, source: Source, share: float) -> None:
    """Ends the run if too large a share of a split's images cannot be used."""
    for split, reader in source.splits.items():
        skipped = [item for shard in ledger.shards[split].values() for item in shard.skipped]
        if len(skipped) > share * reader.count:
            reasons = collections.Counter(reason for _, reason in skipped).most_common()
            why = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
            first = ", ".join(name for name, _ in skipped[:_NAMED])
            raise UserError(
                f"{len(skipped):,} of the {reader.count:,} {split} images cannot be used so far "
                f"({why}): {first}{', ...' * (len(skipped) > _NAMED)}. At most {share:.2%} may be "
                "unusable. Repair or remove them, or raise --max_skipped"
            )


def _make_shards(
    source: Source,
    settings: Settings,
    folder: pathlib.Path,
    shards: list[Shard],
    pool: Pool,
    finish: Callable[[Shard, ShardResult], None],
) -> tuple[int, signal.Signals | None]:
    """Makes shards until all are made or a signal comes.

    Each worker process holds one shard in memory, and this process holds the list of names.

    Returns:
        The number of images in the finished shards, and the signal.
    """
    by_path = {folder / shard.file: shard for shard in shards}
    total = sum(reader.count for reader in source.splits.values())
    done = total - sum(len(shard.indices) for shard in shards)
    images = 0
    with (
        Interrupt() as interrupt,
        pool,
        Progress("preparing", total, "images", done=done) as progress,
    ):
        tasks = _tasks(source, settings, by_path, interrupt)
        for task, result in pool.map(tasks, interrupt, progress.advance):
            finish(by_path[task.path], result)
            _scratch(task.path).unlink(missing_ok=True)
            images += len(task.examples)
    return images, interrupt.signal


def _tasks(
    source: Source,
    settings: Settings,
    shards: dict[pathlib.Path, Shard],
    stop: Callable[[], bool],
) -> Iterator[ShardTask]:
    for path, shard in shards.items():
        order = np.argsort(shard.indices)
        examples = []
        with writing_to(path.parent):
            for example in source.splits[shard.split].examples(
                shard.indices[order], _scratch(path)
            ):
                if stop():
                    return
                examples.append(example)
        classes = range(len(source.classes))
        unlabelled = [i for i, example in enumerate(examples) if example.label not in classes]
        yield ShardTask(
            path, examples, order, shard.measured[order], len(classes), settings.size,
            settings.quality, dict.fromkeys(unlabelled, UNLABELLED),
        )  # fmt: skip


def _scratch(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.images{PARTIAL}")


def _identity(source: Source, settings: Settings) -> dict[str, Any]:
    """Everything that determines the dataset's bytes; a run resumes only if it is unchanged."""
    names = "\0".join(source.classes).encode(errors="surrogateescape")
    return {
        "source": {
            "dataset": source.dataset,
            "description": source.description,
            "classes": len(source.classes),
            "names": hashlib.sha256(names).hexdigest(),
        },
        "splits": {
            name: f"{reader.count} pictures, {reader.fingerprint()}"
            for name, reader in source.splits.items()
        },
        "settings": dataclasses.asdict(settings),
        "libraries": {
            "alexnet_tf": alexnet_tf.__version__,
            "Pillow": importlib.metadata.version("pillow"),
            "libjpeg-turbo": pillow.version("libjpeg_turbo") or "none",
            **resize.libraries(),
        },
    }
