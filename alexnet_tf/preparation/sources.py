"""Sources of images: classes, and splits of numbered examples with the location of their bytes.

A source reads no image; worker processes do. ILSVRC's archives are in `imagenet_tars.py`; this file
has folders and datasets of TensorFlow Datasets (TFDS). Worker processes import this file, so
TensorFlow is imported only when a folder or a TFDS dataset is opened.
"""

from __future__ import annotations

import abc
import dataclasses
import hashlib
import pathlib
import typing
from collections.abc import Iterator, Sequence

import numpy as np

from alexnet_tf.data.splits import splits_to_prepare
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import create_file
from alexnet_tf.system.paths import local_path

if typing.TYPE_CHECKING:
    import tensorflow_datasets as tfds

_NAMES = ("file_name", "image/filename", "filename", "id")  # TFDS features that name an example
_BATCH = 64  # examples taken out of TensorFlow at a time


@dataclasses.dataclass(frozen=True)
class FileRange:
    """The location of encoded bytes: a part of a file, or the whole file if `size` is None."""

    path: str
    offset: int = 0
    size: int | None = None

    def __str__(self) -> str:
        return self.path if self.size is None else f"byte {self.offset:,} of {self.path}"


@dataclasses.dataclass(frozen=True)
class Example:
    """An image before its preparation.

    Attributes:
        file_name: its name in the source; it need not be a path that exists.
        label: the number of its class.
        image: the location of the encoded bytes.
    """

    file_name: str
    label: int
    image: FileRange


class ExampleReader(abc.ABC):
    """The examples of one split, numbered in the order in which the source holds them.

    Attributes:
        count: number of examples.
        in_order_only: whether examples must be read in the source's order.
    """

    count: int
    in_order_only = False

    @abc.abstractmethod
    def key(self, index: int) -> str:
        """The key that, with the seed, determines an example's position in the prepared dataset."""

    @abc.abstractmethod
    def examples(self, indices: np.ndarray, scratch: pathlib.Path) -> Iterator[Example]:
        """Yields examples by index.

        Args:
            indices: int64 [N], increasing.
            scratch: a file to which images without a file of their own may be copied; it must be
                kept until the images have been read.
        """

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """A text that changes when the examples change."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A source of images.

    Attributes:
        dataset: its name, the prefix of the shards' names: letters, digits and "_".
        description: its origin, one line.
        classes: names in label order.
        splits: name to examples; "train" is the first.
        ignored: number of files that are not used, and of links and the like.
        left_out: names of the splits that are not prepared.
    """

    dataset: str
    description: str
    classes: tuple[str, ...]
    splits: dict[str, ExampleReader]
    ignored: int = 0
    left_out: tuple[str, ...] = ()


class FileReader(ExampleReader):
    """Examples in files, in any order.

    Args:
        path: the file that holds all examples, or the folder of all files.
        names: of the examples; in a folder these are relative paths.
        labels: of the examples.
        ranges: int64 [N, 2], offset and size of each example in the file, bytes; None in a folder.
        stamps: int64 [N, 2], size and modification time of each file in a folder, for the
            fingerprint.
    """

    def __init__(
        self,
        path: str,
        names: list[str],
        labels: Sequence[int],
        ranges: np.ndarray | None = None,
        stamps: Sequence[tuple[int, int]] | None = None,
    ):
        # ImageNet's names take 100 MB; a list of `Example`s would double that.
        self.count = len(names)
        self._path, self._names, self._ranges = path, names, ranges
        self._labels = np.asarray(labels, np.int32)
        self._stamps = None if stamps is None else np.asarray(stamps, np.int64)

    def key(self, index: int) -> str:
        """The example's name."""
        return self._names[index]

    def examples(self, indices: np.ndarray, scratch: pathlib.Path) -> Iterator[Example]:
        """Yields examples, see `ExampleReader.examples`."""
        for index in indices.tolist():
            name = self._names[index]
            if self._ranges is None:
                image = FileRange(f"{self._path}/{name}")
            else:
                image = FileRange(self._path, *self._ranges[index].tolist())
            yield Example(name, int(self._labels[index]), image)

    def fingerprint(self) -> str:
        """A digest of names, labels, offsets and sizes (of ranges) and stamps (of files)."""
        digest = hashlib.sha256("\0".join(self._names).encode(errors="surrogateescape"))
        digest.update(self._labels.tobytes())
        if self._ranges is not None:
            digest.update(self._ranges.T.tobytes())  # all offsets, then all sizes
        if self._stamps is not None:
            digest.update(self._stamps.tobytes())
        return digest.hexdigest()


def open_folders(data_dir: str, output: str | None = None, wanted: Sequence[str] = ()) -> Source:
    """Lists <split>/<class>/*.

    `data/class_folders.py` says which files count; a link to a file does. Damaged images are
    skipped and reported later.

    Args:
        data_dir: the folder that has train/, val/ and the like in it.
        output: the directory of the prepared dataset.
        wanted: names of the splits; empty: as `splits.splits_to_prepare` says.

    Raises:
        UserError: no such folders, no classes, a class that the first split does not have, or an
            output inside a split, where the next run would take it for a class.
    """
    from alexnet_tf.data.class_folders import reading_folders

    with reading_folders():
        return _open_folders(data_dir, output, wanted)


