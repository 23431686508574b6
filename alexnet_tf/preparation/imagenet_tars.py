"""ILSVRC's archives as they are downloaded: read in place, never unpacked.

`ILSVRC2012_img_train.tar` holds one archive per class, n01440764.tar, which holds images,
n01440764_10026.JPEG. `ILSVRC2012_img_val.tar` holds images, ILSVRC2012_val_00000001.JPEG. Their
classes are in a separate list, one synset per line, in the order of the images' names.

The headers are read once, about one in every 110 KB: this takes minutes, and the disk limits the
speed. Names in an archive are never used as paths. Entries that are not plain files, such as links
or devices, are ignored and counted.
"""

from __future__ import annotations

import array
import os
import pathlib
import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from alexnet_tf.preparation.sources import FileReader, Source
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.paths import local_path
from alexnet_tf.system.progress import Progress
from alexnet_tf.system.untrusted import read_bytes

TRAIN = "ILSVRC2012_img_train.tar"
VALIDATION = "ILSVRC2012_img_val.tar"

_MB = 10**6
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"PK": "zip"}
_CLASS_ARCHIVE = re.compile(r"([A-Za-z0-9_-]+)\.tar")


class _Member(NamedTuple):
    name: str  # without folders
    offset: int  # bytes
    size: int  # bytes


def open_imagenet(data_dir: str, val_labels: str) -> Source:
    """Indexes the two archives.

    Args:
        data_dir: the folder that holds them.
        val_labels: a text file with the synset of each validation image, in the order of the
            images' names.

    Raises:
        UserError: an archive is missing, damaged, compressed or of another layout, or the list has
            another length or other synsets.
    """
    folder = local_path(data_dir, "--data_dir")
    missing = [name for name in (TRAIN, VALIDATION) if not os.path.isfile(folder / name)]
    if missing:
        raise UserError(
            f"Expected {TRAIN} and {VALIDATION} in --data_dir={folder}. "
            f"Received: no {' and no '.join(missing)}"
        )
    with _Archive(folder / TRAIN) as archive:
        classes, train = _index_train(archive)
        ignored = archive.ignored
    with _Archive(folder / VALIDATION) as archive:
        validation = _index_validation(archive, classes, val_labels)
        ignored += archive.ignored
    return Source(
        "imagenet2012",
        f"{TRAIN} and {VALIDATION}",
        classes,
        {"train": train, "validation": validation},
        ignored,
    )


def _index_train(archive: _Archive) -> tuple[tuple[str, ...], FileReader]:
    names, owners = [], []
    ranges = array.array("q")  # a million tuples would take four times the memory
    for outer in archive.members():
        match = _CLASS_ARCHIVE.fullmatch(outer.name)
        if not match:
            raise UserError(
                f"Expected one archive per class in {archive.path}, as n01440764.tar. "
                f"Received: {outer.name}"
            )
        for member in archive.members(outer.offset, outer.size):
            names.append(member.name)
            ranges.extend((member.offset, member.size))
            owners.append(match[1])
    classes = tuple(sorted(set(owners)))
    label = {name: number for number, name in enumerate(classes)}
    labels = [label[owner] for owner in owners]
    return classes, FileReader(
        str(archive.path), names, labels, np.array(ranges, np.int64).reshape(-1, 2)
    )


def _index_validation(archive: _Archive, classes: tuple[str, ...], val_labels: str) -> FileReader:
    members = list(archive.members())
    names = [member.name for member in members]
    count = len(names)
    try:
        synsets = read_bytes(local_path(val_labels, "--val_labels")).decode().split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Expected --val_labels to be a text file. Received: {error}") from None
    if len(synsets) != count:
        raise UserError(
            f"Expected one line in --val_labels for each of the {count:,} images in "
            f"{archive.path}. Received: {len(synsets):,} lines in {val_labels}"
        )
    unknown = sorted(set(synsets) - set(classes))
    if unknown:
        raise UserError(
            f"Expected classes of the training set in --val_labels={val_labels}. "
            f"Received: {unknown[0]} ({len(unknown)} unknown classes in all)"
        )
    label = {name: number for number, name in enumerate(classes)}
    labels = [0] * count
    by_name = sorted(range(count), key=names.__getitem__)
    for index, synset in zip(by_name, synsets, strict=True):
        labels[index] = label[synset]
    ranges = [(member.offset, member.size) for member in members]
    return FileReader(str(archive.path), names, labels, np.array(ranges, np.int64).reshape(-1, 2))


class _Headers:
    """A file for `tarfile` that refuses to read more bytes at once than a header may have.

    Long names are headers that state their own length. A negative length would read the whole
    archive into memory.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """Reads as a file does, a megabyte at most."""
        if not 0 <= size <= _MB:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


class _Archive:
    """An open tar archive; its headers are read with a progress bar.

    Attributes:
        path: of the file.
        ignored: entries so far that are neither plain files nor folders.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.ignored = 0
        self._file: BinaryIO = path.open("rb")
        self._size = os.fstat(self._file.fileno()).st_size
        self._shown = 0  # MB
        self._progress = Progress(f"index of {path.name}", self._size // _MB, "MB")

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()
        self._progress.__exit__(*exception)

    def members(self, start: int = 0, size: int | None = None) -> Iterator[_Member]:
        """The plain files of the archive in [start, start + size) of the file.

        Raises:
            UserError: the file is not a tar archive, or is damaged.
        """
        end = start + (self._size if size is None else size)
        self._file.seek(start)
        kind = _COMPRESSED.get(self._file.read(2))
        if kind:
            raise UserError(
                f"Expected a tar archive that is not compressed. Received: {self.path}, "
                f"{kind} data at byte {start:,}; unpack that layer first"
            )
        self._file.seek(start)
        offset = start
        try:
            with tarfile.open(fileobj=_Headers(self._file), mode="r:") as tar:
                while (entry := tar.next()) is not None:
                    tar.members.clear()  # tarfile keeps a kilobyte for each entry
                    if entry.size < 0 or entry.offset_data <= offset:  # else an endless loop
                        raise tarfile.ReadError("an entry of negative length")
                    offset = entry.offset_data
                    if offset + entry.size > end:
                        raise tarfile.ReadError("an entry longer than the archive")
                    if entry.isreg() and not entry.issparse():
                        yield _Member(pathlib.PurePosixPath(entry.name).name, offset, entry.size)
                    else:
                        self.ignored += not entry.isdir()
                    self._show(offset)
                offset = tar.offset
            self._file.seek(offset)
            # tarfile takes a damaged header for the end. The true end is a block of zeros.
            if self._file.read(tarfile.BLOCKSIZE).strip(b"\0") or offset >= end:
                raise tarfile.ReadError("no header and no end")
        except Exception as error:  # tarfile raises many kinds for damaged archives
            raise UserError(
                f"Expected a whole tar archive. Received: {self.path}, damaged or cut short about "
                f"byte {offset:,} of {self._size:,} ({error or type(error).__name__})"
            ) from None

    def _show(self, offset: int) -> None:
        if offset // _MB > self._shown:
            self._progress.advance(offset // _MB - self._shown)
            self._shown = offset // _MB
