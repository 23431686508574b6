"""Flags of the entry points. They are read there and nowhere below."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from absl import flags

from alexnet_tf import flagfiles
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.options import OLD_NAMES, Options, check_option, option_fields

flags.disclaim_key_flags()  # they belong to the entry point, so that its --help lists them


def define_options(where: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one flag for each field of `Options`, and their old names."""
    for name in option_fields():
        _define(name, where)
    for old, name in OLD_NAMES.items():
        # As flags of another module they are not listed by --help.
        flags.DEFINE_alias(old, name, where, module_name="alexnet_tf.training.options")


def read_flagfile(path: str | os.PathLike) -> Options:
    """The options in a flagfile.

    Raises:
        absl.flags.Error: no such file, or no such flag.
    """
    where = flags.FlagValues()
    define_options(where)
    where(["", *flagfiles.expand([f"--flagfile={os.fspath(path)}"])])
    return read_options(where)


def read_options(where: flags.FlagValues = flags.FLAGS) -> Options:
    """The parsed flags of `define_options`.

    Raises:
        UserError: flags that exclude each other.
    """
    return Options(**{name: _value(name, getattr(where, name)) for name in option_fields()})


def define_model_dir() -> None:
    """Defines --model_dir of a run to read, and --checkpoint."""
    flags.DEFINE_string("model_dir", None, "a directory that alexnet_tf.train wrote", required=True)
    _define_checkpoint()


def define_model_dirs(required: bool = True) -> None:
    """Defines --model_dir of one run or several to average, and --checkpoint."""
    define_paths(
        "model_dir",
        None,
        "directories that alexnet_tf.train wrote, separated by commas; the probabilities of "
        "several are averaged",
        required=required,
    )
    _define_checkpoint()


def define_paths(name: str, default: list[str] | None, help_text: str, **more: Any) -> None:
    """Defines a flag of several paths, separated by commas; a path may hold commas itself."""
    flags.DEFINE(
        _PathsParser(), name, default, help_text, serializer=flags.CsvListSerializer(","), **more
    )


class _PathsParser(flags.ListParser):
    """Splits at commas, but not at commas in the names of files and directories that exist."""

    def parse(self, argument: str | list[str] | None) -> list[str]:
        """The paths; the longest piece that exists is one of them."""
        if not isinstance(argument, str) or argument.startswith('"') and not _exists(argument):
            return super().parse(argument)
        pieces, paths = argument.split(","), []
        while pieces:
            ends = (end for end in range(len(pieces), 1, -1) if _exists(",".join(pieces[:end])))
            end = next(ends, 1)
            path = ",".join(pieces[:end])
            paths.append(path if _exists(path) else path.strip())
            pieces = pieces[end:]
        return [path for path in paths if path] if len(paths) == 1 else paths


def _exists(path: str) -> bool:
    return os.path.lexists(os.path.expanduser(path))


def define_as_in_training(*names: str) -> None:
    """Defines some of the flags of `define_options`."""
    for name in names:
        _define(name, flags.FLAGS)
    for old, name in OLD_NAMES.items():
        if name in names:
            flags.DEFINE_alias(old, name, module_name="alexnet_tf.training.options")


def _define_checkpoint() -> None:
    flags.DEFINE_enum(
        "checkpoint", "newest", ["newest", "best"], "best: with the lowest validation error"
    )


def define_split() -> None:
    """Defines --split."""
    flags.DEFINE_string(
        "split",
        None,
        "split of the dataset, e.g. train or test, or a slice such as test[:50%]; default: the one "
        "that validated the training, in another dataset the one that would",
    )


def define_trust_model() -> None:
    """Defines --trust_model."""
    flags.DEFINE_bool(
        "trust_model",
        False,
        "load a SavedModel of any kind: its author can then run code and reach files",
    )


def define_views() -> None:
    """Defines --views."""
    flags.DEFINE_enum(
        "views",
        "1",
        ["1", "10"],
        "1: the centre; 10: four corners, the centre and their reflections, averaged (paper §4.1)",
    )


def _define(name: str, where: flags.FlagValues) -> None:
    """Defines the flag of one field of `Options`."""
    field, kind = option_fields()[name]
    default, help_text, enum = field.default, field.metadata["help"], field.metadata.get("enum")
    bounds = {key: field.metadata.get(key) for key in ("lower_bound", "upper_bound")}
    if kind is bool:
        flags.DEFINE_bool(name, default, help_text, where)
    elif kind in (int, int | None):
        flags.DEFINE_integer(name, default, help_text, **bounds, flag_values=where)
    elif kind is float:
        flags.DEFINE_float(name, default, help_text, **bounds, flag_values=where)
    elif kind in (str, str | None):
        if enum:
            flags.DEFINE_enum(name, default, enum, help_text, where)
        else:
            flags.DEFINE_string(name, default, help_text, where)
    else:
        help_text = f"{help_text}: {', '.join(enum)}" if enum else help_text
        flags.DEFINE_list(name, default and list(map(str, default)), help_text, where)
    # absl's own checks let NaN through, and know nothing of the items of lists.
    flags.register_validator(name, lambda value: _check(field, value), flag_values=where)


def _check(field: dataclasses.Field, value: Any) -> bool:
    """A validator of absl's that checks a flag as `Options` does."""
    try:
        check_option(field.name, _value(field.name, value))
    except UserError as error:
        expected = str(error).partition(" to be ")[2].partition(". Received")[0]
        raise flags.ValidationError(f"must be {expected}") from None
    return True


def _value(name: str, value: Any) -> Any:
    """The value of a flag as `Options` takes it: lists of numbers are text in absl."""
    if option_fields()[name][1] == tuple[float, ...]:
        try:
            return [float(item) for item in value]
        except ValueError:
            return value
    return value