def _open_folders(data_dir: str, output: str | None, wanted: Sequence[str]) -> Source:
    from alexnet_tf.data.class_folders import class_names, list_images
    from alexnet_tf.data.image_folder import split_folders

    found = split_folders(data_dir)
    folders = {name: found[name] for name in splits_to_prepare(data_dir, tuple(found), wanted)}
    for folder in folders.values() if output else ():
        if local_path(output, "--output").resolve().is_relative_to(folder.resolve()):
            raise UserError(f"Expected --output outside of {folder}. Received: {output}")
    first, *_ = folders.values()
    classes = class_names(first)
    for folder in folders.values():
        other = sorted(set(class_names(folder)) - set(classes))
        if other:
            raise UserError(
                f"{folder} has {len(other):,} classes that {first} does not have, e.g. {other[0]}. "
                "All splits need the same classes"
            )
    splits, ignored = {}, 0
    for name, folder in folders.items():
        files = list_images(folder, classes)
        if not files.names:
            raise UserError(f"The folders of {folder} hold no images")
        print(*files.describe(), sep="\n", end="\n" * bool(files.describe()))
        splits[name] = FileReader(str(folder), files.names, files.labels, stamps=files.stamps)
        ignored += len(files.left_out)
    description = f"a folder, {' and '.join(f'{folder.name}/' for folder in folders.values())}"
    left_out = tuple(name for name in found if name not in folders)
    return Source("folder", description, classes, splits, ignored, left_out)


def open_tfds_source(name: str, data_dir: str | None, wanted: Sequence[str] = ()) -> Source:
    """Opens a dataset of TFDS by name; TFDS prepares it first if necessary.

    Args:
        name: e.g. "imagenet2012" or "cifar10:3.0.2".
        data_dir: where TFDS keeps datasets; None for its default.
        wanted: names of the splits; empty: as `splits.splits_to_prepare` says.

    Raises:
        UserError: no such dataset or split, or not one for image classification.
    """
    from alexnet_tf.data.tfds import builder_of_name, checked_keys, splits_with_images

    builder = builder_of_name(name, data_dir, "--source=tfds:shapes")
    keys = checked_keys(builder)
    found = splits_with_images(builder)
    prepared = splits_to_prepare(name, found, wanted)
    return Source(
        builder.name,
        f"{builder.info.full_name} of TFDS",
        tuple(builder.info.features[keys[1]].names),
        {split: TfdsReader(builder, split, *keys) for split in prepared},
        left_out=tuple(split for split in found if split not in prepared),
    )


class TfdsReader(ExampleReader):
    """A split of a TFDS dataset; images are read as they are stored, without decoding.

    TFDS has shuffled the examples already and reads them in one order only, so a shard gets
    consecutive examples. Its images are copied to a scratch file, so that workers read images of
    every source in the same way.
    """

    in_order_only = True

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str, image: str, label: str):
        self.count = builder.info.splits[split].num_examples
        self._builder, self._split = builder, split
        self._image, self._label = image, label

    def key(self, index: int) -> str:
        """The example's index: its name is unknown until it is read."""
        return str(index)

    def examples(self, indices: np.ndarray, scratch: pathlib.Path) -> Iterator[Example]:
        """Yields examples, see `ExampleReader.examples`; the indices must be consecutive."""
        index = int(indices[0])
        with create_file(scratch) as file:
            for features in self._read(index, int(indices[-1]) + 1):
                named = next((features[key] for key in _NAMES if key in features), None)
                name = f"{self._split} {index}" if named is None else _text(named)
                encoded = features[self._image]
                image = FileRange(str(scratch), file.tell(), len(encoded))
                file.write(encoded)
                yield Example(name, int(features[self._label]), image)
                index += 1
        if index != indices[-1] + 1:
            raise UserError(
                f"The dataset is damaged: {self._split} has other numbers of examples in its files "
                f"than in {self._builder.data_dir}/dataset_info.json"
            )

    def _read(self, first: int, end: int) -> Iterator[dict[str, typing.Any]]:
        import tensorflow_datasets as tfds

        dataset = self._builder.as_dataset(
            split=tfds.core.ReadInstruction(self._split, from_=first, to=end, unit="abs"),
            decoders={self._image: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
            shuffle_files=False,
        )
        kept = [key for key in (self._image, self._label, *_NAMES) if key in dataset.element_spec]
        dataset = dataset.map(lambda features: {key: features[key] for key in kept}).batch(_BATCH)
        for batch in dataset.as_numpy_iterator():
            for values in zip(*(batch[key] for key in kept), strict=True):
                yield dict(zip(kept, values, strict=True))

    def fingerprint(self) -> str:
        """The dataset's name, with its version, and the split's shards."""
        lengths = self._builder.info.splits[self._split].shard_lengths
        return f"{self._builder.info.full_name} {self._split} {lengths}"


def _text(name: object) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
