"""Predicts the classes of image files. It imports no TensorFlow, so that a client needs none."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from alexnet_tf.data.class_folders import (
    IMAGE_SUFFIXES,
    LITTER,
    SPECIAL,
    LeftOut,
    is_litter,
    read_start,
    why_left_out,
)
from alexnet_tf.data.limits import MAX_BYTES, MAX_PIXELS
from alexnet_tf.data.pillow_decoding import to_bmp
from alexnet_tf.models.imagenet_classes import class_words
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.paths import check_no_url
from alexnet_tf.system.progress import Progress
from alexnet_tf.system.text import printable

# Signatures of an exported model, by number of views.
VIEW_SIGNATURES = {"1": "serving_default", "10": "ten_view"}
# Of the largest entropy. Ten classes have it when the best one's probability is 33 %.
_GUESSING = 0.9
_MAX_NAMES = 20  # of classes that are listed

_INVALID = (
    f"not a JPEG, PNG, GIF, BMP, WebP or TIFF, damaged, or too large (JPEG: {MAX_PIXELS:,} pixels)"
)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The most probable classes of one image file. As text it has words for ImageNet's synsets.

    Attributes:
        path: the file; empty where only its contents are known.
        classes: class names, the most probable first.
        scores: their probabilities.
        known: number of classes that the model knows; 0 if the model does not say.
        entropy: of all probabilities, divided by the largest possible: 0 is sure, 1 a guess; None
            if the model does not give all probabilities.
        reason: why there is no prediction; empty if there is one.
    """

    path: str = ""
    classes: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    known: int = 0
    entropy: float | None = None
    reason: str = ""

    def __str__(self) -> str:
        rows = zip(self.scores, self.classes, strict=True)
        bars = [
            f"  {score:6.2%}  {'█' * round(30 * score):30}  {printable(class_words(name))}"
            for score, name in rows
        ]
        if self.entropy is not None and self.entropy > _GUESSING:
            bars.append(f"  little more than a guess: entropy {self.entropy:.0%} of the maximum")
        return "\n".join([printable(self.path), *bars])


PredictFn = Callable[[list[bytes]], list[Prediction]]  # encoded images to one prediction each


