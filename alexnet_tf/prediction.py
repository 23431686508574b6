"""From files to the classes that are on them."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from alexnet_tf.data.folder import IMAGE_SUFFIXES

# From files to `classes`, `scores` and `valid`, arrays of a row each.
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


def find_images(paths: Iterable[str | os.PathLike]) -> list[pathlib.Path]:
    """Files as they are named, and all images in folders and in what these hold, sorted."""
    found = []
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        else:
            found.append(path)
    return found


def predict(ask: Ask, paths: list[pathlib.Path], batch_size: int) -> Iterator[list[Prediction]]:
    """The classes on files, batch by batch.

    Args:
        ask: what answers.
        paths: of the files; one that cannot be read or decoded is said to be so.
        batch_size: files at a time.
    """
    for start in range(0, len(paths), batch_size):
        batch = paths[start : start + batch_size]
        contents, reasons = zip(*map(_read, batch), strict=True)
        answer = ask(list(contents))
        rows = zip(*(answer[name] for name in ("classes", "scores", "valid")), strict=True)
        yield [
            Prediction(
                str(path),
                tuple(name.decode() for name in classes),
                tuple(map(float, scores)),
            )
            if valid
            else Prediction(str(path), reason=reason or "not a JPEG, PNG, GIF or BMP, or damaged")
            for path, reason, (classes, scores, valid) in zip(batch, reasons, rows, strict=True)
        ]


def _read(path: pathlib.Path) -> tuple[bytes, str]:
    """A file's contents, and why there are none."""
    try:
        return path.read_bytes(), ""
    except OSError as error:
        return b"", error.strerror or "cannot be read"
