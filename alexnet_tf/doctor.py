"""Examines every image of a dataset, and reports its contents and its faults.

python -m alexnet_tf.doctor --dataset=folder --data_dir=DIR --output=report
"""

from __future__ import annotations

import pathlib
import tempfile

from absl import flags as absl_flags

from alexnet_tf import app, flags
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.paths import local_path

_FLAGS = absl_flags.FLAGS


def main(argv: list[str]) -> int:
    """Inspects and reports; returns the exit code: 0 if nothing is wrong, 2 if something is."""
    from alexnet_tf.data.sources import open_dataset
    from alexnet_tf.inspection.dataset_report import inspect_dataset

    preprocessing = get_variant(_FLAGS.variant).preprocessing
    output = _make_directory(_FLAGS.output)
    dataset = open_dataset(
        _FLAGS.dataset, _FLAGS.data_dir, 1.0, _FLAGS.validation_split, to_train=False
    )
    report = inspect_dataset(dataset, preprocessing, _FLAGS.seed)
    report.write(output)
    print(f"\n{output / 'report.json'}: images per class, and everything unusual")
    if report.sheet:
        print(
            f"{output / 'batch.png'}: images before and after augmentation, as `{_FLAGS.variant}` "
            "is trained"
        )
    return 2 if report.findings else 0


def _make_directory(path: str) -> pathlib.Path:
    folder = local_path(path, "--output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            f"Expected --output to be a directory. Received: {folder} ({error.strerror})"
        ) from None
    return folder


if __name__ == "__main__":
    flags.define_as_in_training("dataset", "data_dir", "validation_split")
    absl_flags.DEFINE_string(
        "variant", "paper", "the variant whose resizing and augmentations are used"
    )
    absl_flags.DEFINE_string(
        "output", "doctor", "directory for report.txt, report.json and batch.png"
    )
    absl_flags.DEFINE_integer(
        "seed", 0, "seed of the choice of images for batch.png", lower_bound=0
    )
    app.run(main, flags_only=True)
