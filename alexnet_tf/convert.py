"""Converts weights between Caffe, PyTorch, NumPy and Keras files, and SavedModels.

python -m alexnet_tf.convert bvlc_alexnet.caffemodel alexnet.keras
python -m alexnet_tf.convert runs/shapes-tiny weights.safetensors
python -m alexnet_tf.convert --identify FILE
"""

from __future__ import annotations

import os
import typing

from absl import flags as absl_flags

from alexnet_tf import app

if typing.TYPE_CHECKING:
    from alexnet_tf.models.spec import Variant
    from alexnet_tf.weights.arrays import WeightFile

_FLAGS = absl_flags.FLAGS
_KERAS = (".keras", ".h5")


def main(argv: list[str]) -> int:
    """Converts, or says what files are; returns the exit code."""
    from alexnet_tf.system.errors import UserError

    if _FLAGS.identify:
        if not argv:
            raise UserError("Expected a file of weights. Received: none")
        for path in argv:
            print(identify(path, _FLAGS.checkpoint, _FLAGS.inputs, _FLAGS.logits))
    elif len(argv) == 2:
        print(convert(*argv, _FLAGS.variant, _FLAGS.checkpoint, _FLAGS.mean))
    else:
        raise UserError(
            f"Expected a source and a destination. Received: {' '.join(argv) or 'neither'}"
        )
    return 0


def convert(
    source: str,
    target: str,
    variant_name: str | None = None,
    checkpoint: str = "best",
    mean: str | None = None,
) -> str:
    """Converts weights.

    Args:
        source: name or path of weights, as `AlexNet` takes them.
        target: a file whose suffix says the format, or a directory for a SavedModel.
        variant_name: of the target; None for the source's own.
        checkpoint: of a run: "best" or "newest".
        mean: file of the training set's mean image, for a SavedModel.

    Returns:
        A sentence about what was read and written.

    Raises:
        UserError: the source cannot be read, does not fit, or the target cannot be written.
    """
    from alexnet_tf.applications import find_weights
    from alexnet_tf.evaluation.pretrained import choose_variant
    from alexnet_tf.system.errors import UserError
    from alexnet_tf.system.paths import check_no_url
    from alexnet_tf.weights.files import READERS

    check_no_url(target, "the destination")
    suffix = os.path.splitext(target.rstrip("/"))[1].lower()
    if suffix and suffix not in READERS and not os.path.isdir(target):
        raise UserError(
            f"Expected a file of {', '.join(READERS)}, or a directory for a SavedModel. "
            f"Received: {target}"
        )
    saved_model = not suffix or os.path.isdir(target)
    if mean and not saved_model:
        raise UserError(f"--mean is for a SavedModel; {target} holds weights only")
    if os.path.realpath(source) == os.path.realpath(target):
        raise UserError("The source and the destination are the same file")
    found = find_weights(source, checkpoint)
    variant = choose_variant(found, variant_name)
    written = _write(found, variant, target, "" if saved_model else suffix, mean)
    return f"{found.path} ({found.format}) → {written}, variant {variant.name}"


def _write(found: WeightFile, variant: Variant, target: str, suffix: str, mean: str | None) -> str:
    """Writes the destination; returns its path."""
    from alexnet_tf.applications import AlexNet
    from alexnet_tf.system.errors import UserError
    from alexnet_tf.system.files import reason_of
    from alexnet_tf.weights.arrays import kernel_shapes
    from alexnet_tf.weights.files import arrays_for, write_weights
    from alexnet_tf.weights.keras_files import write_model
    from alexnet_tf.weights.network import assign

    last = variant.denses[-1].name
    if last not in found.arrays:
        raise UserError(f"{found.path} has no {last}: expected a network with its top")
    classes = found.arrays[last].shape[-1]
    folder = os.path.dirname(os.path.abspath(target))
    if suffix and not os.path.isdir(folder):
        raise UserError(f"There is no directory {folder}. Make it first")
    try:
        if suffix and suffix not in _KERAS:
            shapes = {**kernel_shapes(variant)}
            shapes[last] = (shapes[last][0], classes)
            write_weights(target, arrays_for(found, variant, shapes), variant)
            return target
        model = AlexNet(variant, classes)
        assign(model, variant, found)
        if suffix:
            write_model(target, model)
            return target
        return _export(model, variant, found, target, mean)
    except OSError as error:
        raise UserError(f"Cannot write {target}: {reason_of(error)}") from None


def _export(
    model: object, variant: Variant, found: WeightFile, target: str, mean_file: str | None
) -> str:
    """Writes a SavedModel with preprocessing, as alexnet_tf.export does for a run."""
    import numpy as np

    from alexnet_tf.applications import IMAGENET_MEAN
    from alexnet_tf.evaluation.pretrained import classifier_of
    from alexnet_tf.serving.model_card import ModelCard, Validation
    from alexnet_tf.serving.saved_model import export
    from alexnet_tf.system.errors import UserError
    from alexnet_tf.weights.caffe import read_mean

    mean = np.float32(IMAGENET_MEAN)
    if mean_file:
        size, mean = variant.preprocessing.image_size, read_mean(mean_file)
        if mean.shape != (size, size, 3):
            raise UserError(
                f"{mean_file} is a mean image of {mean.shape[1]}×{mean.shape[0]} pixels; "
                f"{variant.name} needs {size}×{size}"
            )
    elif not isinstance(variant.preprocessing.mean, tuple):
        print(
            f"{variant.name} subtracts its training set's mean image, which this file does not "
            "have; ImageNet's mean colour takes its place (--mean=FILE gives another)."
        )
    classifier = classifier_of(model, variant, mean)
    card = ModelCard(variant, f"as in {os.path.basename(found.path)}", 0, Validation(), {})
    return str(export(classifier, target, card))


def identify(
    path: str, checkpoint: str = "best", inputs: str | None = None, logits: str | None = None
) -> str:
    """Format, layers and variants of a file, and by which conventions it gives known logits.

    Args:
        path: name or path of weights, as `AlexNet` takes them.
        checkpoint: of a run: "best" or "newest".
        inputs: .npy file of RGB images [B, size, size, 3], 0 to 255; None to try no conventions.
        logits: .npy file of their logits [B, classes].

    Raises:
        UserError: a file cannot be read, or does not fit.
    """
    from alexnet_tf.applications import find_weights
    from alexnet_tf.system.errors import UserError
    from alexnet_tf.weights.identify import describe, match_logits

    if bool(inputs) != bool(logits):
        raise UserError("Expected both --inputs and --logits, or neither")
    found = find_weights(path, checkpoint)
    return "\n".join([describe(found), *([match_logits(found, inputs, logits)] if inputs else [])])


if __name__ == "__main__":
    absl_flags.DEFINE_string(
        "variant", None, "variant of the destination; default: the one that the source names"
    )
    absl_flags.DEFINE_string(
        "mean", None,
        "mean image of the training set for a SavedModel: Caffe's .binaryproto, or .npy "
        "[3, height, width] in BGR",
    )  # fmt: skip
    absl_flags.DEFINE_enum(
        "checkpoint", "best", ["best", "newest"], "which checkpoint, if the source is a run"
    )
    absl_flags.DEFINE_boolean(
        "identify", False, "say what the files are: format, layers, variants that fit"
    )
    absl_flags.DEFINE_string(
        "inputs", None,
        "with --identify: .npy file of RGB images [B, size, size, 3], 0 to 255, whose logits are "
        "known; finds the conventions that restore them",
    )  # fmt: skip
    absl_flags.DEFINE_string(
        "logits", None, "with --inputs: .npy file of the expected logits [B, classes]"
    )
    app.run(main)
