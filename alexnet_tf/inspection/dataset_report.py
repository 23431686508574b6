"""Examines a dataset and makes a report."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from alexnet_tf.data import prepared
from alexnet_tf.data.contact_sheet import contact_sheet, sample
from alexnet_tf.data.dataset import ImageDataset
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.pipeline import decoded_batches
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics, compute_statistics
from alexnet_tf.inspection import findings
from alexnet_tf.inspection.dataset_stats import collect_stats
from alexnet_tf.inspection.duplicates import Duplicates, find_duplicates
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import write_atomically, writing_to
from alexnet_tf.system.text import printable_lines

_SHOWN = 6  # images on the contact sheet
_MAX_DISTANCE = 1.0  # of 255, average over the pixels, between a stored and a computed mean image


class DatasetReport:
    """A report on a dataset; lines are printed when they are added.

    Attributes:
        lines: of text.
        findings: faults and doubts, a sentence each.
        facts: all counts, for JSON.
        sheet: contact sheet of training images before and after augmentation, PNG; None if no
            image can be decoded.
    """

    def __init__(self):
        self.lines: list[str] = []
        self.findings: list[str] = []
        self.facts: dict[str, Any] = {}
        self.sheet: bytes | None = None

    def say(self, *lines: str) -> None:
        """Prints lines and adds them to the report."""
        lines = [printable_lines(line) for line in lines]
        self.lines.extend(lines)
        print(*lines, sep="\n", flush=True)

    def write(self, folder: pathlib.Path) -> None:
        """Writes report.txt, report.json and, if there is one, the contact sheet batch.png."""
        facts = {**self.facts, "verdict": self.findings}
        contents = {
            "report.txt": ("\n".join(self.lines) + "\n").encode(errors="backslashreplace"),
            "report.json": (json.dumps(facts, indent=1) + "\n").encode(),
            **({"batch.png": self.sheet} if self.sheet else {}),
        }
        for name, content in contents.items():
            with writing_to(folder), write_atomically(folder / name) as file:
                file.write(content)


def inspect_dataset(
    dataset: ImageDataset, preprocessing: Preprocessing, seed: int = 0
) -> DatasetReport:
    """Examines every image of a dataset.

    Args:
        dataset: the images.
        preprocessing: of the variant to train.
        seed: of the choice of images for the contact sheet.

    Raises:
        UserError: files have changed since `alexnet_tf.prepare` wrote them.
    """
    if damaged := _damaged_files(dataset):
        raise UserError(
            f"The dataset {dataset.name} is damaged: {len(damaged)} files have changed since they "
            f"were prepared, e.g. {damaged[0]}. Prepare it again"
        )
    report = DatasetReport()
    _examine(dataset, report)
    _decode(dataset, preprocessing, seed, report)
    use = "train" if dataset.train.examples else "evaluate"
    report.say(*findings.conclude(report.findings, use))
    return report


def _damaged_files(dataset: ImageDataset) -> list[str]:
    """Names of files that have changed since `alexnet_tf.prepare` wrote them."""
    paths = dataset.train.paths or dataset.validation.paths
    if not paths:
        return []
    folder = pathlib.Path(paths[0]).parent
    report = prepared.read_report(folder)
    if report is None:
        return []
    expected = prepared.report_digests(report)
    return sorted(set(expected) - prepared.verified_files(folder, expected, threads=2))


def _examine(dataset: ImageDataset, report: DatasetReport) -> None:
    """Collects statistics of the splits, and compares them."""
    classes = dataset.classes
    report.say(dataset.describe())
    used = [split for split in (dataset.train, dataset.validation) if split.examples]
    both = [collect_stats(split, len(classes)) for split in used]
    duplicates = find_duplicates(*both) if len(both) == 2 else Duplicates([], [], [])
    for stats in both:
        report.say(*findings.describe(stats, classes))
    if dataset.left_out:
        report.say(f"files: {dataset.left_out}")
    report.say(*findings.describe_duplicates(both, duplicates))
    report.say(findings.describe_classes(classes))
    if dataset.left_out.images:
        report.findings.append(f"{dataset.left_out.images:,} files are left out (see above)")
    report.findings += findings.find_faults(both, duplicates, classes)
    report.facts = {
        **{stats.name: findings.as_json(stats, classes) for stats in both},
        "in_both": dataclasses.asdict(duplicates),
    }


def _decode(
    dataset: ImageDataset, preprocessing: Preprocessing, seed: int, report: DatasetReport
) -> None:
    """Decodes both splits as training does: TensorFlow reads fewer formats than Pillow."""
    train_errors = DecodeErrors(dataset.train)
    validation_errors = DecodeErrors(dataset.validation)
    if examples := sample(dataset.train, _SHOWN, seed):
        statistics = compute_statistics(dataset.train, preprocessing, train_errors)
        report.say(*_describe_statistics(statistics))
        _compare_statistics(dataset.statistics, statistics, report)
        preprocessor = Preprocessor(preprocessing, statistics)
        report.sheet = contact_sheet(examples, dataset.classes, preprocessor, seed)
    elif dataset.train.examples:
        report.findings.append("no training image of a sample could be decoded")
    for _ in decoded_batches(
        dataset.validation, preprocessing, validation_errors, f"decoding {dataset.validation.name}"
    ):
        pass  # only the errors count
    for errors in (train_errors, validation_errors):
        if errors:
            report.say(f"{errors.split.name} images that training leaves out: {errors}")
        if errors.undecodable:
            report.findings.append(
                f"{errors.undecodable:,} {errors.split.name} images cannot be decoded by TensorFlow"
            )


def _compare_statistics(path: str | None, computed: Statistics, report: DatasetReport) -> None:
    """Compares the stored mean image of a dataset with the computed one."""
    if path is None:
        return
    try:
        stored = Statistics.load(path).mean
    except UserError as error:
        report.findings.append(f"its {pathlib.Path(path).name} is damaged: {error}")
        return
    if stored.shape != computed.mean.shape:
        report.say(
            f"stored mean image: {len(stored)} pixels, not compared, as the variant has "
            f"{len(computed.mean)}"
        )
        return
    distance = abs(stored - computed.mean).mean()
    report.say(f"stored mean image: differs by {distance:.3f} of 255 in a pixel, on average")
    if distance > _MAX_DISTANCE:
        report.findings.append("the stored mean image does not match the training images")


def _describe_statistics(statistics: Statistics) -> list[str]:
    mean = statistics.mean.mean(axis=(0, 1))
    values, vectors = statistics.eigenvalues, statistics.eigenvectors
    lines = [f"mean colour, RGB in 0 to 255: {mean[0]:.2f}, {mean[1]:.2f}, {mean[2]:.2f}"]
    for i in range(3):
        vector = ", ".join(f"{value:+.4f}" for value in vectors[:, i])
        lines.append(f"principal component {i + 1}: eigenvalue {values[i]:.5f}, RGB {vector}")
    return lines
