"""Looks at every image of a dataset and says what is in it and whether it is fit to train on.

python -m alexnet_tf.doctor --dataset=folder --data_dir=DIR --output=report
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing
from typing import Any

from absl import flags as absl_flags

from alexnet_tf import app, flags

if typing.TYPE_CHECKING:  # they import TensorFlow, which --help need not wait for
    from alexnet_tf.data.dataset import ImageDataset, Split
    from alexnet_tf.data.decode_errors import DecodeErrors
    from alexnet_tf.data.statistics import Statistics
    from alexnet_tf.models.spec import Preprocessing

_FLAGS = absl_flags.FLAGS
_SHOWN = 6  # images in the picture
_BATCH = 64


class _Report:
    """What there is to say about a dataset, and what of it is wrong."""

    def __init__(self):
        self.lines: list[str] = []
        self.findings: list[str] = []

    def say(self, *lines: str) -> None:
        """Prints lines, and keeps them."""
        self.lines.extend(lines)
        print(*lines, sep="\n", flush=True)


def main(argv: list[str]) -> int:
    """Examines and reports; returns the exit code: 0 if nothing is wrong, 2 if something is."""
    from alexnet_tf.data.sources import open_dataset
    from alexnet_tf.inspection import findings
    from alexnet_tf.models.variants import get_variant
    from alexnet_tf.system.errors import UserError

    if argv:
        raise UserError(f"Expected flags only. Received: {argv[0]}")
    spec = get_variant(_FLAGS.variant).preprocessing
    output = _make_directory(_FLAGS.output)
    source = open_dataset(_FLAGS.dataset, _FLAGS.data_dir, max_unreadable=1.0)
    report = _Report()
    if damaged := _damaged(source):
        raise UserError(
            f"Expected files as {_FLAGS.dataset} was prepared. Received: another {damaged[0]} "
            f"({len(damaged)} such files); prepare it again"
        )
    facts = _count(source, report)
    sheet = _decode(source, spec, report)
    report.say(*findings.conclude(report.findings))
    (output / "report.txt").write_text("\n".join(report.lines) + "\n")
    facts["verdict"] = report.findings
    (output / "report.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(f"\n{output / 'report.json'}: every class with its number of images, and all that is odd")
    if sheet:
        (output / "batch.png").write_bytes(sheet)
        print(
            f"{output / 'batch.png'}: images before and after augmentation, as `{_FLAGS.variant}`"
        )
    return 2 if report.findings else 0


def _damaged(source: ImageDataset) -> list[str]:
    """Names of files that are not as `prepare` has noted."""
    from alexnet_tf.data import prepare_report
    from alexnet_tf.preparation.directory import verified_files

    if not source.train.paths:
        return []
    folder = pathlib.Path(source.train.paths[0]).parent
    report = prepare_report.read_report(folder)
    if report is None:
        return []
    digests = prepare_report.digests(report)
    return sorted(set(digests) - verified_files(folder, digests, workers=2))


def _count(source: ImageDataset, report: _Report) -> dict[str, Any]:
    """Looks at the files of both splits; returns the facts, for JSON."""
    from alexnet_tf.inspection import findings
    from alexnet_tf.inspection.dataset_stats import collect_stats
    from alexnet_tf.inspection.duplicates import find_duplicates

    classes = source.classes
    train, validation = censuses = [
        collect_stats(split, len(classes)) for split in (source.train, source.validation)
    ]
    doubles = find_duplicates(train, validation)
    for census in censuses:
        report.say(*findings.describe(census, classes))
    if source.passed_over:
        report.say(
            f"passed over, with the name of no image or too large: {source.passed_over:,} files"
        )
    report.say(*findings.describe_doubles(train, validation, doubles))
    report.say(findings.describe_classes(classes))
    report.findings += findings.findings(train, validation, doubles, classes)
    return {
        **{census.name: findings.as_json(census, classes) for census in censuses},
        "in_both": dataclasses.asdict(doubles),
    }


def _decode(source: ImageDataset, spec: Preprocessing, report: _Report) -> bytes | None:
    """Decodes both splits as training does, which knows other formats than the census's Pillow.

    Returns:
        A picture of some training images before and after augmentation, PNG; None if none of
        these can be decoded.
    """
    from alexnet_tf.data.contact_sheet import contact_sheet, sample
    from alexnet_tf.data.decode_errors import DecodeErrors
    from alexnet_tf.data.preprocess import Preprocessor
    from alexnet_tf.data.statistics import compute_statistics

    refused = {split: DecodeErrors(split) for split in (source.train, source.validation)}
    examples, sheet = sample(source.train, _SHOWN, _FLAGS.seed), None
    if examples:
        statistics = compute_statistics(source.train, spec, refused[source.train])
        report.say(*_describe_statistics(statistics))
        _compare_statistics(source.statistics, statistics, report)
        preprocessor = Preprocessor(spec, statistics)
        sheet = contact_sheet(examples, source.classes, preprocessor, _FLAGS.seed)
    else:
        report.findings.append("none of some training images, taken here and there, can be decoded")
    _decode_all(source.validation, spec, refused[source.validation])
    for split, each in refused.items():
        if each:
            report.say(f"{split.name} images that training cannot decode: {each}")
            report.findings.append(
                f"{len(each):,} {split.name} images cannot be decoded by TensorFlow"
            )
    return sheet


def _make_directory(path: str) -> pathlib.Path:
    from alexnet_tf.system.errors import UserError

    folder = pathlib.Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Expected --output to be a directory. Received: {folder} ({error})"
        ) from None
    return folder


def _decode_all(split: Split, spec: Preprocessing, unreadable: DecodeErrors) -> None:
    """Decodes a split as training does, to see what that makes of it."""
    from alexnet_tf.data.pipeline import evaluation_dataset
    from alexnet_tf.system.progress import Progress

    with Progress(f"decoding {split.name}", split.examples, "images") as progress:
        for batch in evaluation_dataset(split, spec, _BATCH, unreadable).as_numpy_iterator():
            progress.advance(int((batch["index"] >= 0).sum()))


def _compare_statistics(path: str | None, computed: Statistics, report: _Report) -> None:
    """Says how far the mean image that a dataset brings is from its own."""
    from alexnet_tf.data.statistics import Statistics
    from alexnet_tf.system.errors import UserError

    if path is None:
        return
    try:
        brought = Statistics.load(path).mean
    except UserError as error:
        report.findings.append(f"its {pathlib.Path(path).name} is damaged: {error}")
        return
    if brought.shape != computed.mean.shape:
        report.say(
            f"mean image that the dataset brings: of {len(brought)} pixels, not compared, as "
            f"--variant={_FLAGS.variant} has {len(computed.mean)}"
        )
        return
    distance = abs(brought - computed.mean).mean()
    report.say(f"mean image that the dataset brings: {distance:.3f} of 255 a pixel from this one")
    if distance > 1:
        report.findings.append("the mean image that the dataset brings is not its own")


def _describe_statistics(statistics: Statistics) -> list[str]:
    mean = statistics.mean.mean(axis=(0, 1))
    values, vectors = statistics.eigenvalues, statistics.eigenvectors
    lines = [f"mean colour, RGB in 0 to 255: {mean[0]:.2f}, {mean[1]:.2f}, {mean[2]:.2f}"]
    for i in range(3):
        vector = ", ".join(f"{value:+.4f}" for value in vectors[:, i])
        lines.append(f"principal component {i + 1}: eigenvalue {values[i]:.5f}, RGB {vector}")
    return lines


if __name__ == "__main__":
    flags.define_as_in_training("dataset", "data_dir")
    absl_flags.DEFINE_string("variant", "paper", "whose preprocessing the picture shows")
    absl_flags.DEFINE_string(
        "output", "doctor", "a directory for report.txt, report.json and batch.png"
    )
    absl_flags.DEFINE_integer("seed", 0, "of the choice of images for the picture", lower_bound=0)
    app.run(main)
