"""Weights that a run begins with in place of random ones."""

from __future__ import annotations

import os
import zlib

import keras

from alexnet_tf.models.spec import Variant
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.paths import local_path
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.distributed import WorkerSync
from alexnet_tf.training.layer_options import describe_layers, weighted_layers
from alexnet_tf.training.options import Options
from alexnet_tf.weights import official
from alexnet_tf.weights.arrays import WeightFile
from alexnet_tf.weights.files import read_weights
from alexnet_tf.weights.network import arrays_of, assign


def find_weights(weights: str | os.PathLike, checkpoint: str = "best") -> WeightFile:
    """Weights by name or path.

    Args:
        weights: "caffe", "caffenet" or "torchvision", or the path of a file or of a run.
        checkpoint: of a run: "best" by validation error, or "newest".

    Raises:
        UserError: they cannot be had.
    """
    path = os.fspath(weights)
    if path in official.OFFICIAL and not os.path.exists(path):
        path = official.download(path)
    path = os.fspath(local_path(path, "the weights"))
    if os.path.isdir(path):
        return ModelDirectory(path).read_weights(checkpoint)
    return read_weights(path)


def initialize(
    model: keras.Model,
    variant: Variant,
    options: Options,
    classes: tuple[str, ...],
    sync: WorkerSync,
) -> str:
    """Gives a new network the weights of `--init_from`, and prints which layers got them.

    Args:
        model: of the run; made under the strategy's scope.
        variant: that it was built from.
        options: of the run.
        classes: of the training set, in label order.
        sync: of the workers, which all read the weights.

    Returns:
        The line that was printed, without its beginning.

    Raises:
        UserError: the weights cannot be had or do not fit, or another worker has others.
    """
    found = find_weights(options.init_from, options.init_checkpoint)
    layers = weighted_layers(variant)
    new, reason = options.new_layers, ""
    if new is None:
        reason = _other_classes(found, options.init_from, layers[-1], classes)
        new = (layers[-1],) if reason else ()
    assign(model, variant, found, new)
    digest = _digest(model)
    if sync.sum(digest) != digest * sync.workers:
        raise UserError(
            f"The workers do not have the same weights in --init_from={options.init_from}. Copy "
            "one file to all of them"
        )
    taken = [name for name in layers if name not in new]
    text = f"{found.path} ({found.format}): {describe_layers(taken, layers)}"
    if new:
        verb = "begins" if len(new) == 1 else "begin"
        text += f"; {describe_layers(new, layers)} {verb} anew{reason and f', {reason}'}"
    print(f"Initial weights: {text}", flush=True)
    return text


def _other_classes(found: WeightFile, path: str, last: str, classes: tuple[str, ...]) -> str:
    """Why the last layer cannot be taken over; empty if it can."""
    if last in found.arrays and len(found.arrays[last].bias) != len(classes):
        return f"for {len(classes):,} classes in place of {len(found.arrays[last].bias):,}"
    if os.path.isdir(local_path(path)) and (
        ModelDirectory(path).read_metadata().classes != tuple(classes)
    ):
        return f"for {len(classes):,} other classes"
    return ""


def _digest(model: keras.Model) -> int:
    """A checksum of what a network has learnt, or begins with."""
    digest = 0
    for layer in arrays_of(model).values():
        for array in (layer.kernel, layer.bias):
            digest = zlib.crc32(array.tobytes(), digest)
    return digest
