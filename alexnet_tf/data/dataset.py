"""A dataset: its splits, the shards of each, and how to read them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from alexnet_tf.data import splits
from alexnet_tf.data.class_folders import LeftOut
from alexnet_tf.data.limits import MAX_CLASSES
from alexnet_tf.data.random_bits import bits, make_key
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.untrusted import check, line

Records = dict[str, tf.Tensor]  # of one example, or batched
PADDING = -1  # the index of an example that only fills up a batch
NO_LABEL = -1  # the label of an example that has none, or one that is no class; TFDS's as well
_FIRST = 64  # examples of which one must have a label
_SYNSET = re.compile(r"n\d{8}")
_HELD_OUT_OF = 10  # images, of which one is held out


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
        train, validation: the splits. `train` is empty in a dataset that is only evaluated on.
        statistics: path of the training set's statistics, where they come with the dataset.
        left_out: files of a folder that are not used.
        unused: names of the other splits.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    statistics: str | None = None
    left_out: LeftOut = dataclasses.field(default_factory=LeftOut)
    unused: tuple[str, ...] = ()

    def describe(self) -> str:
        """The dataset, and which split does what: one line."""
        validation = self.validation.name
        where = "held out of train" if validation == splits.HELD_OUT else f"split {validation}"
        text = f"{self.validation.examples:,} validation images ({where})"
        if self.train.examples:
            text = f"{self.train.examples:,} training images (split {self.train.name}), {text}"
        unused = f"; not used: {', '.join(self.unused)}" if self.unused else ""
        return f"{self.name}: {text}, {len(self.classes):,} classes{unused}"

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


@dataclasses.dataclass(frozen=True)
class StoredDataset:
    """A dataset as it is stored, before it is decided which split does what.

    Attributes:
        name: as given.
        splits: names of the splits that have images.
        load: from names of splits, or of slices of them, to the classes in label order, the splits,
            and the files that are not used.
        earlier: the split that validated in versions without --validation_split, if there is one.
        statistics: path of the statistics of the whole training split, if there are any.
        data_dir: of a folder of images, for messages.
    """

    name: str
    splits: tuple[str, ...]
    load: Callable[[Sequence[str]], tuple[tuple[str, ...], list[Split], LeftOut]]
    earlier: str | None = None
    statistics: str | None = None
    data_dir: str | None = None

    def choose_validation(self, asked: str | None) -> str:
        """`splits.choose_validation` of this dataset."""
        return splits.choose_validation(str(self), self.splits, asked, self.earlier)

    def __str__(self) -> str:
        return self.data_dir or self.name


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


def subset(split: Split, name: str, chosen: np.ndarray) -> Split:
    """Some examples of a split, numbered anew.

    Args:
        split: the examples.
        name: of the result.
        chosen: bool [examples].
    """
    ends = np.cumsum(split.lengths)
    lengths = [int(part.sum()) for part in np.split(chosen, ends[:-1])]
    chosen_, number = tf.constant(chosen), tf.constant(np.cumsum(chosen) - 1)

    def read(shard: tf.Tensor) -> tf.data.Dataset:
        """The chosen records of a shard; `stored` is their index in the whole split."""
        records = split.read(shard).filter(lambda record: tf.gather(chosen_, record["index"]))
        return records.map(
            lambda record: {
                **record,
                "index": tf.gather(number, record["index"]),
                "stored": record["index"],
            }
        )

    def parse(records: Records) -> tuple[tf.Tensor, tf.Tensor]:
        """Records [B] to image, string [B], and label, int64 [B]."""
        return split.parse({**records, "index": records["stored"]})

    return dataclasses.replace(split, name=name, lengths=tuple(lengths), read=read, parse=parse)


def hold_out(train: Split) -> tuple[Split, Split]:
    """Divides a training set into nine tenths to train on and one tenth to validate on.

    One image of every ten is drawn, by a number that depends only on its place. So the two parts
    are always the same, and an order by classes, or one that alternates between them, does no harm.
    In a folder each class is divided alone, and keeps at least one image of two for each part.

    Raises:
        UserError: there is only one image.
    """
    if train.examples < 2:
        raise UserError("Expected at least two training images, to hold one out for validation")
    chosen = np.zeros(train.examples, bool)
    for label, places in enumerate(_groups(train)):
        chosen[places[_one_of_ten(len(places), label)]] = True
    if not chosen.any():
        chosen[_one_of_ten(train.examples, 0)] = True
    return subset(train, train.name, ~chosen), subset(train, splits.HELD_OUT, chosen)


def _groups(split: Split) -> list[np.ndarray]:
    """The places of the examples of each class, if labels are known without reading images."""
    if not split.files:
        return [np.arange(split.examples)]
    batches = split.in_order().batch(2**16)
    labels = np.concatenate([split.parse(records)[1].numpy() for records in batches])
    groups = (np.flatnonzero(labels == label) for label in range(labels.max() + 1))
    return [places if len(places) > 1 else places[:0] for places in groups]


def _one_of_ten(count: int, key: int) -> np.ndarray:
    """Places in range(count), one in each run of ten to nineteen; none of nothing."""
    runs = max(1, count // _HELD_OUT_OF) if count else 0
    starts = np.arange(runs + 1) * count // max(runs, 1)
    draws = bits(make_key(key), runs).numpy() % np.diff(starts).astype(np.uint64)
    return starts[:-1] + draws.astype(np.int64)


def is_synset(name: str) -> bool:
    """Whether a class is named by a WordNet synset, as ImageNet's are: n01440764, the tench."""
    return _SYNSET.fullmatch(name) is not None
