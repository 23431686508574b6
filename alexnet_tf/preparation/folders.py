"""Folders of images: train/<class>/* and val/<class>/*, or validation/<class>/*.

Every file that is not hidden counts as a picture, also behind a link; what turns out to be none is
skipped and reported.
"""

from __future__ import annotations

import os
import pathlib

from alexnet_tf.data.image_folder import class_names, split_folders
from alexnet_tf.preparation.sources import Listing, Source
from alexnet_tf.system.errors import UserError


def open_folders(data_dir: str) -> Source:
    """Lists the files.

    Args:
        data_dir: the folder that has train/ and val/ in it.

    Raises:
        UserError: no such folders, no classes, or one in validation that is not in training.
    """
    folders = split_folders(data_dir)
    train, validation = folders["train"], folders["validation"]
    classes = class_names(train)
    other = sorted(set(class_names(validation)) - set(classes))
    if other:
        raise UserError(
            f"Expected classes of {train} in {validation}. Received: {other[0]} "
            f"({len(other)} such in all)"
        )
    splits, ignored = {}, 0
    for name, folder in folders.items():
        files, others = _files(folder, classes)
        if not files:
            raise UserError(f"Expected pictures in the folders of {folder}. Received: none")
        names, labels, stamps = zip(*files, strict=True)
        splits[name] = Listing(str(folder), list(names), labels, stamps=stamps)
        ignored += others
    return Source("folder", f"a folder, train/ and {validation.name}/", classes, splits, ignored)


def refuse_inside(data_dir: str, output: str) -> None:
    """Refuses an output that would itself be a class, or lie in one, when the command is repeated.

    Args:
        data_dir: the folder that has train/ and val/ in it.
        output: where to write.

    Raises:
        UserError: that, or no such folder.
    """
    place = pathlib.Path(output).expanduser().resolve()
    for folder in split_folders(data_dir).values():
        if place.is_relative_to(folder.resolve()):
            raise UserError(f"Expected --output outside of {folder}. Received: {output}")


def _entries(folder: pathlib.Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)


def _files(
    folder: pathlib.Path, classes: tuple[str, ...]
) -> tuple[list[tuple[str, int, tuple[int, int]]], int]:
    """Relative path, label and stamp of files, and how many entries are none, e.g. folders."""
    files, others = [], 0
    for label, name in enumerate(classes):
        for entry in _entries(folder / name) if (folder / name).is_dir() else ():
            if entry.is_file():
                state = entry.stat()
                stamp = state.st_size, state.st_mtime_ns
                files.append((f"{name}/{entry.name}", label, stamp))
            else:
                others += 1
    return files, others
