"""What a census means, in words."""

from __future__ import annotations

import importlib.util
import pathlib
from typing import Any

import numpy as np

from alexnet_tf.data.synsets import is_synset
from alexnet_tf.inspection.dataset_stats import NAMED, DatasetStats
from alexnet_tf.inspection.duplicates import Duplicates

_IMBALANCE = 10  # times as many images in the largest class as in the smallest


def describe(census: DatasetStats, classes: tuple[str, ...]) -> list[str]:
    """The facts of one split, a line each."""
    counts = census.labels
    smallest, largest = int(counts.argmin()), int(counts.argmax())
    lines = [
        f"{census.name}: {census.images:,} images of {len(classes):,} classes, "
        f"{census.bytes / 1e6:,.1f} MB",
        f"  a class: {counts.min():,} ({classes[smallest]}) to {counts.max():,} "
        f"({classes[largest]}), mean {counts.mean():,.1f}",
    ]
    if census.widths:
        width, height = np.array(census.widths), np.array(census.heights)
        sides = ", ".join(
            f"{name} {side.min():,} to {side.max():,} (median {np.median(side):,.0f})"
            for name, side in (("width", width), ("height", height))
        )
        lines.append(f"  pixels: {sides}")
    for title, counter in (("formats", census.formats), ("odd but usable", census.notes)):
        if counter:
            found = ", ".join(f"{name} {count:,}" for name, count in counter.most_common())
            lines.append(f"  {title}: {found}")
    for title, reason in list(census.unreadable.items())[:NAMED]:
        lines.append(f"  unreadable: {title} ({reason})")
    if len(census.unreadable) > NAMED:
        lines.append(f"  unreadable: {len(census.unreadable):,} in all")
    return lines


def describe_doubles(
    train: DatasetStats, validation: DatasetStats, doubles: Duplicates
) -> list[str]:
    """Images that are there twice, a line each kind."""
    lines = []
    for words, pairs in (
        ("in both splits, byte for byte", doubles.exact),
        ("of these with another label in each", doubles.relabelled),
        ("alike in both splits, to look at", doubles.alike),
    ):
        shown = "; ".join(f"{one} and {other}" for one, other in pairs[:NAMED])
        if pairs or pairs is not doubles.relabelled:
            lines.append(f"{words}: {len(pairs):,}" + (f" ({shown})" if pairs else ""))
    for census in (train, validation):
        again = [titles for titles in census.contents.values() if len(titles) > 1]
        shown = "; ".join(" and ".join(titles[:2]) for titles in sorted(again)[:NAMED])
        lines.append(
            f"more than once in {census.name}: {len(again):,}" + (f" ({shown})" if again else "")
        )
    return lines


def describe_classes(classes: tuple[str, ...]) -> str:
    """How the order of the labels stands to ImageNet's."""
    if not all(is_synset(name) for name in classes):
        return "classes: not synsets of WordNet, so there is no official order to compare with"
    official = _official_synsets()
    if list(classes) == official:
        return "classes: ILSVRC-2012's 1,000 synsets in the official order"
    if list(classes) != sorted(classes):
        return "classes: synsets, but not sorted: labels differ from everyone else's"
    missing = set(classes) - set(official)
    if missing:
        return f"classes: sorted synsets, {len(missing):,} of them not in ILSVRC-2012"
    return f"classes: {len(classes):,} of ILSVRC-2012's synsets, sorted"


def findings(
    train: DatasetStats, validation: DatasetStats, doubles: Duplicates, classes: tuple[str, ...]
) -> list[str]:
    """What is wrong or doubtful, a sentence each; none if all is well."""
    found = []
    for census in (train, validation):
        if census.unreadable:
            found.append(
                f"{len(census.unreadable):,} {census.name} images cannot be read "
                f"({len(census.unreadable) / census.images:.2%})"
            )
        empty = [name for name, count in zip(classes, census.labels, strict=True) if not count]
        if empty:
            found.append(f"{len(empty):,} classes have no {census.name} images, e.g. {empty[0]}")
        elif census.labels.max() >= _IMBALANCE * census.labels.min():
            found.append(f"the classes of {census.name} are of very different sizes")
        again = sum(len(titles) - 1 for titles in census.contents.values())
        if again:
            found.append(f"{again:,} {census.name} images are copies of others")
        several = [list(titles.values()) for titles in census.labels_of.values() if len(titles) > 1]
        if several:
            found.append(
                f"{len(several):,} {census.name} images are in several classes, e.g. "
                f"{' and '.join(several[0][:2])}"
            )
    if doubles.exact:
        found.append(
            f"{len(doubles.exact):,} validation images are in the training set too, so the "
            "validation error will be too low"
        )
    if doubles.relabelled:
        found.append(f"{len(doubles.relabelled):,} of these have another label in each split")
    if doubles.alike:
        found.append(
            f"{len(doubles.alike):,} validation images look like others of the training set; if "
            "they are the same (see above), the validation error will be too low"
        )
    if describe_classes(classes).endswith("everyone else's"):
        found.append("the labels are not in ImageNet's order")
    return found


def conclude(found: list[str]) -> list[str]:
    """The verdict, a line each."""
    if not found:
        return ["\nVerdict: nothing is wrong with it."]
    return ["\nVerdict: it can be trained on, but mind:", *(f"  - {line}" for line in found)]


def as_json(census: DatasetStats, classes: tuple[str, ...]) -> dict[str, Any]:
    """All that was counted in a split, for programs."""
    return {
        "images": census.images,
        "bytes": census.bytes,
        "classes": dict(zip(classes, census.labels.tolist(), strict=True)),
        "formats": dict(census.formats.most_common()),
        "notes": dict(census.notes.most_common()),
        "unreadable": census.unreadable,
        "copies": sorted(titles for titles in census.contents.values() if len(titles) > 1),
    }


def _official_synsets() -> list[str]:
    """ILSVRC-2012's, in label order, as TFDS ships them."""
    package = pathlib.Path(importlib.util.find_spec("tensorflow_datasets").origin).parent
    return (package / "datasets" / "imagenet2012" / "labels.txt").read_text().split()
