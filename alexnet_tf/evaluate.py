"""Measures the top-1 and top-5 error of a trained AlexNet, or of the average of several.

python -m alexnet_tf.evaluate --model_dir=runs/shapes-tiny --views=10 --json=result.json
python -m alexnet_tf.evaluate --model_dir=runs/one,runs/two --csv=predictions.csv
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import typing

from absl import flags as absl_flags

from alexnet_tf import app, flags

if typing.TYPE_CHECKING:  # they import TensorFlow, which --help need not wait for
    from alexnet_tf.data.dataset import ImageDataset
    from alexnet_tf.evaluation.predictions import Predictions
    from alexnet_tf.training.directory import RunMetadata

_FLAGS = absl_flags.FLAGS
_OUTPUTS = ("json", "csv")
_CLUSTER = ("workers", "worker_index", "worker_timeout")


def main(argv: list[str]) -> int:
    """Evaluates and reports; returns the exit code."""
    from alexnet_tf.data.decode_errors import DecodeErrors
    from alexnet_tf.evaluation.evaluator import Evaluator
    from alexnet_tf.system.errors import UserError
    from alexnet_tf.training.cluster import join_cluster
    from alexnet_tf.training.directory import load_classifier
    from alexnet_tf.training.distributed import (
        WorkerSync,
        check_batch_size,
        make_strategy,
        worker_scope,
    )

    if argv:
        raise UserError(f"Expected flags only. Received: {argv[0]}")
    for name in _OUTPUTS:
        _check_writable(name)  # before the work, not after it
    alike = ("model_dir", "checkpoint", "dataset", "data_dir", "split", "views", "batch_size")
    facts = {name: _FLAGS[name].value for name in (*alike, *_CLUSTER)}
    cluster = join_cluster(*(facts[name] for name in _CLUSTER[:2]), facts, _FLAGS.worker_timeout)
    strategy = make_strategy(_FLAGS.strategy, _FLAGS.logical_cpus, cluster, _FLAGS.tpu)
    with worker_scope(WorkerSync(strategy, cluster), "evaluation begins again"):
        check_batch_size(_FLAGS.batch_size, strategy)
        with strategy.scope():
            classifier, cards, steps = load_classifier(_FLAGS.model_dir, _FLAGS.checkpoint)
        source = _open_source(cards[0])
        split = source.train if _FLAGS.split == "train" else source.validation
        unreadable = DecodeErrors(split, _FLAGS.max_unreadable)
        evaluator = Evaluator(classifier, strategy, _FLAGS.batch_size, int(_FLAGS.views))
        predictions = evaluator.predict(split, unreadable=unreadable)
        # Where JSON goes to standard output, nothing else does.
        apart = contextlib.redirect_stdout(sys.stderr) if _FLAGS.json == "-" else None
        if cluster.is_chief:
            with apart or contextlib.nullcontext():
                _report(predictions, cards, steps, source)
                if len(unreadable):
                    print(unreadable)
    return 0


def _open_source(card: RunMetadata) -> ImageDataset:
    """The dataset that the flags name, or that of the training, in the model's classes."""
    from alexnet_tf.data.sources import open_dataset

    dataset = _FLAGS.dataset or card.dataset
    data_dir = _FLAGS.data_dir or (None if _FLAGS.dataset else card.data_dir)
    source = open_dataset(dataset, data_dir, _FLAGS.max_unreadable, only=_FLAGS.split)
    return source.with_class_order(card.classes)


def _report(
    predictions: Predictions, cards: list[RunMetadata], steps: list[int], source: ImageDataset
) -> None:
    """Prints the result, and writes what the flags ask for."""
    from alexnet_tf.evaluation import report
    from alexnet_tf.evaluation.published import published

    classes = source.classes
    variants = "+".join(card.variant for card in cards)
    made = "+".join(f"{step:,}" for step in steps)
    print(f"{variants}, step {made}, {source.name} {_FLAGS.split}: {predictions.evaluation()}")
    images = predictions.by_class(len(classes))[:, 0]
    one_variant = len({card.variant for card in cards}) == 1
    known = published(cards[0].variant, classes, images) if one_variant else ()
    alike = {line: line.is_like(predictions.views, len(cards)) for line in known}
    known = sorted(known, key=alike.get, reverse=True)
    for line in known:
        print(
            f"published{'' if alike[line] else ', but not for the same views and models'}: {line}"
        )
    if _FLAGS.rows:
        print(f"\n{report.as_text(predictions, classes, _FLAGS.rows)}")
    if _FLAGS.json:
        values = {
            **report.as_dict(predictions, classes),
            "variant": variants,
            "step": steps[0] if len(steps) == 1 else steps,
            "dataset": source.name,
            "split": _FLAGS.split,
            "published": [
                {**dataclasses.asdict(line), "comparable": alike[line]} for line in known
            ],
        }
        text = json.dumps(values, indent=1) + "\n"
        if _FLAGS.json == "-":
            sys.__stdout__.write(text)
        else:
            with open(_FLAGS.json, "w", encoding="utf-8") as file:
                file.write(text)
    if _FLAGS.csv:
        split = source.train if _FLAGS.split == "train" else source.validation
        # Names of files are written as they are, whatever bytes they may be.
        csv_format = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
        with open(_FLAGS.csv, "w", **csv_format) as file:
            report.write_csv(file, predictions, split, classes)


def _check_writable(name: str) -> None:
    """Sees whether the file that a flag names can be written."""
    from alexnet_tf.system.errors import UserError

    path = _FLAGS[name].value
    if not path or (name, path) == ("json", "-"):
        return
    try:
        with open(path, "a"):
            pass
    except OSError as error:
        raise UserError(
            f"Expected --{name} to be a file that can be written. Received: {path} "
            f"({error.strerror})"
        ) from None


if __name__ == "__main__":
    flags.define_model_dirs()
    absl_flags.DEFINE_string("dataset", None, "default: what the model was trained on")
    absl_flags.DEFINE_string("data_dir", None, "the dataset's place, as in training")
    absl_flags.DEFINE_enum("split", "validation", ["validation", "train"], "which part of it")
    flags.define_views()
    absl_flags.DEFINE_integer(
        "rows", 10, "lines of the tables of classes and of confused pairs", lower_bound=0
    )
    absl_flags.DEFINE_string(
        "json",
        None,
        "a file for the result and the complete tables, -: standard output; errors are fractions",
    )
    absl_flags.DEFINE_string("csv", None, "a file for the predictions, one line an image")
    absl_flags.DEFINE_integer("batch_size", 64, "images per step; each counts --views times")
    flags.define_as_in_training("max_unreadable", "strategy", "logical_cpus", "tpu", *_CLUSTER)
    app.run(main)
