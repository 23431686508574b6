"""Trains an AlexNet, or goes on with a run that was interrupted.

python -m alexnet_tf.train                                    the main job, a few minutes
python -m alexnet_tf.train --flagfile=configs/cifar10.flags --data_dir=DIR
python -m alexnet_tf.train --dataset=folder --data_dir=DIR    DIR/train/<class>/, DIR/val/<class>/
python -m alexnet_tf.train --flagfile=configs/caffe.flags --recipe_report      and no training
"""

from __future__ import annotations

import pathlib
import shlex
import time
import typing

from absl import flags as absl_flags

from alexnet_tf import app, flags
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError

if typing.TYPE_CHECKING:  # they import TensorFlow, which --help need not wait for
    from alexnet_tf.training.options import Options
    from alexnet_tf.training.result import Result


_FLAGS = absl_flags.FLAGS


def main(argv: list[str]) -> int:
    """Trains, reports and exports; returns the exit code, as shells count signals."""
    if argv:
        raise UserError(f"Expected flags only. Received: {argv[0]}")
    options = flags.read_options()
    if _FLAGS.recipe_report:
        print(recipe_report(options))
        return 0
    from alexnet_tf.training.run import train

    started = time.monotonic()
    result = train(options, lambda result: report(result, options, started))
    return 128 + result.interrupted_by if result.interrupted_by else 0


def recipe_report(options: Options) -> str:
    """On which points the sources of AlexNet disagree, and which of them the options follow.

    Raises:
        UserError: no configs/ here.
    """
    from alexnet_tf.recipes.report import read_sources, report

    variant = get_variant(options.variant, options.activation)
    try:
        sources = read_sources(pathlib.Path("configs"), flags.read_flagfile)
    except absl_flags.Error as error:
        raise UserError(
            "Expected --recipe_report at the root of a clone of alexnet_tf. Received: "
            f"{str(error).removeprefix('ERROR:: ')}"
        ) from None
    return report((variant, options), sources)


def report(result: Result, options: Options, started: float) -> None:
    """Prints how a run ended, after exporting a SavedModel.

    Args:
        result: the run's.
        options: the run's.
        started: when, on the monotonic clock.
    """
    from alexnet_tf.training.exporting import export_run, exported_steps

    if result.interrupted_by:
        return
    directory, evaluation = result.directory, result.evaluation
    print(
        f"\nvalidation top-1 {1 - evaluation.top1_error:.2%}, "
        f"top-5 {1 - evaluation.top5_error:.2%} of {evaluation.examples:,} images "
        f"(errors {evaluation.top1_error:.2%} and {evaluation.top5_error:.2%})"
    )
    # Also after an earlier start that trained to the end, and was stopped while it exported.
    if options.export and (result.trained or result.step not in exported_steps(directory)):
        saved_model, _ = export_run(directory)
        print(f"SavedModel      {saved_model}")
    print(f"checkpoints     {directory.checkpoints.path}")
    print(f"wall time       {time.monotonic() - started:.0f} s")
    quoted = shlex.quote(str(directory.path))
    print(
        f"\nNext:\n  tensorboard --logdir={shlex.quote(str(directory.tensorboard))}\n"
        f"  python -m alexnet_tf.evaluate --model_dir={quoted} --views=10\n"
        f"  python -m alexnet_tf.predict --model_dir={quoted} PHOTO.jpg"
    )


def run() -> None:
    """Defines the flags, parses them, trains and exits."""
    flags.define_options()
    absl_flags.DEFINE_bool(
        "recipe_report", False, "print where the sources disagree and which is followed, and end"
    )
    app.run(main, needs_tensorflow=lambda: not _FLAGS.recipe_report)


if __name__ == "__main__":
    run()
