"""From a run to a SavedModel."""

from __future__ import annotations

import contextlib
import os
import pathlib

from alexnet_tf.serving.model_card import ModelCard, Validation
from alexnet_tf.serving.saved_model import MODEL_CARD, export, version_of
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import writing_to
from alexnet_tf.system.untrusted import natural, read_json
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.weights.keras_files import write_model


def export_run(
    directory: ModelDirectory,
    base: str | os.PathLike | None = None,
    version: int | None = None,
    which: str = "newest",
) -> tuple[pathlib.Path, ModelCard]:
    """Exports a checkpoint in float32 and for one device, however it was trained.

    Args:
        directory: of the run.
        base: the directory of all versions. Default: `saved_model/` of the run; then the network
            without its preprocessing is written beside it, too: `model.keras`.
        version: a positive integer; None for the next one.
        which: "newest" checkpoint, or "best" by validation error.

    Returns:
        The directory written, and its model card.

    Raises:
        UserError: no checkpoint, or the SavedModel cannot be written.
    """
    classifier, metadata, saved = directory.load(which)
    validation = Validation(saved.error, saved.top5_error, saved.examples)
    model_card = ModelCard(
        metadata.resolve_variant(),
        metadata.dataset,
        saved.step,
        validation,
        metadata.options | metadata.arguments,
    )
    exported = export(classifier, base or directory.saved_model, model_card, version)
    if base is None:
        with writing_to(directory.path):
            write_model(os.fspath(directory.keras_model), classifier.model)
    return exported, model_card


def exported_steps(directory: ModelDirectory) -> set[int]:
    """The steps of the complete SavedModels in `saved_model/` of the run."""
    versions = [
        path for path in directory.saved_model.glob("*") if version_of(path.name) is not None
    ]
    steps = set()
    for path in versions:
        with contextlib.suppress(FileNotFoundError, UserError):  # incomplete or damaged
            steps.add(read_json(path / MODEL_CARD, {"step": natural})["step"])
    return steps
