"""Folders of images: train/<class>/, val/<class>/ and other splits (`splits.py`)."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

from alexnet_tf.data import splits
from alexnet_tf.data.dataset import Split, StoredDataset, make_split
from alexnet_tf.data.limits import MAX_BYTES
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
_NAMED = 5  # classes in a message
_SPLITS = (splits.TRAIN, *splits.VALIDATION, splits.TEST)
# The first bytes of JPEG, PNG, GIF and BMP files.
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")


def split_folders(data_dir: str) -> dict[str, pathlib.Path]:
    """From the names of the splits to the folders that hold their classes.

    A folder is a split if it has a split's name or holds folders. val/ is called validation, if
    there is no folder of that name as well.

    Raises:
        UserError: no such folder.
    """
    root = pathlib.Path(data_dir).expanduser()
    if not root.is_dir():
        raise UserError(
            "Expected --data_dir to be a folder with train/<class>/ and val/<class>/. "
            f"Received: {root}"
        )
    folders = {
        path.name: path
        for path in sorted(root.iterdir())
        if path.is_dir() and (path.name in _SPLITS or _holds_folders(path))
    }
    if "val" in folders and "validation" not in folders:
        folders["validation"] = folders.pop("val")
    if not set(folders) & set(_SPLITS):
        raise UserError(f"Expected train/<class>/ and val/<class>/ in {root}. There is neither")
    return folders


def _holds_folders(path: pathlib.Path) -> bool:
    """Whether a folder that is not hidden has one in it."""
    try:
        with os.scandir(path) as entries:
            return not path.name.startswith(".") and any(entry.is_dir() for entry in entries)
    except OSError:  # not ours to read, and nobody has asked for it yet
        return False


def class_names(folder: pathlib.Path) -> tuple[str, ...]:
    """The names of the folders in a folder, sorted, without hidden ones.

    Raises:
        UserError: no such folder, or none in it.
    """
    if not folder.is_dir():
        raise UserError(f"Expected {folder.name}/<class>/ in {folder.parent}. There is no {folder}")
    names = tuple(
        sorted(e.name for e in folder.iterdir() if e.is_dir() and not e.name.startswith("."))
    )
    if not names:
        raise UserError(f"Expected one folder for each class in {folder}. There is none")
    return names


def open_folder(data_dir: str, max_unreadable: float) -> StoredDataset:
    """Opens a folder of images; the classes are the names of the folders in its splits.

    Args:
        data_dir: the folder.
        max_unreadable: the share of files that may have an image's name and not begin like one, or
            be larger than `limits.py` allows.

    Returns:
        The dataset. Its `load` raises `UserError` for splits of different classes, a class without
        images, or too many files that are not images.

    Raises:
        UserError: no such folder.
    """
    folders = split_folders(data_dir)

    def load(names: Sequence[str]) -> tuple[tuple[str, ...], list[Split], int]:
        """Classes, splits, and the number of skipped files."""
        if sliced := [name for name in names if name not in folders]:
            raise UserError(f"Expected a split of the folder, not a slice. Received: {sliced[0]}")
        classes, *others = [class_names(folders[name]) for name in names]
        for other in others:
            if classes != other:
                paths = " and ".join(str(folders[name]) for name in names)
                raise UserError(f"The classes of {paths} differ: {_differences(classes, other)}")
        found = [_folder_split(name, folders[name], classes, max_unreadable) for name in names]
        return classes, [split for split, _ in found], sum(skipped for _, skipped in found)

    earlier = next((name for name in ("val", "validation") if name in folders), None)
    return StoredDataset("folder", tuple(folders), load, earlier, data_dir=data_dir)


def _differences(classes: tuple[str, ...], other: tuple[str, ...]) -> str:
    """The classes that are in only one of two folders, some of each by name."""
    found = []
    for words, only in (
        ("the first", sorted(set(classes) - set(other))),
        ("the second", sorted(set(other) - set(classes))),
    ):
        if only:
            more = f" and {len(only) - _NAMED:,} more" if len(only) > _NAMED else ""
            found.append(f"in {words} only {', '.join(only[:_NAMED])}{more}")
    return "; ".join(found)


def _folder_split(
    split: str, folder: pathlib.Path, classes: tuple[str, ...], max_unreadable: float
) -> tuple[Split, int]:
    """The images of a split, and the number of other files."""
    paths: list[str] = []
    labels: list[int] = []
    skipped = 0
    for label, name in enumerate(classes):
        files = sorted(path for path in (folder / name).iterdir() if not path.name.startswith("."))
        # Opening a named pipe would wait for ever; broken links and folders are not files either.
        named = (path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
        found = [str(path) for path in named if path.is_file()]
        if not found:
            raise UserError(
                f"Expected images ({', '.join(IMAGE_SUFFIXES)}) of every class. There are none in "
                f"{folder / name}"
            )
        if odd := [path for path in found if not _is_utf8(path)]:
            raise UserError(
                f"Expected file names in UTF-8. Received: {os.fsencode(odd[0])!r}; rename it"
            )
        paths += found
        labels += [label] * len(found)
        skipped += len(files) - len(found)
    large = _check_files(paths, max_unreadable)
    if large:  # TensorFlow would read the whole file before any check
        print(f"{len(large):,} files of {folder} are larger than {MAX_BYTES:,} bytes and left out")
        kept = [i for i, path in enumerate(paths) if path not in large]
        paths, labels = [paths[i] for i in kept], [labels[i] for i in kept]
    return make_split(paths, labels, split, files=True), skipped + len(large)


def _is_utf8(path: str) -> bool:
    """Whether TensorFlow accepts a path as text; names on a disk may be any bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_files(paths: list[str], max_unreadable: float) -> set[str]:
    """Checks the first bytes of every file, so that a wrong folder is known before any work.

    Returns:
        The files that are too large.

    Raises:
        UserError: too many files are not images, or one cannot be read.
    """
    odd, large = [], set()
    with Progress("checking files", len(paths), "files") as progress:
        for path in paths:
            try:
                with open(path, "rb") as file:
                    start = file.read(8)
                    size = os.fstat(file.fileno()).st_size
            except OSError as error:
                raise UserError(f"{path} cannot be read: {error.strerror}") from None
            if size > MAX_BYTES:
                large.add(path)
            if size > MAX_BYTES or not start.startswith(_MAGIC):
                odd.append((path, start))
            progress.advance(1)
    if len(odd) > max_unreadable * len(paths):
        path, start = odd[0]
        problem = f"begins with {start!r}" if start else "is empty"
        problem = f"has over {MAX_BYTES:,} bytes" if path in large else problem
        raise UserError(
            f"Expected JPEG, PNG, GIF or BMP images. Received: {path}, which {problem}"
            + (f", and {len(odd) - 1} more such files" if len(odd) > 1 else "")
            + ". Remove or rename files that are not images, or see --max_unreadable"
        )
    return large
