"""From a model directory to a SavedModel."""

from __future__ import annotations

import json
import os
import pathlib

from alexnet_tf.serving.layout import CARD, version_of
from alexnet_tf.serving.model_card import ModelCard, Validation
from alexnet_tf.serving.saved_model import export
from alexnet_tf.training.directory import ModelDirectory


def export_run(
    directory: ModelDirectory,
    base: str | os.PathLike | None = None,
    version: int | None = None,
    which: str = "newest",
) -> tuple[pathlib.Path, ModelCard]:
    """Exports a checkpoint, in float32 and for one device, whatever it was trained in and on.

    Args:
        directory: of the run.
        base: the directory of all versions. Default: `saved_model/` of the run.
        version: a positive integer; None for the next one.
        which: "newest" checkpoint, or "best" by validation error.

    Returns:
        The directory written, and what it says of itself.

    Raises:
        UserError: nothing to export, or no place to write to.
    """
    classifier, card, saved = directory.load(which)
    validation = Validation(saved.error, saved.top5_error, saved.examples)
    model_card = ModelCard(card.spec(), card.dataset, saved.step, validation, card.options)
    return export(classifier, base or directory.saved_model, model_card, version), model_card


def exported_step(directory: ModelDirectory) -> int | None:
    """The step of the newest SavedModel in `saved_model/` of the run; None if there is none."""
    found = directory.saved_model.glob(f"*/{CARD}")
    cards = {version_of(path.parts[-len(CARD.parts) - 1]) or 0: path for path in found}
    return json.loads(cards[max(cards)].read_text("utf-8"))["step"] if cards else None
