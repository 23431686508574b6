"""Folders of images: train/<class>/ and val/<class>/, or validation/<class>/."""

from __future__ import annotations

import os
import pathlib

from alexnet_tf.data.dataset import ImageDataset, Split, make_split
from alexnet_tf.data.limits import MAX_BYTES
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
_NAMED = 5  # classes in a message
# The first bytes of JPEG, PNG, GIF and BMP files.
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")


def split_folders(data_dir: str) -> dict[str, pathlib.Path]:
    """Where the classes of "train" and of "validation" should be.

    Raises:
        UserError: no such folder.
    """
    root = pathlib.Path(data_dir).expanduser()
    if not root.is_dir():
        raise UserError(
            "Expected --data_dir to be a folder with train/<class>/ and val/<class>/. "
            f"Received: {root}"
        )
    places = [root / "val", root / "validation"]
    validation = next((place for place in places if place.is_dir()), places[0])
    return {"train": root / "train", "validation": validation}


def class_names(folder: pathlib.Path) -> tuple[str, ...]:
    """The names of the folders in one, sorted; hidden ones are left out.

    Raises:
        UserError: no such folder, or none in it.
    """
    if not folder.is_dir():
        raise UserError(
            f"Expected {folder.name}/<class>/ in {folder.parent}. Received: no {folder}"
        )
    names = tuple(
        sorted(e.name for e in folder.iterdir() if e.is_dir() and not e.name.startswith("."))
    )
    if not names:
        raise UserError(f"Expected one folder a class in {folder}. Received: none")
    return names


def open_folder(data_dir: str, max_unreadable: float, only: str | None = None) -> ImageDataset:
    """Opens a folder whose classes are the names of the folders in its train/ and val/.

    Args:
        data_dir: the folder.
        max_unreadable: the share of files that may have an image's name and begin like none, or be
            larger than `limits.py` allows.
        only: "train" or "validation", to look at no other split, which need not be there; the
            other one is empty then.

    Raises:
        UserError: no such folder, other classes in validation than in training, a class without
            images, or too many files that are none.
    """
    both = split_folders(data_dir)
    folders = {name: folder for name, folder in both.items() if only in (None, name)}
    classes, *others = [class_names(folder) for folder in folders.values()]
    for other in others:
        if classes != other:
            raise UserError(
                f"Expected the same classes in {' and '.join(map(str, folders.values()))}. "
                f"Received: {_differences(classes, other)}"
            )
    splits = {name: make_split([], [], name, files=True) for name in both}
    passed_over = 0
    for name, folder in folders.items():
        splits[name], beside = _folder_split(name, folder, classes, max_unreadable)
        passed_over += beside
    return ImageDataset("folder", classes, **splits, passed_over=passed_over)


def _differences(classes: tuple[str, ...], other: tuple[str, ...]) -> str:
    """Which of two folders' classes are in one of them only, some of each by name."""
    said = []
    for words, only in (
        ("the first", sorted(set(classes) - set(other))),
        ("the second", sorted(set(other) - set(classes))),
    ):
        if only:
            more = f" and {len(only) - _NAMED:,} more" if len(only) > _NAMED else ""
            said.append(f"in {words} only {', '.join(only[:_NAMED])}{more}")
    return "; ".join(said)


def _folder_split(
    split: str, folder: pathlib.Path, classes: tuple[str, ...], max_unreadable: float
) -> tuple[Split, int]:
    """The images, and how many other files there are beside them."""
    paths: list[str] = []
    labels: list[int] = []
    passed_over = 0
    for label, name in enumerate(classes):
        files = sorted(path for path in (folder / name).iterdir() if not path.name.startswith("."))
        # Whoever opens a named pipe waits for ever; links to nowhere and folders are no files.
        named = (path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
        found = [str(path) for path in named if path.is_file()]
        if not found:
            raise UserError(
                f"Expected images ({', '.join(IMAGE_SUFFIXES)}) of every class. "
                f"Received: none in {folder / name}"
            )
        if odd := [path for path in found if not _is_utf8(path)]:
            raise UserError(
                f"Expected file names in UTF-8. Received: {os.fsencode(odd[0])!r}; rename it"
            )
        paths += found
        labels += [label] * len(found)
        passed_over += len(files) - len(found)
    large = _refuse_other_files(paths, max_unreadable)
    if large:  # TensorFlow would read the whole file before it can look at it
        print(f"{len(large):,} files of {folder} of over {MAX_BYTES:,} bytes are left out")
        kept = [place for place, path in enumerate(paths) if path not in large]
        paths, labels = [paths[i] for i in kept], [labels[i] for i in kept]
    return make_split(paths, labels, split, files=True), passed_over + len(large)


def _is_utf8(path: str) -> bool:
    """Whether TensorFlow takes it as text; names on a disk may be any bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_other_files(paths: list[str], max_unreadable: float) -> set[str]:
    """Looks at the first bytes of every file, so that a wrong folder is known before any work.

    Returns:
        Those that are too large.
    """
    odd, large = [], set()
    with Progress("looking at files", len(paths), "files") as progress:
        for path in paths:
            try:
                with open(path, "rb") as file:
                    start = file.read(8)
                    size = os.fstat(file.fileno()).st_size
            except OSError as error:
                raise UserError(
                    f"Expected a readable image. Received: {path} ({error.strerror})"
                ) from None
            if size > MAX_BYTES:
                large.add(path)
            if size > MAX_BYTES or not start.startswith(_MAGIC):
                odd.append((path, start))
            progress.advance(1)
    if len(odd) > max_unreadable * len(paths):
        path, start = odd[0]
        said = f"begins with {start!r}" if start else "is empty"
        said = f"has over {MAX_BYTES:,} bytes" if path in large else said
        raise UserError(
            f"Expected JPEG, PNG, GIF or BMP images. Received: {path}, which {said}"
            + (f", and {len(odd) - 1} more such files" if len(odd) > 1 else "")
            + "; remove or rename what is no image, or see --max_unreadable"
        )
    return large
