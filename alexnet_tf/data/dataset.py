"""A dataset: its splits, the shards of each, and how to read them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator

import tensorflow as tf

from alexnet_tf.data.limits import MAX_CLASSES
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.untrusted import check, line

Records = dict[str, tf.Tensor]  # of one example, or batched
PADDING = -1  # the index of an example that only fills up a batch
NO_LABEL = -1  # the label of an example that has none, or one that is no class; TFDS's as well
_FIRST = 64  # examples of which one must have a label
_SYNSET = re.compile(r"n\d{8}")


@dataclasses.dataclass(frozen=True)
class Split:
    """A training or validation set, always in the same order.

    Attributes:
        name: e.g. "train".
        lengths: examples in each shard.
        read: from the number of a shard, int64 scalar, to its records in order, in graph mode.
            Each has index, int64, its place in the whole split, and the fields that `parse` reads.
        parse: from batched records to image, string [B], and label, int64 [B], a class or
            `NO_LABEL`, in graph mode.
        files: whether image is the path of a file; otherwise it is the encoded image itself.
        record_bytes: memory that a record takes on average.
        square_size: pixels of a side where all images are square JPEGs of one size; otherwise None.
        paths: files that hold the shards, if any.
    """

    name: str
    lengths: tuple[int, ...]
    read: Callable[[tf.Tensor], tf.data.Dataset]
    parse: Callable[[Records], tuple[tf.Tensor, tf.Tensor]]
    files: bool
    record_bytes: int
    square_size: int | None = None
    paths: tuple[str, ...] = ()

    @property
    def examples(self) -> int:
        """How many there are."""
        return sum(self.lengths)

    def in_order(self) -> tf.data.Dataset:
        """All records, shard after shard."""
        return tf.data.Dataset.range(len(self.lengths)).flat_map(self.read)

    def load(self, image: tf.Tensor) -> tf.Tensor:
        """The encoded bytes of one of `parse`'s images, both scalar strings."""
        return tf.io.read_file(image) if self.files else image

    def example_name(self, index: int, image: bytes) -> str:
        """The name of an example in messages: its path, or its number."""
        return image.decode(errors="replace") if self.files else f"{self.name} example {index}"

    def example_names(self) -> Iterator[str]:
        """`example_name` of every example, in order."""
        if not self.files:
            for index in range(self.examples):
                yield self.example_name(index, b"")
            return
        images = self.in_order().batch(1024).map(lambda records: self.parse(records)[0])
        for index, image in enumerate(images.unbatch().as_numpy_iterator()):
            yield self.example_name(index, image)


@dataclasses.dataclass(frozen=True)
class ImageDataset:
    """A dataset to train and evaluate on.

    Attributes:
        name: as given.
        classes: names in label order.
        train, validation: the splits.
        statistics: path of the training set's statistics, where they come with the dataset.
        skipped: files of a folder that have no image's name, or are too large.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    statistics: str | None = None
    skipped: int = 0

    def __post_init__(self):
        """Refuses classes that cannot be trained, printed or exported.

        Raises:
            UserError: no class, too many, one twice, or a name with line breaks or control
                characters.
        """
        if not 0 < len(self.classes) <= MAX_CLASSES:
            raise UserError(
                f"Expected 1 to {MAX_CLASSES:,} classes. Received: {self.name}, with "
                f"{len(self.classes):,}"
            )
        for name in self.classes:
            try:
                check(name, line)
            except ValueError:
                raise UserError(
                    "Expected class names without line breaks and control characters. Received: "
                    f"{name!r}. Rename it"
                ) from None
        if len(set(self.classes)) != len(self.classes):
            raise UserError(f"Two classes of {self.name} have the same name. Rename one")

    def with_class_order(self, classes: tuple[str, ...]) -> ImageDataset:
        """The same images, labelled by the order of a model's classes.

        Args:
            classes: names in the model's label order; some may have no images here.

        Raises:
            UserError: the dataset has classes that the model does not have.
        """
        if self.classes == classes:
            return self
        unknown = sorted(set(self.classes) - set(classes))
        if unknown:
            raise UserError(
                f"Expected a dataset of the model's {len(classes)} classes ({classes[0]}, ...). "
                f"Received: {self.name} with {len(self.classes)}, of which the model does not know "
                f"{len(unknown)} ({unknown[0]}{', ...' * (len(unknown) > 1)})"
            )
        label_of = {name: label for label, name in enumerate(classes)}
        labels = tf.constant([label_of[name] for name in self.classes], tf.int64)
        return dataclasses.replace(
            self,
            classes=classes,
            train=_relabelled(self.train, labels),
            validation=_relabelled(self.validation, labels),
        )


def _relabelled(split: Split, labels: tf.Tensor) -> Split:
    """The split with label labels[i] in place of label i."""

    def parse(records: Records) -> tuple[tf.Tensor, tf.Tensor]:
        """Records [B] to image, string [B], and label, int64 [B]."""
        image, label = split.parse(records)
        return image, tf.where(label >= 0, tf.gather(labels, tf.maximum(label, 0)), NO_LABEL)

    return dataclasses.replace(split, parse=parse)


def check_beginning(split: Split) -> None:
    """Checks that the first examples have labels: before a training, not at its first validation.

    Raises:
        UserError: none of them has.
    """
    if split.files or not split.examples:
        return
    for records in split.in_order().batch(_FIRST).take(1):
        _, labels = split.parse(records)
        if tf.reduce_all(labels == NO_LABEL):
            raise UserError(
                f"The {split.name} images have no labels: not one of the first {len(labels)}. "
                "Choose another split or dataset"
            )


def make_split(
    images: list[str] | list[bytes], labels: list[int], name: str = "train", files: bool = False
) -> Split:
    """A split in memory, of one shard.

    Args:
        images: paths or encoded images.
        labels: one for each image.
        name: of the split.
        files: whether `images` are paths.
    """
    images_, labels_ = tf.constant(images, tf.string), tf.constant(labels, tf.int64)

    def read(shard: tf.Tensor) -> tf.data.Dataset:
        """The only shard; its records hold their index."""
        del shard
        return tf.data.Dataset.range(len(labels)).map(lambda index: {"index": index})

    def parse(records: Records) -> tuple[tf.Tensor, tf.Tensor]:
        """Records [B] to image, string [B], and label, int64 [B]."""
        return tf.gather(images_, records["index"]), tf.gather(labels_, records["index"])

    return Split(name, (len(labels),), read, parse, files, record_bytes=8)


def is_synset(name: str) -> bool:
    """Whether a class is named by a WordNet synset, as ImageNet's are: n01440764, the tench."""
    return _SYNSET.fullmatch(name) is not None
