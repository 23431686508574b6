"""Flags of the entry points. They are read there and nowhere below."""

from __future__ import annotations

import dataclasses
import math
import os
import typing

from absl import flags

from alexnet_tf.training.options import Options

flags.disclaim_key_flags()  # they are the entry point's, so that its --help lists them


def define_options(where: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one flag for each field of `Options`."""
    types = typing.get_type_hints(Options)
    for field in dataclasses.fields(Options):
        _define(field, types[field.name], where)


def read_flagfile(path: str | os.PathLike) -> Options:
    """The options that a flagfile gives; files that it names are found as absl finds them.

    Raises:
        absl.flags.Error: no such file, or no such flag.
    """
    where = flags.FlagValues()
    define_options(where)
    where(["", f"--flagfile={os.fspath(path)}"])
    return read_options(where)


def read_options(where: flags.FlagValues = flags.FLAGS) -> Options:
    """The parsed flags of `define_options`."""
    types = typing.get_type_hints(Options)
    values = {}
    for field in dataclasses.fields(Options):
        value = getattr(where, field.name)
        if types[field.name] == tuple[float, ...]:
            value = tuple(float(item) for item in value)
        elif isinstance(value, list):
            value = tuple(value)
        values[field.name] = value
    return Options(**values)


def define_model_dir() -> None:
    """Defines --model_dir of a run to read, and --checkpoint."""
    flags.DEFINE_string("model_dir", None, "a directory that alexnet_tf.train wrote", required=True)
    _define_checkpoint()


def define_model_dirs(required: bool = True) -> None:
    """Defines --model_dir of one run or several to average, and --checkpoint."""
    flags.DEFINE_list(
        "model_dir",
        None,
        "directories that alexnet_tf.train wrote; the probabilities of several are averaged",
        required=required,
    )
    _define_checkpoint()


def define_as_in_training(*names: str) -> None:
    """Defines some of the flags of `define_options`."""
    for field in dataclasses.fields(Options):
        if field.name in names:
            _define(field, typing.get_type_hints(Options)[field.name], flags.FLAGS)


def _define_checkpoint() -> None:
    flags.DEFINE_enum(
        "checkpoint", "newest", ["newest", "best"], "best: that of the lowest validation error"
    )


def define_views() -> None:
    """Defines --views."""
    flags.DEFINE_enum(
        "views", "1", ["1", "10"],
        "1: the centre; 10: corners, centre and their reflections, averaged (paper §4.1)",
    )  # fmt: skip


def _define(field: dataclasses.Field, kind: object, where: flags.FlagValues) -> None:
    """Defines the flag of one field, whose type is `kind`."""
    name, default, help_text = field.name, field.default, field.metadata["help"]
    enum = field.metadata.get("enum")
    bounds = {key: field.metadata.get(key) for key in ("lower_bound", "upper_bound")}
    if kind is bool:
        flags.DEFINE_bool(name, default, help_text, where)
    elif kind in (int, int | None):
        flags.DEFINE_integer(name, default, help_text, **bounds, flag_values=where)
    elif kind is float:
        flags.DEFINE_float(name, default, help_text, **bounds, flag_values=where)
        # The bounds let NaN through: it is neither below nor above them.
        flags.register_validator(
            name, lambda value: not math.isnan(value), "must be a number", where
        )
    elif kind == tuple[float, ...]:
        flags.DEFINE_list(name, [str(value) for value in default], help_text, where)
        _validate_numbers(name, where)
    elif kind in (tuple[str, ...], tuple[str, ...] | None):
        help_text = f"{help_text}: {', '.join(enum)}" if enum else help_text
        flags.DEFINE_list(name, default and list(default), help_text, where)
        if enum:
            _validate_members(name, enum, where)
    elif enum:
        flags.DEFINE_enum(name, default, enum, help_text, where)
    else:
        flags.DEFINE_string(name, default, help_text, where)


def _validate_members(name: str, allowed: tuple[str, ...], where: flags.FlagValues) -> None:
    flags.register_validator(
        name,
        lambda values: set(values or ()) <= set(allowed),
        f"must be a comma-separated list of {', '.join(allowed)}, or empty",
        where,
    )


def _validate_numbers(name: str, where: flags.FlagValues) -> None:
    def numbers(values: list[str]) -> bool:
        """Whether all are finite and not negative."""
        try:
            return all(0 <= float(value) < math.inf for value in values)
        except ValueError:
            return False

    flags.register_validator(
        name, numbers, "must be a comma-separated list of numbers, or empty", where
    )
