"""From files to the classes that are on them. No TensorFlow is imported here: clients need none."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")  # as in data/folder.py

_ANSWER = ("classes", "scores", "valid")
# From files to an answer, arrays of a row each.
Ask = Callable[[list[bytes]], dict[str, np.ndarray]]


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
    """
    found = []
    for path in map(Path, paths):
        found += (_images_in(path) if os.path.isdir(path) else []) or [path]
    return found


def _images_in(folder: Path) -> list[Path]:
    closed: list[OSError] = []  # folders
    found = [
        Path(directory, name)
        for directory, _, names in os.walk(folder, onerror=closed.append)
        for name in names
        if name.lower().endswith(SUFFIXES)
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
        answer = ask(contents) if contents else {name: () for name in _ANSWER}
        rows = zip(*(answer[name] for name in _ANSWER), strict=True)
        yield [
            Prediction(str(path), reason=reason) if reason else _prediction(path, *next(rows))
            for path, _, reason in files
        ]


def _prediction(path: Path, classes: np.ndarray, scores: np.ndarray, valid: bool) -> Prediction:
    """What a row of an answer says of a file."""
    if not valid:
        return Prediction(str(path), reason="not a JPEG, PNG, GIF or BMP, or damaged")
    names = tuple(name.decode(errors="replace") for name in classes)
    return Prediction(str(path), names, tuple(map(float, scores)))


def _read(path: Path) -> tuple[bytes, str]:
    """A file's contents, and why there are none."""
    try:
        return path.read_bytes(), ""
    except IsADirectoryError:
        return b"", "a folder without images"
    except OSError as error:
        return b"", error.strerror or "cannot be read"
