"""Writes a SavedModel that TensorFlow Serving takes as it is; layout.py says what lies where."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile

import numpy as np
import tensorflow as tf

from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.serving.layout import version_of, write_labels
from alexnet_tf.serving.model_card import ModelCard
from alexnet_tf.serving.operations import check_operations
from alexnet_tf.serving.signatures import CLASSIFY, Servable
from alexnet_tf.serving.warmup import write_warmup
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import fsync_path, locked, reason_of

_SCRATCH = ".writing-"  # begins the name of what is not whole yet


def export(
    classifier: Classifier,
    base: str | os.PathLike,
    card: ModelCard,
    version: int | None = None,
) -> pathlib.Path:
    """Writes BASE/<version>/, elsewhere first, so that a server never sees half of it.

    Args:
        classifier: the trained network.
        base: the directory of all versions.
        card: what the model is.
        version: a positive integer; None for the next one.

    Returns:
        The directory written.

    Raises:
        UserError: the version exists, the directory cannot be written or another export is at
            work there, or the graph does what a server may not (operations.py).
    """
    base = pathlib.Path(base).expanduser()
    try:
        base.mkdir(parents=True, exist_ok=True)
        with locked(base, "the directory of versions"):
            target = _next_version(base) if version is None else base / str(version)
            if target.exists():
                raise UserError(f"Expected a version that does not exist yet. Received: {target}")
            for left in base.glob(f"{_SCRATCH}*"):  # by an export that was killed
                shutil.rmtree(left)
            scratch = pathlib.Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=base))
            try:
                _write(classifier, scratch, card)
                scratch.chmod(0o755)  # mkdtemp lets only the owner in
                _force_all_to_disk(scratch)
                scratch.rename(target)
                fsync_path(base)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)  # there is none if all went well
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"Expected to write a SavedModel into {base}. Received: {reason_of(error)}"
        ) from None
    return target


def _next_version(base: pathlib.Path) -> pathlib.Path:
    versions = [version_of(entry.name) or 0 for entry in base.iterdir()]
    return base / str(max(versions, default=0) + 1)


def _force_all_to_disk(directory: pathlib.Path) -> None:
    for folder, _, names in os.walk(directory):
        for name in (*names, "."):
            fsync_path(pathlib.Path(folder, name))


def _write(classifier: Classifier, directory: pathlib.Path, card: ModelCard) -> None:
    servable = Servable(classifier)
    signatures = servable.signatures()
    for name, function in signatures.items():
        check_operations(name, function)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)  # nobody trains it
    tf.saved_model.save(servable, str(directory), signatures, options)
    # TensorFlow 2 gives every signature the method name of Predict.
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(directory))
    updater.replace_method_name(CLASSIFY, tf.saved_model.CLASSIFY_METHOD_NAME, tags="serve")
    updater.save()
    assets = directory / "assets"
    assets.mkdir(exist_ok=True)
    card.write(assets, classifier.classes)
    write_labels(directory, classifier.classes)
    mean = classifier.preprocessor.statistics.mean  # a picture of the right size, but of nothing
    write_warmup(directory, signatures, np.clip(np.round(mean), 0, 255).astype(np.uint8))
