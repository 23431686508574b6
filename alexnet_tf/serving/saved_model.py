"""Writes a SavedModel that TensorFlow Serving takes as it is.

Signature `serving_default`: `image_bytes`, string [B], JPEG, PNG, GIF or BMP files, to `classes`,
string [B, k], and `scores`, float32 [B, k], the k most probable classes and their probabilities,
most probable first; k is 5, or the number of classes if that is less.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile

import tensorflow as tf

from alexnet_tf.classifier import Classifier
from alexnet_tf.errors import UserError

TOP = 5  # classes


def export(
    classifier: Classifier, base: str | os.PathLike, version: int | None = None
) -> pathlib.Path:
    """Writes BASE/<version>/, elsewhere first, so that a server never sees half of it.

    Args:
        classifier: the trained network.
        base: the directory of all versions.
        version: a positive integer; None for the next one.

    Returns:
        The directory written.

    Raises:
        UserError: the version exists, or the directory cannot be written.
    """
    base = pathlib.Path(base).expanduser()
    try:
        base.mkdir(parents=True, exist_ok=True)
        versions = [int(entry.name) for entry in base.iterdir() if entry.name.isdigit()]
        version = max(versions, default=0) + 1 if version is None else version
        target = base / str(version)
        if target.exists():
            raise UserError(f"Expected a version that does not exist yet. Received: {target}")
        scratch = tempfile.mkdtemp(prefix=".writing-", dir=base)
    except OSError as error:
        raise UserError(
            f"Expected a directory that can be written. Received: {base} ({error.strerror})"
        ) from None
    try:
        module = _Servable(classifier)
        tf.saved_model.save(
            module,
            scratch,
            signatures={"serving_default": module.serving_default.get_concrete_function()},
        )
        os.chmod(scratch, 0o755)  # mkdtemp lets only the owner in
        os.rename(scratch, target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return target


class _Servable(tf.Module):
    """The classifier's weights and the functions that a server calls."""

    def __init__(self, classifier: Classifier):
        super().__init__()
        self._classifier = classifier
        self._weights = [variable.value for variable in classifier.model.weights]
        self._names = tf.constant(classifier.classes)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_default(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """The most probable classes of encoded images."""
        images = self._classifier.decode(image_bytes)  # [B, S, S, 3]
        probabilities = self._classifier.probabilities(images)  # [B, classes]
        scores, indices = tf.math.top_k(probabilities, min(TOP, len(self._classifier.classes)))
        return {"classes": tf.gather(self._names, indices), "scores": scores}
