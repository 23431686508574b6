"""Flagfiles and recipes: `--flagfile=FILE` and `--recipe=NAME` become the flags of the file.

A line of a flagfile is a flag, empty, or a comment that begins with # or //. A comment may also
follow a flag, after a space. Quotes around a value are left out, and keep spaces and # in it. absl
reads such files too, but knows neither, and finds a file that another one names only relative to
the working directory.
"""

from __future__ import annotations

import codecs
import os
import pathlib
import re
from collections.abc import Sequence

from absl import flags

_PACKAGE = pathlib.Path(__file__).parent
_QUOTED = re.compile(r"""\s*(["'])((?:(?!\1).)*)\1(\s+(#|//).*)?\s*""")
_COMMENT = re.compile(r"\s+(#|//).*")


def recipe_folder() -> pathlib.Path:
    """configs/: inside an installed package, or beside the package in a clone."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def recipes() -> list[str]:
    """The names that `--recipe` accepts."""
    return sorted(path.stem for path in recipe_folder().glob("*.flags"))


def recipe_path(name: str) -> pathlib.Path:
    """The flagfile of a recipe.

    Raises:
        absl.flags.Error: no such recipe.
    """
    if name not in recipes():
        raise flags.IllegalFlagValueError(
            f"flag --recipe={name}: value should be one of <{'|'.join(recipes())}>"
        )
    return recipe_folder() / f"{name}.flags"


def expand(arguments: Sequence[str], with_recipes: bool = True) -> list[str]:
    """Replaces `--flagfile` and `--recipe` by the flags of their files.

    Args:
        arguments: of a command line; what follows `--` or the first word that is not a flag is
            left as it is.
        with_recipes: whether there is a `--recipe`.

    Raises:
        absl.flags.Error: no such file or recipe.
    """
    return _expand(list(arguments), pathlib.Path(), (), with_recipes)


def _expand(
    arguments: list[str], folder: pathlib.Path, open_files: tuple[pathlib.Path, ...], recipes: bool
) -> list[str]:
    """`expand`, for the lines of a file in `folder`; `open_files` led to it."""
    found = []
    while arguments:
        argument = arguments.pop(0)
        if argument == "--" or not argument.startswith("-"):
            return [*found, argument, *arguments]
        name, equals, value = argument.lstrip("-").partition("=")
        if name not in ("flagfile", "recipe") or (name == "recipe" and not recipes):
            found.append(argument)
            continue
        if not equals:
            if not arguments:
                raise flags.IllegalFlagValueError(f"--{name} with no argument")
            value = arguments.pop(0)
        path = recipe_path(value.strip()) if name == "recipe" else _find(value.strip(), folder)
        if path.resolve() not in open_files:  # a file that names itself is read once
            lines = _read(path)
            found += _expand(lines, path.parent, (*open_files, path.resolve()), recipes)
    return found


def _find(name: str, folder: pathlib.Path) -> pathlib.Path:
    """A file, relative to the one that names it, or else to the working directory."""
    path = pathlib.Path(os.path.expanduser(name))
    return folder / path if (folder / path).exists() else path


def _read(path: pathlib.Path) -> list[str]:
    """The flags in a file, in UTF-8 or as Windows writes it: UTF-16 with a byte order mark."""
    try:
        content = path.read_bytes()
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise flags.CantOpenFlagFileError(f"Unable to open flagfile {path}: {reason}") from None
    lines = [line.strip().strip("\x1a\ufeff") for line in text.splitlines()]  # marks of its ends
    return [_flag(line) for line in lines if line and not line.startswith(("#", "//"))]


def _flag(line: str) -> str:
    """A line of a flagfile as on a command line, after a shell has read it."""
    if line[0] in "\"'" and (whole := _QUOTED.fullmatch(line)):
        return whole[2]
    match = re.fullmatch(r"(--?\w+)(\s*=)?(|\s.*|(?<==).*)", line)
    if not match:
        return line
    name, equals, rest = match.groups()
    quoted = _QUOTED.fullmatch(rest)
    value = quoted[2] if quoted else _COMMENT.sub("", rest).strip()
    return f"{name}={value}" if equals or value else name
