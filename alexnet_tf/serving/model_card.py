"""What an exported model is, for those who find it: `assets/model_card.json` and `.md`."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import keras
import tensorflow as tf

import alexnet_tf
from alexnet_tf.models.spec import Variant
from alexnet_tf.serving.layout import CARD


@dataclasses.dataclass(frozen=True)
class Validation:
    """What the centre view made of the validation set; all None if that was not measured.

    Attributes:
        top1_error, top5_error: fractions.
        images: that they are of.
    """

    top1_error: float | None = None
    top5_error: float | None = None
    images: int | None = None

    def __str__(self) -> str:
        if self.top1_error is None:
            return "not measured at this step"
        said = f"top-1 error {self.top1_error:.2%}"
        if self.top5_error is not None:
            said += f", top-5 error {self.top5_error:.2%}"
        return said if self.images is None else f"{said}, {self.images:,} images"


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """The facts.

    Attributes:
        spec: of the network; says how images are prepared.
        dataset: what it was trained on.
        step: of the checkpoint.
        validation: how well it did then.
        flags: of the training; absolute paths and addresses of workers are not published.
    """

    spec: Variant
    dataset: str
    step: int
    validation: Validation
    flags: dict

    def as_dict(self, classes: tuple[str, ...]) -> dict:
        """For JSON."""
        return {
            "variant": self.spec.name,
            "summary": self.spec.summary,
            "activation": self.spec.activation,
            "classes": len(classes),
            "dataset": self.dataset,
            "recipe": recipe(self.flags),
            "step": self.step,
            "validation": dataclasses.asdict(self.validation),
            "preprocessing": dataclasses.asdict(self.spec.preprocessing),
            "versions": {
                "alexnet_tf": alexnet_tf.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
            },
            "flags": {name: value for name, value in self.flags.items() if _is_public(name, value)},
        }

    def write(self, assets: pathlib.Path, classes: tuple[str, ...]) -> None:
        """Writes the card.

        Args:
            assets: the directory, which exists.
            classes: names in label order.
        """
        facts = self.as_dict(classes)
        (assets / CARD.name).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
        (assets / "model_card.md").write_text(_markdown(facts), "utf-8")


def recipe(flags: dict) -> str:
    """How a model was trained, in a line; flags that are not there are left out."""
    plateau = flags.get("plateau_patience")
    epochs = ", ".join(f"{epoch:g}" for epoch in flags.get("decay_epochs") or ())
    said = {
        "batch_size": "batches of {} images",
        "steps": "{:,} steps" if flags.get("steps") else "",
        "epochs": "" if flags.get("steps") else "{:g} epochs",
        "learning_rate": "rate {:g}"
        + (
            " divided by ten where validation stops improving" if plateau
            else f" divided by ten after epochs {epochs}" if epochs else ""
        ),
        "momentum": "momentum {:g}",
        "weight_decay": "weight decay {:g}",
    }  # fmt: skip
    found = [text.format(flags[name]) for name, text in said.items() if text and name in flags]
    return ", ".join(found)


def _is_public(name: str, value: object) -> bool:
    """Whether a flag says something of the model, and not of the machines it was trained on."""
    if name in ("workers", "worker_index", "tpu"):
        return False
    return not (isinstance(value, str) and pathlib.Path(value).expanduser().is_absolute())


def _markdown(facts: dict) -> str:
    spec = facts["preprocessing"]
    squeeze = "both sides squeezed" if spec["resize"] == "warp" else "shorter side"
    lines = [
        f"# AlexNet, variant `{facts['variant']}`",
        "",
        f"{facts['summary']}; nonlinearity {facts['activation']}.",
        "",
        f"- Trained on {facts['dataset']}, {facts['classes']:,} classes (`labels.txt`), "
        f"{facts['step']:,} steps.",
        *([f"- Recipe: {facts['recipe']}."] if facts["recipe"] else []),
        f"- Validation, one centre view: {Validation(**facts['validation'])}.",
        f"- Images: {squeeze} to {spec['image_size']} pixels, the central square of it; views of "
        f"{spec['crop_size']}×{spec['crop_size']} pixels. The SavedModel does all of that itself.",
        "- Made with " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items()) + ".",
        "",
        "It names one of its classes for every picture, also where it shows none of them.",
        "All facts, with the flags of the training: `model_card.json`.",
        "",
    ]
    return "\n".join(lines)