def find_images(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """Lists files as given, and all images in folders and their subfolders, sorted.

    A folder without images, or one that cannot be read, is listed itself: `predict_files` gives
    the reason. The other files of folders are counted on standard error.

    Raises:
        UserError: a URL, or an empty path, such as that of a variable of the shell that is not set.
    """
    paths = list(paths)
    for path in paths:
        check_no_url(path, "each photograph")
        if not os.fspath(path):
            raise UserError("Expected image files or folders. Received: an empty path")
    found, left_out = [], LeftOut()
    for path in map(Path, paths):
        found += (_images_in(path, left_out) if os.path.isdir(path) else []) or [path]
    if left_out:
        print(left_out, file=sys.stderr)
    return found


def decode_outputs(outputs: dict[str, np.ndarray]) -> list[Prediction]:
    """Turns a signature's outputs into predictions without paths.

    Args:
        outputs: `classes` (bytes) and `scores`, [B, k], `valid`, bool [B], and perhaps
            `probabilities`, [B, classes].
    """
    predictions = [
        Prediction(
            classes=tuple(name.decode(errors="replace") for name in names),
            scores=tuple(map(float, scores)),
        )
        if valid
        else Prediction(reason=_INVALID)
        for names, scores, valid in zip(
            *(outputs[name] for name in ("classes", "scores", "valid")), strict=True
        )
    ]
    if "probabilities" not in outputs:
        return predictions
    return [
        dataclasses.replace(prediction, known=len(row), entropy=normalised_entropy(row))
        if prediction.classes
        else prediction
        for prediction, row in zip(predictions, outputs["probabilities"], strict=True)
    ]


def normalised_entropy(probabilities: np.ndarray) -> float:
    """Entropy of probabilities [classes], divided by that of a guess: from 0 to 1."""
    if len(probabilities) < 2:
        return 0.0
    positive = probabilities[probabilities > 0].astype(np.float64)
    return float(-(positive * np.log(positive)).sum() / np.log(len(probabilities)))


def describe_classes(names: Sequence[str]) -> str:
    """Names the classes that a model knows; many classes are only counted."""
    listed = f": {', '.join(map(printable, names))}" if names and len(names) <= _MAX_NAMES else ""
    return _knows(len(names)) + listed


def _knows(count: int) -> str:
    return f"The model always predicts one of the {count:,} classes that it knows"


def predict_files(
    predict_fn: PredictFn, paths: list[Path], batch_size: int
) -> Iterator[list[Prediction]]:
    """Predicts the classes of files, batch by batch.

    Args:
        predict_fn: from encoded images to predictions.
        paths: the files; a prediction says why a file could not be read or decoded.
        batch_size: files per call.
    """
    for start in range(0, len(paths), batch_size):
        files = [(path, *_read(path)) for path in paths[start : start + batch_size]]
        contents = [content for _, content, reason in files if not reason]
        predictions = iter(_predict(predict_fn, contents))
        yield [
            dataclasses.replace(
                Prediction(reason=reason) if reason else next(predictions), path=str(path)
            )
            for path, _, reason in files
        ]


def print_predictions(
    predict_fn: PredictFn,
    paths: list[Path],
    batch_size: int,
    json_lines: TextIO | None = None,
    text: bool = True,
    classes: Sequence[str] = (),
) -> bool:
    """Predicts the classes of files and prints them as they come.

    Args:
        predict_fn: from encoded images to predictions.
        paths: the files.
        batch_size: files per call.
        json_lines: file that gets one JSON object per line.
        text: prints the predictions in readable form, too.
        classes: names of all classes that the model knows, if they are known here.

    Returns:
        Whether every file could be read.
    """
    all_read, knows = True, describe_classes(classes) if classes else ""
    with Progress("predicting", len(paths), "files") as progress:
        for predictions in predict_files(predict_fn, paths, batch_size):
            for prediction in predictions:
                if prediction.reason:
                    all_read = False
                    message = f"error: cannot read {prediction.path}: {prediction.reason}"
                    print(printable(message), file=sys.stderr)
                elif text:
                    progress.write(str(prediction))
                    knows = knows or (_knows(prediction.known) if prediction.known else "")
                if json_lines is not None:
                    json_lines.write(json.dumps(dataclasses.asdict(prediction)) + "\n")
            progress.advance(len(predictions))
        if text and knows:
            progress.write(f"{knows}.")
    return all_read


def _predict(predict_fn: PredictFn, contents: list[bytes]) -> list[Prediction]:
    """Predicts, and asks again with a copy by Pillow of each image that the model cannot read."""
    predictions = predict_fn(contents) if contents else []
    failed = [place for place, prediction in enumerate(predictions) if prediction.reason]
    copies = {place: copy for place in failed if (copy := to_bmp(contents[place]))}
    if copies:
        again = predict_fn(list(copies.values()))
        for place, prediction in zip(copies, again, strict=True):
            predictions[place] = prediction
    return predictions


def _images_in(folder: Path, left_out: LeftOut) -> list[Path]:
    unreadable: list[OSError] = []  # folders
    found = []
    for directory, folders, names in os.walk(folder, onerror=unreadable.append):
        litter = sorted(filter(is_litter, (*folders, *names)))
        folders[:] = sorted(set(folders).difference(litter))
        for name in litter:
            left_out.add(LITTER, name)
        for name in sorted(set(names).difference(litter)):
            path = Path(directory, name)
            if reason := _why_no_image(path):
                left_out.add(reason, name)
            else:
                found.append(path)
    return sorted([*found, *(Path(error.filename) for error in unreadable)])


def _why_no_image(path: Path) -> str | None:
    """Why a file in a folder is left out; None for one that is an image, or that should be one."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return None
    if not path.is_file():
        return SPECIAL
    try:
        start, _ = read_start(path)
    except OSError:  # `predict_files` says so
        return None
    return why_left_out(start, suffix)


def _read(path: Path) -> tuple[bytes, str]:
    """Returns a file's contents, and the reason if it cannot be read."""
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            if status.st_size > MAX_BYTES:
                return b"", f"larger than {MAX_BYTES:,} bytes"
            return path.read_bytes(), ""
        # Reading a pipe or a device might block for ever.
        return b"", "a folder without images" if stat.S_ISDIR(status.st_mode) else "no regular file"
    except OSError as error:
        return b"", error.strerror or "cannot be read"
