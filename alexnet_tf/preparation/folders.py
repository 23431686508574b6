"""Folders of images: train/<class>/* and val/<class>/*, or validation/<class>/*.

Every plain file that is not hidden counts as a picture; what turns out to be none is skipped and
reported. The folders of classes may be links, the files may not.
"""

from __future__ import annotations

import os
import pathlib

from alexnet_tf.errors import UserError
from alexnet_tf.preparation.inputs import Input, Listing


def open_folders(data_dir: str) -> Input:
    """Lists the files.

    Args:
        data_dir: the folder that has train/ and val/ in it.

    Raises:
        UserError: no such folders, no classes, or one in validation that is not in training.
    """
    root = pathlib.Path(data_dir).expanduser()
    train = root / "train"
    validation = next((root / n for n in ("val", "validation") if (root / n).is_dir()), None)
    if not train.is_dir() or validation is None:
        raise UserError(
            "Expected --data_dir to be a folder with train/<class>/ and val/<class>/. "
            f"Received: {root}"
        )
    classes = tuple(sorted(entry.name for entry in _entries(train) if entry.is_dir()))
    if not classes:
        raise UserError(f"Expected one folder a class in {train}. Received: none")
    other = sorted({e.name for e in _entries(validation) if e.is_dir()} - set(classes))
    if other:
        raise UserError(
            f"Expected classes of {train} in {validation}. Received: {other[0]} "
            f"({len(other)} such in all)"
        )
    splits, ignored = {}, 0
    for name, folder in (("train", train), ("validation", validation)):
        files, others = _files(folder, classes)
        if not files:
            raise UserError(f"Expected pictures in the folders of {folder}. Received: none")
        names, labels, stamps = zip(*files, strict=True)
        splits[name] = Listing(str(folder), list(names), labels, stamps=stamps)
        ignored += others
    return Input("folder", f"a folder, train/ and {validation.name}/", classes, splits, ignored)


def _entries(folder: pathlib.Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)


def _files(
    folder: pathlib.Path, classes: tuple[str, ...]
) -> tuple[list[tuple[str, int, tuple[int, int]]], int]:
    """Relative path, label and stamp of plain files, and how many entries are none, e.g. links.

    A link could lead anywhere, and to the same picture twice.
    """
    files, others = [], 0
    for label, name in enumerate(classes):
        for entry in _entries(folder / name) if (folder / name).is_dir() else ():
            if entry.is_file(follow_symlinks=False):
                state = entry.stat()
                stamp = state.st_size, state.st_mtime_ns
                files.append((f"{name}/{entry.name}", label, stamp))
            else:
                others += 1
    return files, others
