"""A look at every image of a dataset: what it is, and whether it is there twice.

Images are parsed to their end but not decoded at full size, by as many threads as there are cores.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import io
import os
from collections.abc import Iterator
from concurrent import futures

import numpy as np
from PIL import Image

from alexnet_tf.data.dataset import Split
from alexnet_tf.data.image_checks import ImageInfo, examine, read_file
from alexnet_tf.system.progress import Progress

_BATCH = 64  # images that a thread takes at a time
_AHEAD = 4  # batches waiting for each thread, so that memory stays bounded
_GRID = (17, 16)  # pixels: 16 differences in each of 16 rows, 256 bits
NAMED = 5  # examples in a message


@dataclasses.dataclass
class DatasetStats:
    """What was found in a split.

    Attributes:
        name: of the split.
        labels: how many images there are of each class, [classes].
        formats: "JPEG", "PNG", ... → images.
        notes: what is odd → images.
        unreadable: title → reason.
        widths, heights: pixels of each readable image.
        contents: hash of the bytes → titles.
        labels_of: hash of the bytes → label → the first title that has it.
        looks: fingerprint of what is seen → titles; `doubles.py` compares them.
        bytes: of all images.
    """

    name: str
    labels: np.ndarray
    formats: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    notes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)
    widths: list[int] = dataclasses.field(default_factory=list)
    heights: list[int] = dataclasses.field(default_factory=list)
    contents: dict[bytes, list[str]] = dataclasses.field(default_factory=dict)
    labels_of: dict[bytes, dict[int, str]] = dataclasses.field(default_factory=dict)
    looks: dict[bytes, list[str]] = dataclasses.field(default_factory=dict)
    bytes: int = 0

    @property
    def images(self) -> int:
        """How many, readable or not."""
        return int(self.labels.sum())

    def add(self, title: str, label: int, facts: ImageInfo, size: int, hashes: tuple) -> None:
        """Counts one image."""
        self.labels[label] += 1
        self.bytes += size
        content, look = hashes
        self.contents.setdefault(content, []).append(title)
        self.labels_of.setdefault(content, {}).setdefault(label, title)
        if facts.reason is not None:
            self.unreadable[title] = facts.reason
            return
        self.formats[facts.format] += 1
        self.notes.update(note for note in facts.notes if note != facts.format)
        self.widths.append(facts.width)
        self.heights.append(facts.height)
        if look is not None:
            self.looks.setdefault(look, []).append(title)


def collect_stats(split: Split, classes: int) -> DatasetStats:
    """Looks at every image of a split."""
    census = DatasetStats(split.name, np.zeros(classes, int))
    threads = os.cpu_count() or 1
    with (
        futures.ThreadPoolExecutor(threads) as pool,  # Pillow decodes outside the lock
        Progress(f"looking at {split.name}", split.examples, "images") as progress,
    ):
        waiting: collections.deque[futures.Future] = collections.deque()
        for examples in _examples(split):
            waiting.append(pool.submit(_look_at_all, split.files, examples))
            if len(waiting) > _AHEAD * threads:
                _count(census, waiting.popleft().result(), progress)
        for future in waiting:
            _count(census, future.result(), progress)
    return census


def _examples(split: Split) -> Iterator[list[tuple[str, bytes, int]]]:
    """Batches of title, path or bytes, and label."""
    for records in split.in_order().batch(_BATCH):
        images, labels = (values.numpy() for values in split.parse(records))
        titles = map(split.title, records["index"].numpy().tolist(), images)
        yield list(zip(titles, images, labels.tolist(), strict=True))


def _look_at_all(files: bool, examples: list[tuple[str, bytes, int]]) -> list[tuple]:
    return [(title, label, *_look_at(files, image)) for title, image, label in examples]


def _look_at(files: bool, image: bytes) -> tuple[ImageInfo, int, tuple[bytes, bytes | None]]:
    if files:
        try:
            image = read_file(image.decode())
        except OSError as error:
            return ImageInfo(reason=error.strerror), 0, (image, None)
    facts = examine(image)
    look = _fingerprint(image) if facts.reason is None else None
    return facts, len(image), (hashlib.blake2b(image, digest_size=16).digest(), look)


def _fingerprint(encoded: bytes) -> bytes | None:
    """Where brightness rises from left to right, in a grid; None if it hardly ever does."""
    image = Image.open(io.BytesIO(encoded))
    image.draft("L", (64, 64))
    grid = np.asarray(image.convert("L").resize(_GRID, Image.Resampling.BOX)).astype(int)
    rises = np.diff(grid, axis=1) > 0
    return np.packbits(rises).tobytes() if 0.1 < rises.mean() < 0.9 else None


def _count(census: DatasetStats, found: list[tuple], progress: Progress) -> None:
    for title, label, facts, size, hashes in found:
        census.add(title, label, facts, size, hashes)
    progress.advance(len(found))
