"""Looks at every image of a dataset and says what is in it and whether it is fit to train on.

python -m alexnet_tf.doctor --dataset=folder --data_dir=DIR --output=report
"""

from __future__ import annotations

import pathlib

from absl import flags as absl_flags

from alexnet_tf import app, flags

_FLAGS = absl_flags.FLAGS
_SHOWN = 6  # images in the picture


def main(argv: list[str]) -> int:
    """Examines and reports; returns the exit code: 0 if nothing is wrong, 2 if something is."""
    from alexnet_tf.data import verdict
    from alexnet_tf.data.census import take_census
    from alexnet_tf.data.contact_sheet import contact_sheet, sample
    from alexnet_tf.data.preprocess import Preprocessor
    from alexnet_tf.data.sources import open_source
    from alexnet_tf.data.statistics import Statistics, compute_statistics
    from alexnet_tf.errors import UserError
    from alexnet_tf.models.variants import get_variant

    if argv:
        raise UserError(f"Expected flags only. Received: {argv[0]}")
    spec = get_variant(_FLAGS.variant).preprocessing
    output = pathlib.Path(_FLAGS.output).expanduser()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Expected --output to be a directory. Received: {output} ({error})"
        ) from None
    source = open_source(_FLAGS.dataset, _FLAGS.data_dir, max_unreadable=1.0)
    lines: list[str] = []

    def say(*more: str) -> None:
        """Prints lines, and keeps them for the report."""
        lines.extend(more)
        print(*more, sep="\n", flush=True)

    train, validation = (
        take_census(split, len(source.classes)) for split in (source.train, source.validation)
    )
    say(*verdict.describe(train, source.classes), *verdict.describe(validation, source.classes))
    say(*verdict.describe_twins(train, validation), verdict.describe_classes(source.classes))
    statistics = compute_statistics(source.train, spec)
    say(*_describe_statistics(statistics))
    found = verdict.findings(train, validation, source.classes)
    if source.statistics is not None and spec.image_size == 256:
        distance = abs(Statistics.load(source.statistics).mean - statistics.mean).mean()
        say(f"mean image that the dataset brings: {distance:.3f} of 255 a pixel from this one")
        if distance > 1:
            found.append("the mean image that the dataset brings is not its own")
    examples = sample(source.train, _SHOWN)
    sheet = contact_sheet(examples, source.classes, Preprocessor(spec, statistics))
    (output / "batch.png").write_bytes(sheet)
    if found:
        say("\nVerdict: it can be trained on, but mind:", *(f"  - {line}" for line in found))
    else:
        say("\nVerdict: nothing is wrong with it.")
    (output / "report.txt").write_text("\n".join(lines) + "\n")
    print(f"\n{output / 'batch.png'}: a batch before and after augmentation, as `{_FLAGS.variant}`")
    return 2 if found else 0


def _describe_statistics(statistics) -> list[str]:  # noqa: ANN001  # imported only when needed
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
    absl_flags.DEFINE_string("output", "doctor", "a directory for report.txt and batch.png")
    app.run(main)
