"""What a source of pictures is to the preparation: classes, and splits of examples by number.

Three kinds: `tars.py` reads ILSVRC's archives, `folders.py` folders of images, `tfds_input.py`
datasets of TFDS. None of them reads a picture: they say where it is, and a worker reads it there.
"""

from __future__ import annotations

import abc
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Place:
    """Where encoded bytes are: a part of a file, or all of it where `size` is None."""

    path: str
    offset: int = 0
    size: int | None = None

    def __str__(self) -> str:
        return self.path if self.size is None else f"byte {self.offset:,} of {self.path}"


@dataclasses.dataclass(frozen=True)
class Example:
    """A picture before its preparation.

    Attributes:
        file_name: what it is called in its source; it may look like no path that exists.
        label: its class, a number.
        picture: the encoded bytes, or where they are.
    """

    file_name: str
    label: int
    picture: bytes | Place


class ExampleReader(abc.ABC):
    """The examples of one split, numbered in the order in which its source holds them.

    Attributes:
        count: how many.
        in_order_only: whether examples must be read in the source's order.
    """

    count: int
    in_order_only = False

    @abc.abstractmethod
    def key(self, index: int) -> str:
        """What the order of the prepared dataset may depend on, besides the seed."""

    @abc.abstractmethod
    def examples(self, indices: np.ndarray) -> Iterator[Example]:
        """Examples by their numbers, int64 [N], which rise."""

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Changes when the examples do."""


class Listing(ExampleReader):
    """Examples in files, of which any can be read at any time.

    Args:
        path: of the one file that holds them all, or of the folder that file names begin in.
        names: of the examples; in a folder they are relative paths.
        labels: of the examples.
        offsets, sizes: bytes, where the file holds each; None in a folder.
        stamps: in a folder, the size and the time of change of each file, [N, 2]; the examples are
            other ones where these are.
    """

    def __init__(
        self,
        path: str,
        names: list[str],
        labels: Sequence[int],
        offsets: Sequence[int] | None = None,
        sizes: Sequence[int] | None = None,
        stamps: Sequence[tuple[int, int]] | None = None,
    ):
        # ImageNet's names take 100 MB as they are, and would take as much again as `Example`s.
        self.count = len(names)
        self._path, self._names = path, names
        self._labels = np.asarray(labels, np.int32)
        self._offsets = None if offsets is None else np.asarray(offsets, np.int64)
        self._sizes = None if sizes is None else np.asarray(sizes, np.int64)
        self._stamps = None if stamps is None else np.asarray(stamps, np.int64)

    def key(self, index: int) -> str:
        """Its name."""
        return self._names[index]

    def examples(self, indices: np.ndarray) -> Iterator[Example]:
        """As `ExampleReader` has it."""
        for index in indices.tolist():
            name = self._names[index]
            if self._offsets is None:
                place = Place(f"{self._path}/{name}")
            else:
                place = Place(self._path, int(self._offsets[index]), int(self._sizes[index]))
            yield Example(name, int(self._labels[index]), place)

    def fingerprint(self) -> str:
        """Of names, labels, and offsets, sizes and stamps where there are any."""
        digest = hashlib.sha256("\0".join(self._names).encode(errors="surrogateescape"))
        for array in (self._labels, self._offsets, self._sizes, self._stamps):
            if array is not None:
                digest.update(array.tobytes())
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Source:
    """A source of pictures.

    Attributes:
        dataset: its name, with which the names of the shards begin: letters, digits and "_".
        description: where it comes from, one line.
        classes: names in label order.
        splits: name to examples; "train" is the first.
        ignored: entries that are no files, e.g. links.
    """

    dataset: str
    description: str
    classes: tuple[str, ...]
    splits: dict[str, ExampleReader]
    ignored: int = 0
