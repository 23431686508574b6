"""The model card of an exported model: `assets/model_card.json` and `.md`."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import keras
import tensorflow as tf

import alexnet_tf
from alexnet_tf.models.spec import Variant


@dataclasses.dataclass(frozen=True)
class Validation:
    """Errors of the centre view on the validation set; None where they were not measured.

    Attributes:
        top1_error, top5_error: fractions.
        images: number of images.
    """

    top1_error: float | None = None
    top5_error: float | None = None
    images: int | None = None

    def __str__(self) -> str:
        if self.top1_error is None:
            return "not measured at this step"
        text = f"top-1 error {self.top1_error:.2%}"
        if self.top5_error is not None:
            text += f", top-5 error {self.top5_error:.2%}"
        return text if self.images is None else f"{text}, {self.images:,} images"


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """Facts about an exported model.

    Attributes:
        variant: of the network; it defines how images are preprocessed.
        dataset: name of the training set.
        step: of the checkpoint.
        validation: errors at that step.
        flags: of the training; absolute paths and addresses of workers are left out.
    """

    variant: Variant
    dataset: str
    step: int
    validation: Validation
    flags: dict

    def as_dict(self, classes: tuple[str, ...]) -> dict:
        """Returns the facts as JSON values."""
        return {
            "variant": self.variant.name,
            "summary": self.variant.summary,
            "activation": self.variant.activation,
            "classes": len(classes),
            "dataset": self.dataset,
            "recipe": recipe(self.flags),
            "step": self.step,
            "validation": dataclasses.asdict(self.validation),
            "preprocessing": dataclasses.asdict(self.variant.preprocessing),
            "versions": {
                "alexnet_tf": alexnet_tf.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
            },
            "flags": {name: value for name, value in self.flags.items() if _is_public(name, value)},
        }

    def write(self, path: pathlib.Path, classes: tuple[str, ...]) -> None:
        """Writes the card.

        Args:
            path: of the JSON file; the Markdown file is written beside it.
            classes: names in label order.
        """
        facts = self.as_dict(classes)
        path.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
        path.with_suffix(".md").write_text(_markdown(facts), "utf-8")


def recipe(flags: dict) -> str:
    """Describes a training in one line; missing flags are left out."""
    templates = {
        "batch_size": "batch size {}",
        "steps": "{:,} steps" if flags.get("steps") else "",
        "epochs": "" if flags.get("steps") else "{:g} epochs",
        "schedule argument": "learning rate {}",
        "learning_rate": "" if "schedule argument" in flags
        else "learning rate {:g}" + _schedule(flags),
        "loss argument": "loss {}",
        "label_smoothing": "label smoothing {:g}" if flags.get("label_smoothing") else "",
        "momentum": "momentum {:g}",
        "weight_decay": "weight decay {:g}",
    }  # fmt: skip
    parts = [text.format(flags[name]) for name, text in templates.items() if text and name in flags]
    return ", ".join(parts)


def _schedule(flags: dict) -> str:
    """Describes how the learning rate changes."""
    plateau = flags.get("plateau_patience")
    name = flags.get("schedule") or ("plateau" if plateau else "step")
    epochs = ", ".join(f"{epoch:g}" for epoch in flags.get("decay_epochs") or ())
    warmup = flags.get("warmup_epochs")
    text = f", rising for {warmup:g} epochs" if warmup else ""
    if name == "plateau":
        return f"{text}, divided by ten when validation stops improving"
    if name == "cosine":
        return f"{text}, falling to 0 along a cosine"
    return f"{text}, divided by ten after epochs {epochs}" if name == "step" and epochs else text


def _is_public(name: str, value: object) -> bool:
    """Returns whether a flag describes the model, and not the machines that trained it."""
    if name in ("workers", "worker_index", "tpu"):
        return False
    return not (isinstance(value, str) and value.startswith(("/", "~")))


def _markdown(facts: dict) -> str:
    preprocessing = facts["preprocessing"]
    image_size, crop_size = preprocessing["image_size"], preprocessing["crop_size"]
    side = "both sides" if preprocessing["resize"] == "warp" else "the shorter side"
    lines = [
        f"# AlexNet, variant `{facts['variant']}`",
        "",
        f"{facts['summary']}; activation {facts['activation']}.",
        "",
        f"- Training set: {facts['dataset']}, {facts['classes']:,} classes (`labels.txt`), "
        f"{facts['step']:,} steps.",
        *([f"- Recipe: {facts['recipe']}."] if facts["recipe"] else []),
        f"- Validation with one centre view: {Validation(**facts['validation'])}.",
        f"- Preprocessing, part of the SavedModel: resize {side} to {image_size} pixels, "
        f"take the central square; views of {crop_size}×{crop_size} pixels.",
        "- Versions: " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items()) + ".",
        "",
        "The model always predicts one of its classes, even for an image that shows none of them.",
        "All facts, with the training flags: `model_card.json`.",
        "",
    ]
    return "\n".join(lines)
