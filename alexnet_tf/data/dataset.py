"""What a dataset is to the pipeline: shards of records, and how to read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import tensorflow as tf

from alexnet_tf.system.errors import UserError

Records = dict[str, tf.Tensor]  # of one example, or batched


@dataclasses.dataclass(frozen=True)
class Split:
    """A training or validation set, always in the same order.

    Attributes:
        name: e.g. "train".
        lengths: examples in each shard.
        read: number of a shard, int64 scalar, to its records in order, in graph mode: each has
            index, int64, its place in the whole split, and what `parse` wants.
        parse: records, batched, to image, string [B], and label, int64 [B]; in graph mode.
        files: whether image is the path of a file; else it is the encoded image itself.
        record_bytes: of memory that a record takes, on average.
        side: pixels, where all images are known to be square JPEGs of one size; else None.
        paths: of the files that hold the shards, if any.
    """

    name: str
    lengths: tuple[int, ...]
    read: Callable[[tf.Tensor], tf.data.Dataset]
    parse: Callable[[Records], tuple[tf.Tensor, tf.Tensor]]
    files: bool
    record_bytes: int
    side: int | None = None
    paths: tuple[str, ...] = ()

    @property
    def examples(self) -> int:
        """How many."""
        return sum(self.lengths)

    def in_order(self) -> tf.data.Dataset:
        """All records, shard after shard."""
        return tf.data.Dataset.range(len(self.lengths)).flat_map(self.read)

    def load(self, image: tf.Tensor) -> tf.Tensor:
        """`parse`'s image, one of it, to its encoded bytes, a scalar string."""
        return tf.io.read_file(image) if self.files else image

    def title(self, index: int, image: bytes) -> str:
        """What to call an example in a message."""
        return image.decode(errors="replace") if self.files else f"{self.name} example {index}"

    def titles(self) -> Iterator[str]:
        """`title` of every example, in order."""
        if not self.files:
            for index in range(self.examples):
                yield self.title(index, b"")
            return
        images = self.in_order().batch(1024).map(lambda records: self.parse(records)[0])
        for index, image in enumerate(images.unbatch().as_numpy_iterator()):
            yield self.title(index, image)


@dataclasses.dataclass(frozen=True)
class ImageDataset:
    """A dataset to train and evaluate on.

    Attributes:
        name: as given.
        classes: names in label order.
        train, validation: the splits.
        statistics: the file in which it brings its own, of its images' squares, or None.
        passed_over: files of a folder that are not taken for images, or are too large.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    statistics: str | None = None
    passed_over: int = 0

    def with_class_order(self, classes: tuple[str, ...]) -> ImageDataset:
        """The same images with labels that are places in a model's classes.

        Args:
            classes: names in the model's label order; some may have no images here.

        Raises:
            UserError: there are classes here that the model does not have.
        """
        if self.classes == classes:
            return self
        odd = sorted(set(self.classes) - set(classes))
        if odd:
            raise UserError(
                f"Expected a dataset of the model's {len(classes)} classes ({classes[0]}, ...). "
                f"Received: {self.name} with {len(self.classes)}, of which the model does not know "
                f"{len(odd)} ({odd[0]}{', ...' * (len(odd) > 1)})"
            )
        places = {name: place for place, name in enumerate(classes)}
        labels = tf.constant([places[name] for name in self.classes], tf.int64)
        return dataclasses.replace(
            self,
            classes=classes,
            train=_relabelled(self.train, labels),
            validation=_relabelled(self.validation, labels),
        )


def _relabelled(split: Split, labels: tf.Tensor) -> Split:
    """A split whose label i is labels[i] instead."""

    def parse(records: Records) -> tuple[tf.Tensor, tf.Tensor]:
        """Records [B] to image, string [B], and label, int64 [B]."""
        image, label = split.parse(records)
        return image, tf.gather(labels, label)

    return dataclasses.replace(split, parse=parse)


def make_split(
    images: list[str] | list[bytes], labels: list[int], name: str = "train", files: bool = False
) -> Split:
    """A split in memory, of one shard.

    Args:
        images: paths or encoded images.
        labels: of each.
        name: of the split.
        files: whether `images` are paths.
    """
    images_, labels_ = tf.constant(images, tf.string), tf.constant(labels, tf.int64)

    def read(shard: tf.Tensor) -> tf.data.Dataset:
        """A shard, number int64, to records that hold their index."""
        del shard  # there is one
        return tf.data.Dataset.range(len(labels)).map(lambda index: {"index": index})

    def parse(records: Records) -> tuple[tf.Tensor, tf.Tensor]:
        """Records [B] to image, string [B], and label, int64 [B]."""
        return tf.gather(images_, records["index"]), tf.gather(labels_, records["index"])

    return Split(name, (len(labels),), read, parse, files, record_bytes=8)
