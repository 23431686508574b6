"""Measures the top-1 and top-5 error of a trained AlexNet.

python -m alexnet_tf.evaluate --model_dir=runs/shapes-tiny --views=10 --json=result.json
"""

from __future__ import annotations

import dataclasses
import json
import pathlib

from absl import flags as absl_flags

from alexnet_tf import app, flags

_FLAGS = absl_flags.FLAGS


def main(argv: list[str]) -> int:
    """Evaluates and reports; returns the exit code."""
    from alexnet_tf.data.sources import open_source
    from alexnet_tf.data.unreadable import Unreadable
    from alexnet_tf.errors import UserError
    from alexnet_tf.evaluation import Evaluator
    from alexnet_tf.training.directory import ModelDirectory
    from alexnet_tf.training.strategies import check_batch_size, make_strategy

    if argv:
        raise UserError(f"Expected flags only. Received: {argv[0]}")
    views = int(_FLAGS.views)
    if _FLAGS.json:
        _check_writable(_FLAGS.json)  # before the work, not after it
    strategy = make_strategy(_FLAGS.strategy, _FLAGS.logical_cpus)
    check_batch_size(_FLAGS.batch_size, strategy)
    with strategy.scope():
        classifier, card, step = ModelDirectory(_FLAGS.model_dir).load(_FLAGS.checkpoint)
    dataset = _FLAGS.dataset or card.dataset
    data_dir = _FLAGS.data_dir or (None if _FLAGS.dataset else card.data_dir)
    source = open_source(dataset, data_dir, _FLAGS.max_unreadable)
    if source.classes != card.classes:
        raise UserError(
            f"Expected a dataset with the model's {len(card.classes)} classes "
            f"({card.classes[0]}, ...). Received: {dataset} with {len(source.classes)} "
            f"({source.classes[0]}, ...)"
        )
    split = source.train if _FLAGS.split == "train" else source.validation
    unreadable = Unreadable(split, _FLAGS.max_unreadable)
    evaluator = Evaluator(classifier, strategy, _FLAGS.batch_size, views)
    evaluation = evaluator(split, unreadable=unreadable)
    print(f"{card.variant}, step {step:,}, {dataset} {_FLAGS.split}: {evaluation}")
    if len(unreadable):
        print(unreadable)
    if _FLAGS.json:
        report = {
            **dataclasses.asdict(evaluation),
            "variant": card.variant,
            "step": step,
            "dataset": dataset,
            "split": _FLAGS.split,
        }
        pathlib.Path(_FLAGS.json).write_text(json.dumps(report, indent=1) + "\n")
    return 0


def _check_writable(path: str) -> None:
    from alexnet_tf.errors import UserError

    try:
        with open(path, "a"):
            pass
    except OSError as error:
        raise UserError(
            f"Expected --json to be a file that can be written. Received: {path} ({error.strerror})"
        ) from None


if __name__ == "__main__":
    flags.define_model_dir()
    absl_flags.DEFINE_string("dataset", None, "default: what the model was trained on")
    absl_flags.DEFINE_string("data_dir", None, "the dataset's place, as in training")
    absl_flags.DEFINE_enum("split", "validation", ["validation", "train"], "which part of it")
    flags.define_views()
    absl_flags.DEFINE_string("json", None, "a file to write the result to; errors are fractions")
    absl_flags.DEFINE_integer("batch_size", 64, "images per step; each counts --views times")
    flags.define_as_in_training("max_unreadable", "strategy", "logical_cpus")
    app.run(main)
