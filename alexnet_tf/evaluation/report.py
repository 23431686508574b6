"""Predictions as tables to read, as JSON and as CSV."""

from __future__ import annotations

import csv
import dataclasses
from typing import TextIO

import numpy as np

from alexnet_tf.data.dataset import Split
from alexnet_tf.evaluation.predictions import Predictions


def as_text(predictions: Predictions, classes: tuple[str, ...], rows: int) -> str:
    """The classes with the highest error, and the pairs most often confused.

    Args:
        predictions: of a split.
        classes: names in label order.
        rows: of each table, at most.
    """
    counts = predictions.by_class(len(classes))
    errors = 1 - counts[:, 1] / np.maximum(counts[:, 0], 1)
    errors[counts[:, 0] == 0] = -1  # at the end
    worst = np.argsort(-errors, kind="stable")[:rows]
    width = max(len(classes[i]) for i in worst)
    lines = [f"{'class':{width}}  images  top-1 error  top-5 error"]
    for i in worst:
        images, top1, top5 = counts[i].tolist()
        share = [f"{1 - hits / images:.1%}" if images else "-" for hits in (top1, top5)]
        lines.append(f"{classes[i]:{width}}  {images:6,}  {share[0]:>11}  {share[1]:>11}")
    confusions = predictions.confusions()[:rows]
    if confusions:
        width = max(len(classes[label]) for label, _, _ in confusions)
        lines += ["", f"{'class':{width}}  images  share  taken for"]
        for label, guess, images in confusions:
            share = images / counts[label, 0]
            lines.append(f"{classes[label]:{width}}  {images:6,}  {share:5.1%}  {classes[guess]}")
    return "\n".join(lines)


def as_dict(predictions: Predictions, classes: tuple[str, ...]) -> dict:
    """The same, complete, for JSON; errors are fractions, None for a class without images."""
    per_class = [
        {
            "class": name,
            "images": images,
            "top1_error": (images - top1) / images if images else None,
            "top5_error": (images - top5) / images if images else None,
        }
        for name, (images, top1, top5) in zip(
            classes, predictions.by_class(len(classes)).tolist(), strict=True
        )
    ]
    confusions = [
        {"class": classes[label], "taken_for": classes[guess], "images": images}
        for label, guess, images in predictions.confusions()
    ]
    return {
        **dataclasses.asdict(predictions.evaluation()),
        "per_class": per_class,
        "confusions": confusions,
    }


def write_csv(
    file: TextIO, predictions: Predictions, split: Split, classes: tuple[str, ...]
) -> None:
    """One line an image: index, image, label, correct, then guesses and their probabilities.

    `correct` is 1 or 0, and empty, as the guesses are, where the image could not be decoded.

    Args:
        file: to write to, opened with newline="".
        predictions: of the split.
        split: names the images.
        classes: names in label order.
    """
    writer = csv.writer(file, lineterminator="\n")
    k = predictions.guesses.shape[1]
    columns = [name for i in range(1, k + 1) for name in (f"guess{i}", f"probability{i}")]
    writer.writerow(["index", "image", "label", "correct", *columns])
    for index, title in enumerate(split.example_names()):
        row = [index, title, classes[predictions.labels[index]]]
        if not predictions.readable[index]:
            writer.writerow([*row, "", *[""] * 2 * k])
            continue
        row.append(int(predictions.guesses[index, 0] == predictions.labels[index]))
        for guess, score in zip(predictions.guesses[index], predictions.scores[index], strict=True):
            row += [classes[guess], f"{score:.9g}"]  # all digits of a float32
        writer.writerow(row)
