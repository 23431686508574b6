"""Flags of the entry points. They are read there and nowhere below."""

from __future__ import annotations

import dataclasses
import math
import typing

from absl import flags

from alexnet_tf.training.options import Options

flags.disclaim_key_flags()  # they are the entry point's, so that its --help lists them


def define_options() -> None:
    """Defines one flag for each field of `Options`."""
    types = typing.get_type_hints(Options)
    for field in dataclasses.fields(Options):
        _define(field, types[field.name])


def read_options() -> Options:
    """The parsed flags of `define_options`."""
    types = typing.get_type_hints(Options)
    values = {}
    for field in dataclasses.fields(Options):
        value = getattr(flags.FLAGS, field.name)
        if types[field.name] == tuple[float, ...]:
            value = tuple(float(item) for item in value)
        elif isinstance(value, list):
            value = tuple(value)
        values[field.name] = value
    return Options(**values)


def define_model_dir() -> None:
    """Defines --model_dir of a run to read, and --checkpoint."""
    flags.DEFINE_string("model_dir", None, "a directory that alexnet_tf.train wrote", required=True)
    flags.DEFINE_enum(
        "checkpoint", "newest", ["newest", "best"], "best: that of the lowest validation error"
    )


def define_as_in_training(*names: str) -> None:
    """Defines some of the flags of `define_options`."""
    for field in dataclasses.fields(Options):
        if field.name in names:
            _define(field, typing.get_type_hints(Options)[field.name])


def define_views() -> None:
    """Defines --views."""
    flags.DEFINE_enum(
        "views", "1", ["1", "10"],
        "1: the centre; 10: corners, centre and their reflections, averaged (paper §4.1)",
    )  # fmt: skip


def _define(field: dataclasses.Field, kind: object) -> None:
    """Defines the flag of one field, whose type is `kind`."""
    name, default, help_text = field.name, field.default, field.metadata["help"]
    enum = field.metadata.get("enum")
    bounds = {key: field.metadata.get(key) for key in ("lower_bound", "upper_bound")}
    if kind is bool:
        flags.DEFINE_bool(name, default, help_text)
    elif kind in (int, int | None):
        flags.DEFINE_integer(name, default, help_text, **bounds)
    elif kind is float:
        flags.DEFINE_float(name, default, help_text, **bounds)
        # The bounds let NaN through: it is neither below nor above them.
        flags.register_validator(name, lambda value: not math.isnan(value), "must be a number")
    elif kind == tuple[float, ...]:
        flags.DEFINE_list(name, [str(value) for value in default], help_text)
        _validate_numbers(name)
    elif kind in (tuple[str, ...], tuple[str, ...] | None):
        help_text = f"{help_text}: {', '.join(enum)}" if enum else help_text
        flags.DEFINE_list(name, default and list(default), help_text)
        if enum:
            _validate_members(name, enum)
    elif enum:
        flags.DEFINE_enum(name, default, enum, help_text)
    else:
        flags.DEFINE_string(name, default, help_text)


def _validate_members(name: str, allowed: tuple[str, ...]) -> None:
    flags.register_validator(
        name,
        lambda values: set(values or ()) <= set(allowed),
        f"must be a comma-separated list of {', '.join(allowed)}, or empty",
    )


def _validate_numbers(name: str) -> None:
    def numbers(values: list[str]) -> bool:
        try:
            return all(0 <= float(value) < math.inf for value in values)
        except ValueError:
            return False

    flags.register_validator(name, numbers, "must be a comma-separated list of numbers, or empty")
