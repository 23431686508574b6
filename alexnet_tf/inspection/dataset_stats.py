"""Statistics of every image of a split: labels, formats, sizes, damage, and hashes for duplicates.

Images are parsed to their end but not decoded at full size. There is one thread for each core.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import io
from collections.abc import Iterator
from concurrent import futures

import numpy as np
from PIL import Image

from alexnet_tf.data.dataset import NO_LABEL, Split
from alexnet_tf.data.image_checks import ImageInfo, examine, read_file
from alexnet_tf.system.processes import usable_cores
from alexnet_tf.system.progress import Progress

_BATCH = 64  # images that a thread takes at a time
_AHEAD = 4  # batches that wait for each thread; limits the memory
_GRID = (17, 16)  # pixels: 16 differences in each of 16 rows, 256 bits
NAMED = 5  # examples in a message


@dataclasses.dataclass
class DatasetStats:
    """Statistics of a split.

    Attributes:
        name: of the split.
        labels: images of each class, [classes].
        formats: "JPEG", "PNG", ... → images.
        notes: unusual property → images.
        unreadable: name of an example → reason.
        unlabelled: names of examples without a label.
        widths, heights: pixels of each readable image.
        contents: hash of the bytes → names of examples.
        labels_of: hash of the bytes → label → name of the first example that has it.
        perceptual_hashes: hash of the visible content → names; `duplicates.py` compares them.
        bytes: of all images.
    """

    name: str
    labels: np.ndarray
    formats: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    notes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)
    unlabelled: list[str] = dataclasses.field(default_factory=list)
    widths: list[int] = dataclasses.field(default_factory=list)
    heights: list[int] = dataclasses.field(default_factory=list)
    contents: dict[bytes, list[str]] = dataclasses.field(default_factory=dict)
    labels_of: dict[bytes, dict[int, str]] = dataclasses.field(default_factory=dict)
    perceptual_hashes: dict[bytes, list[str]] = dataclasses.field(default_factory=dict)
    bytes: int = 0

    @property
    def images(self) -> int:
        """Number of images, usable or not."""
        return int(self.labels.sum()) + len(self.unlabelled)

    def add(self, name: str, label: int, image: _Examined) -> None:
        """Counts one image."""
        labels_of = self.labels_of.setdefault(image.content, {})
        if label == NO_LABEL:
            self.unlabelled.append(name)
        else:
            self.labels[label] += 1
            labels_of.setdefault(label, name)
        self.bytes += image.size
        self.contents.setdefault(image.content, []).append(name)
        info = image.info
        if info.reason is not None:
            self.unreadable[name] = info.reason
            return
        self.formats[info.format] += 1
        self.notes.update(note for note in info.notes if note != info.format)
        self.widths.append(info.width)
        self.heights.append(info.height)
        if image.perceptual is not None:
            self.perceptual_hashes.setdefault(image.perceptual, []).append(name)


@dataclasses.dataclass(frozen=True)
class _Examined:
    info: ImageInfo
    size: int  # bytes
    content: bytes  # hash of the bytes; of a file that cannot be read, its path
    perceptual: bytes | None


def collect_stats(split: Split, classes: int) -> DatasetStats:
    """Examines every image of a split.

    Args:
        split: the images.
        classes: number of classes.
    """
    stats = DatasetStats(split.name, np.zeros(classes, int))
    threads = usable_cores()
    with (
        futures.ThreadPoolExecutor(threads) as pool,  # Pillow releases the GIL
        Progress(f"examining {split.name}", split.examples, "images") as progress,
    ):

        def count(examined: futures.Future) -> None:
            """Counts a batch."""
            found = examined.result()
            for name, label, image in found:
                stats.add(name, label, image)
            progress.advance(len(found))

        waiting: collections.deque[futures.Future] = collections.deque()
        for examples in _examples(split):
            waiting.append(pool.submit(_examine_all, split.files, examples))
            if len(waiting) > _AHEAD * threads:
                count(waiting.popleft())
        for examined in waiting:
            count(examined)
    return stats


def _examples(split: Split) -> Iterator[list[tuple[str, bytes, int]]]:
    """Batches of name, path or bytes, and label."""
    for records in split.in_order().batch(_BATCH):
        images, labels = (values.numpy() for values in split.parse(records))
        names = map(split.example_name, records["index"].numpy().tolist(), images)
        yield list(zip(names, images, labels.tolist(), strict=True))


def _examine_all(
    files: bool, examples: list[tuple[str, bytes, int]]
) -> list[tuple[str, int, _Examined]]:
    return [(name, label, _examine(files, image)) for name, image, label in examples]


def _examine(files: bool, image: bytes) -> _Examined:
    if files:
        try:
            image = read_file(image.decode())
        except OSError as error:
            return _Examined(ImageInfo(reason=error.strerror), 0, image, None)
    info = examine(image)
    perceptual = _perceptual_hash(image) if info.reason is None else None
    content = hashlib.blake2b(image, digest_size=16).digest()
    return _Examined(info, len(image), content, perceptual)


def _perceptual_hash(encoded: bytes) -> bytes | None:
    """A difference hash: one bit for each pair of neighbours in a grid, 1 if brightness rises.

    None if brightness rises in less than a tenth of the pairs, or in more than nine tenths.
    """
    image = Image.open(io.BytesIO(encoded))
    image.draft("L", (64, 64))
    grid = np.asarray(image.convert("L").resize(_GRID, Image.Resampling.BOX)).astype(int)
    rises = np.diff(grid, axis=1) > 0
    return np.packbits(rises).tobytes() if 0.1 < rises.mean() < 0.9 else None
