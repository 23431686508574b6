"""Trains an AlexNet, or resumes a run that was interrupted.

python -m alexnet_tf.train                                    the main job, a few minutes
python -m alexnet_tf.train --recipe=cifar10 --data_dir=DIR    flags of configs/cifar10.flags
python -m alexnet_tf.train --dataset=folder --data_dir=DIR    DIR/train/<class>/, DIR/val/<class>/
python -m alexnet_tf.train --recipe=caffe --recipe_report     compares the sources, trains nothing
"""

from __future__ import annotations

import shlex
import time
import typing

from absl import flags as absl_flags

from alexnet_tf import app, flagfiles, flags
from alexnet_tf.models.variants import get_variant

if typing.TYPE_CHECKING:  # they import TensorFlow, which --help need not wait for
    from alexnet_tf.training.options import Options
    from alexnet_tf.training.trainer import Result


_FLAGS = absl_flags.FLAGS


def main(argv: list[str]) -> int:
    """Trains, reports and exports; returns the exit code, as shells count signals."""
    options = flags.read_options()
    if _FLAGS.recipe_report:
        print(recipe_report(options))
        return 0
    from alexnet_tf.training.run import train

    started = time.monotonic()
    result = train(options, lambda result: report(result, options, started))
    return 128 + result.interrupted_by if result.interrupted_by else 0


def recipe_report(options: Options) -> str:
    """The points on which the sources of AlexNet disagree, and whom the options follow."""
    from alexnet_tf.recipes.report import read_sources, report

    variant = get_variant(options.variant, options.activation)
    sources = read_sources(flagfiles.recipe_folder(), flags.read_flagfile)
    return report((variant, options), sources)


def report(result: Result, options: Options, started: float) -> None:
    """Exports a SavedModel and prints how the run ended.

    Args:
        result: of the run.
        options: of the run.
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
    # An earlier start may have trained to the end and been stopped during the export.
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
    absl_flags.DEFINE_string(
        "recipe",
        None,
        "use the flags of a recipe of configs/; later flags on the command line replace its "
        f"values: {', '.join(flagfiles.recipes())}",
    )
    absl_flags.DEFINE_bool(
        "recipe_report",
        False,
        "print where the sources of AlexNet disagree and which of them these flags follow, and "
        "exit",
    )
    app.run(main, flags_only=True, needs_tensorflow=lambda: not _FLAGS.recipe_report)


if __name__ == "__main__":
    run()
