"""Exports a trained AlexNet as a SavedModel for TensorFlow Serving.

python -m alexnet_tf.export --model_dir=runs/shapes-tiny --output=models/shapes
"""

from __future__ import annotations

from absl import flags as absl_flags

from alexnet_tf import app, flags

_FLAGS = absl_flags.FLAGS


def main(argv: list[str]) -> int:
    """Exports; returns the exit code."""
    from alexnet_tf.training.directory import ModelDirectory
    from alexnet_tf.training.exporting import export_run

    target, card = export_run(
        ModelDirectory(_FLAGS.model_dir), _FLAGS.output, _FLAGS.version, _FLAGS.checkpoint
    )
    print(f"{card.variant.name}, step {card.step:,}: {target}")
    return 0


if __name__ == "__main__":
    flags.define_model_dir()
    absl_flags.DEFINE_string(
        "output", None, "directory that holds all versions; default: MODEL_DIR/saved_model"
    )
    absl_flags.DEFINE_integer(
        "version", None, "number of the new version; default: the next one",
        lower_bound=1, upper_bound=2**63 - 1,  # int64, as in TensorFlow Serving
    )  # fmt: skip
    app.run(main, flags_only=True)
