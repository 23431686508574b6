"""What lies where in the directory of a SavedModel, for those that write and that read it.

BASE/<version>/
    saved_model.pb, variables/                  signatures.py says what can be asked
    assets/labels.txt                           the classes, one a line, in label order
    assets/model_card.json, model_card.md       what the model is
    assets.extra/tf_serving_warmup_requests     one request for each signature
"""

from __future__ import annotations

import pathlib

from alexnet_tf.system.errors import UserError

MAX_VERSION = 2**63 - 1  # TensorFlow Serving's are int64
LABELS = pathlib.PurePath("assets", "labels.txt")
CARD = pathlib.PurePath("assets", "model_card.json")


def version_of(name: str) -> int | None:
    """The number that the name of a version's directory is, as TensorFlow Serving reads it."""
    known = name.isascii() and name.isdecimal() and int(name) <= MAX_VERSION
    return int(name) if known else None


def write_labels(directory: pathlib.Path, classes: tuple[str, ...]) -> None:
    """Writes the names of the classes.

    Raises:
        UserError: there is a line break in one.
    """
    for name in classes:
        if "\n" in name or "\r" in name:
            raise UserError(f"Expected names of classes without line breaks. Received: {name!r}")
    text = "".join(f"{name}\n" for name in classes)
    (directory / LABELS).write_bytes(text.encode())


def read_labels(directory: pathlib.Path) -> tuple[str, ...]:
    """The names of the classes; only a line feed ends one, as others may be in names."""
    text = (directory / LABELS).read_bytes().decode()
    return tuple(text.removesuffix("\n").split("\n"))
