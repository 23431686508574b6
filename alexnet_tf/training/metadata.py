"""What a run records of itself in `model.json`."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from alexnet_tf.data import splits
from alexnet_tf.data.limits import MAX_CLASSES
from alexnet_tf.data.sources import dataset_directory
from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.untrusted import check, natural, parse_json
from alexnet_tf.training.options import check_option, option_fields, with_current_names

_MAX_TEXT = 2**14  # characters of a path or a class name


@dataclasses.dataclass(frozen=True)
class RunMetadata:
    """The contents of `model.json`.

    Attributes:
        variant: name of the variant.
        activation: its nonlinearity.
        classes: names in label order.
        dataset, data_dir: that it was trained on.
        options: of the run.
        examples: in the training set; None in runs of old versions.
        data_digest: of the training set (`training_digest`); None in runs of old versions.
        validation_split: name of the split that validates (`splits.choose_validation`).
        arguments: loss and schedule that were given to `train`, described.
        initial_weights: that the run began with, described; None for random ones.
    """

    variant: str
    activation: str
    classes: tuple[str, ...]
    dataset: str
    data_dir: str | None
    options: dict = dataclasses.field(default_factory=dict)
    examples: int | None = None
    data_digest: str | None = None
    validation_split: str = splits.EARLIER
    arguments: dict[str, str] = dataclasses.field(default_factory=dict)
    initial_weights: str | None = None

    def resolve_variant(self) -> Variant:
        """The variant with the run's activation."""
        return get_variant(self.variant, self.activation)

    def model_name(self) -> str:
        """The variant's name, with the activation if it is not the variant's own."""
        own = get_variant(self.variant).activation
        return self.variant if own == self.activation else f"{self.variant} ({self.activation})"

    def find_dataset(
        self, dataset: str | None, data_dir: str | None
    ) -> tuple[str, str | None, str | None]:
        """The dataset to measure on: another one, or else the run's.

        Args:
            dataset: its name; None: the run's.
            data_dir: of it; None with the run's dataset: the run's.

        Returns:
            Name, data_dir, and the split that validates, None where the names of the splits say.
        """
        if dataset is None:
            dataset, data_dir = self.dataset, data_dir or self.data_dir
        same = (dataset_directory(dataset) or dataset) == self.dataset
        if dataset == "folder" and data_dir and self.validation_split == splits.HELD_OUT:
            # Another folder may have a validation split.
            same = os.path.abspath(os.path.expanduser(data_dir)) == self.data_dir
        return dataset, data_dir, self.validation_split if same else None


def _text(value: Any) -> None:
    if type(value) is not str or len(value) > _MAX_TEXT or "\0" in value:
        raise ValueError(f"{value!r}")


def _options(values: Any) -> None:
    for name, value in with_current_names(check(values, dict)).items():
        if name in option_fields():
            check_option(name, value)


_FORM = {  # of model.json; old ones hold less
    **{"variant": _text, "activation": _text, "classes": [_text], "dataset": _text},
    **{"data_dir": (None, _text), "options?": _options, "examples?": (None, natural)},
    **{"data_digest?": (None, _text), "validation_split?": _text, "arguments?": {_text: _text}},
    "initial_weights?": (None, _text),
}


def parse_metadata(content: bytes) -> RunMetadata:
    """The contents of a `model.json`; options get their present names.

    Raises:
        ValueError: it is damaged.
    """
    values = check(parse_json(content), _FORM)
    if not 1 <= len(values["classes"]) <= MAX_CLASSES:
        raise ValueError(f"it has {len(values['classes']):,} classes")
    fields = {field.name for field in dataclasses.fields(RunMetadata)}
    metadata = RunMetadata(**{name: value for name, value in values.items() if name in fields})
    return dataclasses.replace(
        metadata, classes=tuple(metadata.classes), options=with_current_names(metadata.options)
    )
