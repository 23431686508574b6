"""Measures the top-1 and top-5 error of a trained AlexNet, or of several averaged.

python -m alexnet_tf.evaluate --model_dir=runs/shapes-tiny
python -m alexnet_tf.evaluate --model_dir=runs/shapes-tiny --views=10 --json=result.json
python -m alexnet_tf.evaluate --model_dir=runs/one,runs/two --csv=predictions.csv

It prints both errors, the classes with the highest error and the pairs most often confused. Errors
that the source of the variant published are printed beside them if the dataset has ImageNet's
classes.
"""

from __future__ import annotations

import sys
import typing

from absl import flags as absl_flags

from alexnet_tf import app, flags
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.paths import local_path

if typing.TYPE_CHECKING:  # they import TensorFlow, which --help need not wait for
    from alexnet_tf.data.dataset import ImageDataset
    from alexnet_tf.data.decode_errors import DecodeErrors
    from alexnet_tf.evaluation.report import Report
    from alexnet_tf.training.metadata import RunMetadata

_FLAGS = absl_flags.FLAGS
_CLUSTER = ("workers", "worker_index", "worker_timeout")
# All workers must have the same values.
_SHARED = ("model_dir", "checkpoint", "dataset", "data_dir", "split", "views", "batch_size")


def main(argv: list[str]) -> None:
    """Evaluates and reports."""
    from alexnet_tf.data.decode_errors import DecodeErrors
    from alexnet_tf.evaluation.evaluator import Evaluator
    from alexnet_tf.evaluation.report import Report
    from alexnet_tf.training.cluster import join_cluster
    from alexnet_tf.training.directory import load_classifier
    from alexnet_tf.training.distributed import (
        WorkerSync,
        check_batch_size,
        make_strategy,
        worker_scope,
    )

    _check_outputs()
    facts = {name: _FLAGS[name].value for name in (*_SHARED, *_CLUSTER)}
    cluster = join_cluster(_FLAGS.workers, _FLAGS.worker_index, facts, _FLAGS.worker_timeout)
    strategy = make_strategy(_FLAGS.strategy, _FLAGS.logical_cpus, cluster, _FLAGS.tpu)
    with worker_scope(WorkerSync(strategy, cluster), "evaluation begins again"):
        check_batch_size(_FLAGS.batch_size, strategy)
        with strategy.scope():
            classifier, runs, steps = load_classifier(_FLAGS.model_dir, _FLAGS.checkpoint)
        dataset = _open_dataset(runs[0])
        split = dataset.validation
        decode_errors = DecodeErrors(split, _FLAGS.max_unreadable)
        evaluator = Evaluator(classifier, strategy, _FLAGS.batch_size, int(_FLAGS.views))
        predictions = evaluator.predict(split, decode_errors=decode_errors)
        variants = tuple(run.model_name() for run in runs)
        names = (dataset.classes, dataset.name, split.name)
        if cluster.is_chief:
            _write(Report(predictions, split, *names, variants, tuple(steps)), decode_errors)


def _open_dataset(run: RunMetadata) -> ImageDataset:
    """The split that the flags name, of the dataset that they name or the run's.

    Labels are in the model's order of classes.
    """
    from alexnet_tf.data.sources import open_split

    name, data_dir, validation = run.find_dataset(_FLAGS.dataset, _FLAGS.data_dir)
    dataset = open_split(name, data_dir, _FLAGS.split, _FLAGS.max_unreadable, validation)
    return dataset.with_class_order(run.classes)


def _write(report: Report, decode_errors: DecodeErrors) -> None:
    """Prints the report, and writes the files that --json and --csv name."""
    # With --json=- standard output holds the JSON alone.
    text_output = sys.stderr if _FLAGS.json == "-" else sys.stdout
    print(report.text(_FLAGS.rows), file=text_output)
    if _FLAGS.json == "-":
        print(report.as_json())
    elif _FLAGS.json:
        local_path(_FLAGS.json).write_text(f"{report.as_json()}\n", encoding="utf-8")
    if _FLAGS.csv:
        report.write_csv(local_path(_FLAGS.csv))
    if len(decode_errors):
        print(decode_errors, file=text_output)


def _check_outputs() -> None:
    """Checks that the output files can be written: before the work, not after it."""
    for name in ("json", "csv"):
        path = _FLAGS[name].value
        if not path or (name, path) == ("json", "-"):
            continue
        try:
            with local_path(path).open("a"):
                pass
        except OSError as error:
            raise UserError(
                f"Expected --{name} to be a file that can be written. Received: {path} "
                f"({error.strerror})"
            ) from None


if __name__ == "__main__":
    flags.define_model_dirs()
    absl_flags.DEFINE_string("dataset", None, "default: the dataset the model was trained on")
    absl_flags.DEFINE_string("data_dir", None, "directory of the dataset, as in training")
    flags.define_split()
    flags.define_views()
    absl_flags.DEFINE_integer(
        "rows", 10, "rows to print of the tables of classes and of confused pairs", lower_bound=0
    )
    absl_flags.DEFINE_string(
        "json",
        None,
        "file for the metrics and the complete tables as JSON, or - for standard output; errors "
        "are fractions",
    )
    absl_flags.DEFINE_string("csv", None, "file for the predictions, one line an image")
    absl_flags.DEFINE_integer("batch_size", 64, "images per step; --views multiplies its memory")
    flags.define_as_in_training("max_unreadable", "strategy", "logical_cpus", "tpu", *_CLUSTER)
    app.run(main, flags_only=True)
