"""From files to the classes that are on them. No TensorFlow is imported here: clients need none."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from alexnet_tf.data.limits import MAX_BYTES, MAX_PIXELS

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")  # as in data/image_folder.py

_INVALID = f"not a JPEG, PNG, GIF or BMP, damaged, or too large (JPEG: {MAX_PIXELS:,} pixels)"
# Of one file: names of classes and their probabilities, or why there are none.
Row = tuple[tuple[str, ...], tuple[float, ...]] | str
# From files to a row each.
Ask = Callable[[list[bytes]], list[Row]]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One file's.

    Attributes:
        path: of the file.
        classes: the most probable ones, the most probable first.
        scores: their probabilities.
        reason: why there are none; empty if there are.
    """

    path: str
    classes: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        rows = zip(self.scores, self.classes, strict=True)
        bars = [f"  {score:6.2%}  {'█' * round(30 * score):30}  {name}" for score, name in rows]
        return "\n".join([self.path, *bars])


def find_images(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """Files as they are named, and all images in folders and in what these hold, sorted.

    A folder that holds none, or cannot be looked into, is there itself: reading it says why.
    Hidden files, such as macOS leaves beside others, are passed over.
    """
    found = []
    for path in map(Path, paths):
        found += (_images_in(path) if os.path.isdir(path) else []) or [path]
    return found


def rows_of(answer: dict[str, np.ndarray]) -> list[Row]:
    """What a signature says of each file: `classes` and `scores` [B, k], `valid` [B]."""
    return [
        (tuple(name.decode(errors="replace") for name in names), tuple(map(float, scores)))
        if valid
        else _INVALID
        for names, scores, valid in zip(
            answer["classes"], answer["scores"], answer["valid"], strict=True
        )
    ]


def _images_in(folder: Path) -> list[Path]:
    closed: list[OSError] = []  # folders
    found = [
        Path(directory, name)
        for directory, _, names in os.walk(folder, onerror=closed.append)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]
    return sorted([*found, *(Path(error.filename) for error in closed)])


def predict(ask: Ask, paths: list[Path], batch_size: int) -> Iterator[list[Prediction]]:
    """The classes on files, batch by batch.

    Args:
        ask: what answers.
        paths: of the files; one that cannot be read or decoded is said to be so.
        batch_size: files at a time.
    """
    for start in range(0, len(paths), batch_size):
        files = [(path, *_read(path)) for path in paths[start : start + batch_size]]
        contents = [content for _, content, reason in files if not reason]
        rows = iter(ask(contents) if contents else [])
        yield [_prediction(path, reason or next(rows)) for path, _, reason in files]


def _prediction(path: Path, row: Row) -> Prediction:
    if isinstance(row, str):
        return Prediction(str(path), reason=row)
    return Prediction(str(path), *row)


def _read(path: Path) -> tuple[bytes, str]:
    """A file's contents, and why there are none."""
    try:
        about = path.stat()
        if stat.S_ISREG(about.st_mode):
            if about.st_size > MAX_BYTES:
                return b"", f"larger than {MAX_BYTES:,} bytes"
            return path.read_bytes(), ""
        # A pipe or a device might let wait for ever.
        return b"", "a folder without images" if stat.S_ISDIR(about.st_mode) else "no regular file"
    except OSError as error:
        return b"", error.strerror or "cannot be read"
