"""Folders of images: train/<class>/, val/<class>/ and other splits (`splits.py`)."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

from alexnet_tf.data import splits
from alexnet_tf.data.class_folders import (
    IMAGE_SUFFIXES,
    TOO_LARGE,
    ClassFolder,
    LeftOut,
    class_names,
    is_litter,
    layout_hint,
    list_images,
    reading_folders,
)
from alexnet_tf.data.dataset import Split, StoredDataset, make_split
from alexnet_tf.system.errors import UserError

_NAMED = 5  # classes in a message
_SPLITS = (splits.TRAIN, *splits.VALIDATION, splits.TEST)


def split_folders(data_dir: str) -> dict[str, pathlib.Path]:
    """From the names of the splits to the folders that hold their classes.

    A folder is a split if it has a split's name or holds folders. val/ is called validation, if
    there is no folder of that name as well.

    Raises:
        UserError: no such folder.
    """
    root = pathlib.Path(data_dir).expanduser()
    with reading_folders():
        return _split_folders(root)


def _split_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
    if not root.is_dir():
        raise UserError(
            "Expected --data_dir to be a folder with train/<class>/ and val/<class>/. "
            f"Received: {root}"
        )
    folders = {
        path.name: path
        for path in sorted(root.iterdir())
        if path.is_dir()
        and not is_litter(path.name)
        and (path.name in _SPLITS or _holds_folders(path))
    }
    if "val" in folders and "validation" not in folders:
        folders["validation"] = folders.pop("val")
    if not set(folders) & set(_SPLITS):
        raise UserError(
            f"Expected train/<class>/ and val/<class>/ in {root}. There is neither"
            f"{layout_hint(root)}"
        )
    return folders


def _holds_folders(path: pathlib.Path) -> bool:
    """Whether a folder has one in it."""
    try:
        with os.scandir(path) as entries:
            return any(entry.is_dir() and not is_litter(entry.name) for entry in entries)
    except OSError:  # not ours to read, and nobody has asked for it yet
        return False


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

    @reading_folders()
    def load(names: Sequence[str]) -> tuple[tuple[str, ...], list[Split], LeftOut]:
        """Classes, splits, and the other files."""
        if sliced := [name for name in names if name not in folders]:
            raise UserError(f"Expected a split of the folder, not a slice. Received: {sliced[0]}")
        classes, *others = [class_names(folders[name]) for name in names]
        for other in others:
            if classes != other:
                paths = " and ".join(str(folders[name]) for name in names)
                raise UserError(f"The classes of {paths} differ: {_differences(classes, other)}")
        found = [_folder_split(name, folders[name], classes, max_unreadable) for name in names]
        return (
            classes,
            [split for split, _ in found],
            sum((left_out for _, left_out in found), LeftOut()),
        )

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
) -> tuple[Split, LeftOut]:
    """The images of a split, and the other files."""
    found = list_images(folder, classes)
    missing = set(range(len(classes))).difference(found.labels)
    if missing:
        raise UserError(
            f"Expected images ({', '.join(IMAGE_SUFFIXES)}) of every class. There are none in "
            f"{folder / classes[min(missing)]}"
        )
    if odd := [name for name in (str(folder), *found.names) if not _is_utf8(name)]:
        raise UserError(
            f"Expected file names in UTF-8. Received: {os.fsencode(odd[0])!r}; rename it"
        )
    _check_doubtful(found, max_unreadable)
    for name in sorted(found.too_large):  # TensorFlow would read the whole file before any check
        found.left_out.add(TOO_LARGE, name)
    print(*found.describe(), sep="\n", end="\n" * bool(found.describe()))
    kept = [
        (f"{folder}/{name}", label)
        for name, label in zip(found.names, found.labels, strict=True)
        if name not in found.too_large
    ]
    paths, labels = zip(*kept, strict=True) if kept else ((), ())
    return make_split(list(paths), list(labels), split, files=True), found.left_out


def _is_utf8(path: str) -> bool:
    """Whether TensorFlow accepts a path as text; names on a disk may be any bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_doubtful(found: ClassFolder, max_unreadable: float) -> None:
    """Refuses a folder in which too many files are no images, before any work.

    Raises:
        UserError: it is one.
    """
    if len(found.doubtful) > max_unreadable * len(found.names):
        (name, problem), *others = found.doubtful.items()
        more = f", and {len(others):,} more such files" if others else ""
        raise UserError(
            f"Expected JPEG, PNG, GIF, BMP, WebP or TIFF images. Received: {found.folder / name}, "
            f"which {problem}{more}. Remove or rename files that are not images, or see "
            "--max_unreadable"
        )
