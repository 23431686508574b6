"""The report of an evaluation: as text, as JSON and as CSV."""

from __future__ import annotations

import csv
import dataclasses
import json
import os

import numpy as np

from alexnet_tf.data.dataset import NO_LABEL, Split
from alexnet_tf.evaluation.predictions import Predictions
from alexnet_tf.evaluation.published import Published, identify_images, published
from alexnet_tf.system.text import csv_cell, printable


@dataclasses.dataclass(frozen=True)
class Report:
    """Predictions for a split, and which models made them.

    Attributes:
        predictions: for all images of the split.
        split: the images; it names them in the CSV file.
        classes: names in label order.
        dataset: its name.
        split_name: of the split.
        variants: name of each model's variant, with its activation if that is not the variant's
            own; several models were averaged.
        steps: training steps of each model.
    """

    predictions: Predictions
    split: Split
    classes: tuple[str, ...]
    dataset: str
    split_name: str
    variants: tuple[str, ...]
    steps: tuple[int, ...]

    def text(self, rows: int) -> str:
        """The metrics, published errors, and the tables if `rows` is above 0.

        Args:
            rows: of each table, at most.
        """
        steps = "+".join(f"{step:,}" for step in self.steps)
        lines = [
            f"{'+'.join(self.variants)}, step {steps}, {self.dataset} {self.split_name}: "
            f"{self.predictions.evaluation()}"
        ]
        for line, differences in self.published():
            but = f", but for other {' and '.join(differences)}" if differences else ""
            lines.append(f"published{but}: {line}")
        if rows:
            lines += ["", *class_table(self.predictions, self.classes, rows)]
            confusions = confusion_table(self.predictions, self.classes, rows)
            lines += ["", *confusions] if confusions else []
        return "\n".join(lines)

    def published(self) -> list[tuple[Published, list[str]]]:
        """Published errors of the variant, each with what differs; comparable ones first."""
        if len({*self.variants}) > 1:
            return []
        counts = np.bincount(self.predictions.labels, minlength=len(self.classes))
        readable = self.predictions.per_class_counts(len(self.classes))[:, 0]
        images = identify_images(self.classes, counts)
        known = [
            (line, line.differences(images, self.predictions.views, len(self.variants)))
            for line in published(self.variants[0], self.classes, readable)
        ]
        return sorted(known, key=lambda pair: bool(pair[1]))

    def as_dict(self) -> dict:
        """All of it for JSON; errors are fractions, None for a class without images."""
        counts = self.predictions.per_class_counts(len(self.classes)).tolist()
        return {
            **dataclasses.asdict(self.predictions.evaluation()),
            "per_class": [
                {
                    "class": name,
                    "images": images,
                    "top1_error": (images - top1) / images if images else None,
                    "top5_error": (images - top5) / images if images else None,
                }
                for name, (images, top1, top5) in zip(self.classes, counts, strict=True)
            ],
            "confusions": [
                {
                    "class": self.classes[label],
                    "taken_for": self.classes[predicted],
                    "images": images,
                }
                for label, predicted, images in self.predictions.confusions()
            ],
            "variant": "+".join(self.variants),
            "step": self.steps[0] if len(self.steps) == 1 else list(self.steps),
            "dataset": self.dataset,
            "split": self.split_name,
            "published": [
                {**dataclasses.asdict(line), "comparable": not differences}
                for line, differences in self.published()
            ],
        }

    def as_json(self) -> str:
        """`as_dict` as text."""
        return json.dumps(self.as_dict(), indent=1)

    def write_csv(self, path: str | os.PathLike) -> None:
        """Writes one line an image: index, image, label, correct, then predictions.

        `correct` is 1 or 0. It is empty, as the predictions are, if the image could not be decoded
        or has no label. A name that a spreadsheet would compute, such as "=1+1", has a "'" before
        it (`csv_cell`).
        """
        predictions, k = self.predictions, self.predictions.predicted.shape[1]
        # File names are written as they are, whatever bytes they consist of.
        with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            columns = [name for i in range(1, k + 1) for name in (f"guess{i}", f"probability{i}")]
            writer.writerow(["index", "image", "label", "correct", *columns])
            for index, image in enumerate(self.split.example_names()):
                label, predicted = predictions.labels[index], predictions.predicted[index]
                truth = "" if label == NO_LABEL else csv_cell(self.classes[label])
                row = [index, csv_cell(image), truth]
                if not predictions.readable[index]:
                    writer.writerow([*row, "", *[""] * 2 * k])
                    continue
                row.append(int(predicted[0] == label))
                for number, share in zip(predicted, predictions.probabilities[index], strict=True):
                    row += [
                        csv_cell(self.classes[number]),
                        f"{share:.9g}",
                    ]  # all digits of a float32
                writer.writerow(row)


def class_table(predictions: Predictions, classes: tuple[str, ...], rows: int) -> list[str]:
    """Lines of a table of the classes with the highest top-1 error.

    Args:
        predictions: for a split.
        classes: names in label order.
        rows: at most.
    """
    counts = predictions.per_class_counts(len(classes))
    errors = 1 - counts[:, 1] / np.maximum(counts[:, 0], 1)
    errors[counts[:, 0] == 0] = -1  # classes without images come last
    worst = np.argsort(-errors, kind="stable")[:rows]
    names = {i: printable(classes[i]) for i in worst}
    width = max(map(len, names.values()))
    lines = [f"{'class':{width}}  images  top-1 error  top-5 error"]
    for i in worst:
        images, top1, top5 = counts[i].tolist()
        errors = [f"{1 - correct / images:.1%}" if images else "-" for correct in (top1, top5)]
        lines.append(f"{names[i]:{width}}  {images:6,}  {errors[0]:>11}  {errors[1]:>11}")
    return lines


def confusion_table(predictions: Predictions, classes: tuple[str, ...], rows: int) -> list[str]:
    """Lines of a table of the pairs most often confused; none if there is no error.

    Args:
        predictions: for a split.
        classes: names in label order.
        rows: at most.
    """
    counts = predictions.per_class_counts(len(classes))
    confusions = predictions.confusions()[:rows]
    if not confusions:
        return []
    names = [printable(name) for name in classes]
    width = max(len(names[label]) for label, _, _ in confusions)
    lines = [f"{'class':{width}}  images  share  taken for"]
    for label, predicted, images in confusions:
        share = images / counts[label, 0]
        lines.append(f"{names[label]:{width}}  {images:6,}  {share:5.1%}  {names[predicted]}")
    return lines
