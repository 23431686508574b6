"""Describes the statistics of a dataset, and lists its faults."""

from __future__ import annotations

import importlib.util
import pathlib
from typing import Any

import numpy as np

from alexnet_tf.data.dataset import is_synset
from alexnet_tf.inspection.dataset_stats import NAMED, DatasetStats
from alexnet_tf.inspection.duplicates import Duplicates

_IMBALANCE = 10  # times as many images in the largest class as in the smallest


def describe(stats: DatasetStats, classes: tuple[str, ...]) -> list[str]:
    """Describes one split, a line for each fact."""
    counts = stats.labels
    smallest, largest = int(counts.argmin()), int(counts.argmax())
    lines = [
        f"{stats.name}: {stats.images:,} images of {len(classes):,} classes, "
        f"{stats.bytes / 1e6:,.1f} MB",
        f"  images per class: {counts.min():,} ({classes[smallest]}) to {counts.max():,} "
        f"({classes[largest]}), mean {counts.mean():,.1f}",
    ]
    if stats.widths:
        width, height = np.array(stats.widths), np.array(stats.heights)
        sizes = ", ".join(
            f"{name} {size.min():,} to {size.max():,} (median {np.median(size):,.0f})"
            for name, size in (("width", width), ("height", height))
        )
        lines.append(f"  pixels: {sizes}")
    for title, counter in (("formats", stats.formats), ("unusual but usable", stats.notes)):
        if counter:
            found = ", ".join(f"{name} {count:,}" for name, count in counter.most_common())
            lines.append(f"  {title}: {found}")
    for name, reason in list(stats.unreadable.items())[:NAMED]:
        lines.append(f"  unreadable: {name} ({reason})")
    if stats.unlabelled:
        shown = ", ".join(stats.unlabelled[:NAMED])
        lines.append(f"  without a label, or of no class: {len(stats.unlabelled):,} ({shown})")
    if len(stats.unreadable) > NAMED:
        lines.append(f"  unreadable: {len(stats.unreadable):,} in all")
    return lines


def describe_duplicates(splits: list[DatasetStats], duplicates: Duplicates) -> list[str]:
    """Describes duplicate images of one split or two, a line for each kind."""
    lines = []
    between = (
        ("in both splits, the same bytes", duplicates.exact),
        ("the same bytes, with different labels", duplicates.relabelled),
        ("in both splits, similar to the eye", duplicates.alike),
    )
    for words, pairs in between if len(splits) > 1 else ():
        shown = "; ".join(f"{one} and {other}" for one, other in pairs[:NAMED])
        if pairs or pairs is not duplicates.relabelled:
            lines.append(f"{words}: {len(pairs):,}" + (f" ({shown})" if pairs else ""))
    for stats in splits:
        copies = [names for names in stats.contents.values() if len(names) > 1]
        shown = "; ".join(" and ".join(names[:2]) for names in sorted(copies)[:NAMED])
        lines.append(
            f"more than once in {stats.name}: {len(copies):,}" + (f" ({shown})" if copies else "")
        )
    return lines


def describe_classes(classes: tuple[str, ...]) -> str:
    """Compares the order of the labels with ImageNet's."""
    if not all(is_synset(name) for name in classes):
        return "classes: not WordNet synsets, so there is no official order to compare with"
    official = _official_synsets()
    if list(classes) == official:
        return "classes: ILSVRC-2012's 1,000 synsets in the official order"
    if list(classes) != sorted(classes):
        return "classes: synsets, but not sorted, so labels differ from everyone else's"
    missing = set(classes) - set(official)
    if missing:
        return f"classes: sorted synsets, {len(missing):,} of them not in ILSVRC-2012"
    return f"classes: {len(classes):,} of ILSVRC-2012's synsets, sorted"


def find_faults(
    splits: list[DatasetStats], duplicates: Duplicates, classes: tuple[str, ...]
) -> list[str]:
    """Lists faults and doubts of one split or two, a sentence each."""
    found = [fault for stats in splits for fault in _faults_of_split(stats, classes)]
    if duplicates.exact:
        found.append(
            f"{len(duplicates.exact):,} validation images are also in the training set, so the "
            "validation error will be too low"
        )
    if duplicates.relabelled:
        found.append(f"{len(duplicates.relabelled):,} of these have different labels in the splits")
    if duplicates.alike:
        found.append(
            f"{len(duplicates.alike):,} validation images look like images of the training set; if "
            "they are the same (see above), the validation error will be too low"
        )
    if describe_classes(classes).endswith("everyone else's"):
        found.append("the labels are not in ImageNet's order")
    return found


def _faults_of_split(stats: DatasetStats, classes: tuple[str, ...]) -> list[str]:
    found = []
    if stats.unreadable:
        found.append(
            f"{len(stats.unreadable):,} {stats.name} images cannot be read "
            f"({len(stats.unreadable) / stats.images:.2%})"
        )
    if stats.unlabelled:
        found.append(
            f"{len(stats.unlabelled):,} {stats.name} images have no label "
            f"({len(stats.unlabelled) / stats.images:.2%}); they are left out"
        )
    empty = [name for name, count in zip(classes, stats.labels, strict=True) if not count]
    if empty:
        found.append(f"{len(empty):,} classes have no {stats.name} images, e.g. {empty[0]}")
    elif stats.labels.max() >= _IMBALANCE * stats.labels.min():
        found.append(
            f"the largest {stats.name} class has at least {_IMBALANCE} times as many images as the "
            "smallest"
        )
    copies = sum(len(names) - 1 for names in stats.contents.values())
    if copies:
        found.append(f"{copies:,} {stats.name} images are copies of others")
    several = [list(names.values()) for names in stats.labels_of.values() if len(names) > 1]
    if several:
        found.append(
            f"{len(several):,} {stats.name} images are in several classes, e.g. "
            f"{' and '.join(several[0][:2])}"
        )
    return found


def conclude(findings: list[str], use: str = "train") -> list[str]:
    """The last lines of the report.

    Args:
        findings: faults and doubts.
        use: of the dataset, "train" or "evaluate".
    """
    if not findings:
        return [f"\nFindings: none. The dataset is fit to {use} on."]
    return [f"\nFindings: one can {use} on the dataset, but", *(f"  - {line}" for line in findings)]


def as_json(stats: DatasetStats, classes: tuple[str, ...]) -> dict[str, Any]:
    """All counts of a split as JSON values."""
    return {
        "images": stats.images,
        "bytes": stats.bytes,
        "classes": dict(zip(classes, stats.labels.tolist(), strict=True)),
        "formats": dict(stats.formats.most_common()),
        "notes": dict(stats.notes.most_common()),
        "unreadable": stats.unreadable,
        "unlabelled": len(stats.unlabelled),
        "copies": sorted(names for names in stats.contents.values() if len(names) > 1),
    }


def _official_synsets() -> list[str]:
    """ILSVRC-2012's synsets in label order, from a file of TFDS."""
    package = pathlib.Path(importlib.util.find_spec("tensorflow_datasets").origin).parent
    return (package / "datasets" / "imagenet2012" / "labels.txt").read_text().split()
