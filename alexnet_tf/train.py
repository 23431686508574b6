"""Trains an AlexNet, or goes on with a run that was interrupted.

python -m alexnet_tf.train                                    the main job, a few minutes
python -m alexnet_tf.train --flagfile=configs/cifar10.flags --data_dir=DIR
python -m alexnet_tf.train --dataset=folder --data_dir=DIR    DIR/train/<class>/, DIR/val/<class>/
"""

from __future__ import annotations

import time

from alexnet_tf import app, flags


def main(argv: list[str]) -> int:
    """Trains, reports and exports; returns the exit code, as shells count signals."""
    from alexnet_tf.errors import UserError
    from alexnet_tf.serving.saved_model import export
    from alexnet_tf.training.run import train

    if argv:
        raise UserError(f"Expected flags only. Received: {argv[0]}")
    options = flags.read_options()
    started = time.monotonic()
    result = train(options)
    if result.interrupted_by:
        return 128 + result.interrupted_by
    path = result.directory.path
    print(
        f"\nvalidation top-1 {1 - result.evaluation.top1_error:.2%}, "
        f"top-5 {1 - result.evaluation.top5_error:.2%} of {result.evaluation.examples:,} images "
        f"(errors {result.evaluation.top1_error:.2%} and {result.evaluation.top5_error:.2%})"
    )
    versions = result.directory.saved_model.glob("*/saved_model.pb")
    if options.export and (result.trained or not any(versions)):
        # From the checkpoint, in float32 and on one device, whatever it was trained in and on.
        classifier, _, _ = result.directory.load()
        print(f"SavedModel      {export(classifier, result.directory.saved_model)}")
    print(f"checkpoints     {result.directory.checkpoints}")
    print(f"wall time       {time.monotonic() - started:.0f} s")
    print(
        f"\nNext:\n  tensorboard --logdir={result.directory.tensorboard}\n"
        f"  python -m alexnet_tf.evaluate --model_dir={path} --views=10\n"
        f"  python -m alexnet_tf.predict --model_dir={path} PHOTO.jpg"
    )
    return 0


if __name__ == "__main__":
    flags.define_options()
    app.run(main)
