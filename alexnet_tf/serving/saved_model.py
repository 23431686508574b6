"""Writes a SavedModel that TensorFlow Serving takes as it is.

BASE/<version>/
    saved_model.pb, variables/                  signatures.py says what can be asked
    assets/labels.txt                           the classes, one a line, in label order
    assets/model_card.json, model_card.md       what the model is
    assets.extra/tf_serving_warmup_requests     one request for each signature
"""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile

import numpy as np
import tensorflow as tf

from alexnet_tf.classifier import Classifier
from alexnet_tf.disk import reason_of
from alexnet_tf.errors import UserError
from alexnet_tf.serving.model_card import ModelCard
from alexnet_tf.serving.operations import check_operations
from alexnet_tf.serving.signatures import CLASSIFY, Servable
from alexnet_tf.serving.warmup import write_warmup


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
        UserError: the version exists, or the directory cannot be written.
        ValueError: the graph does what a server may not (operations.py).
    """
    base = pathlib.Path(base).expanduser()
    try:
        base.mkdir(parents=True, exist_ok=True)
        versions = [int(entry.name) for entry in base.iterdir() if entry.name.isdigit()]
        version = max(versions, default=0) + 1 if version is None else version
        target = base / str(version)
        if target.exists():
            raise UserError(f"Expected a version that does not exist yet. Received: {target}")
        scratch = pathlib.Path(tempfile.mkdtemp(prefix=".writing-", dir=base))
    except OSError as error:
        raise UserError(
            f"Expected a directory that can be written. Received: {base} ({error.strerror})"
        ) from None
    try:
        _write(classifier, scratch, card)
        scratch.chmod(0o755)  # mkdtemp lets only the owner in
        scratch.rename(target)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"Expected to write a SavedModel into {base}. Received: {reason_of(error)}"
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)  # there is none if all went well
    return target


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
    mean = classifier.preprocessor.statistics.mean  # a picture of the right size, but of nothing
    write_warmup(directory, signatures, np.clip(np.round(mean), 0, 255).astype(np.uint8))
