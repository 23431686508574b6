"""Reads small files that a stranger may have written: cards, manifests, reports, statistics.

A file may be a pipe or a device, have any size, and hold any types. These functions read regular
files only, up to a size, and check the contents before anybody uses them. A form describes valid
contents:

    str, int, float, bool, dict, list    a value of this type; bool is no int, and int is a float
    None                                 null
    (one, other)                         either form
    [form]                               a list of it
    {str: form}                          a mapping from any keys to it
    {"key": form, "other?": form}        a mapping with these keys; ? marks one that may be missing
    a function                           called with the value; raises ValueError to refuse it

Example:
    >>> read_json("manifest.json", {"step": natural, "files": {plain_name: sha256_digest}})
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
import sys
import unicodedata
import zipfile
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np

from alexnet_tf.system.errors import UserError, first_line

MAX_JSON = 16 * 2**20  # bytes; as Python objects JSON takes up to 20 times as much
MAX_DEPTH = 32  # of lists and mappings in each other
_SHOWN = 60  # characters of a wrong value in a message


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Opens a regular file, or a link to one, for reading.

    Raises:
        FileNotFoundError: there is none.
        UserError: it is a directory, a pipe or a device, or cannot be read.
    """
    try:
        # Without O_NONBLOCK opening a pipe waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is not a regular file")
    return open(descriptor, "rb")


def read_bytes(path: str | os.PathLike, limit: int = MAX_JSON) -> bytes:
    """The contents of a regular file.

    Args:
        path: of the file.
        limit: bytes that it may have.

    Raises:
        FileNotFoundError, UserError: as `open_regular`, or it is too large.
    """
    with open_regular(path) as file:
        try:
            content = file.read(limit + 1)  # files of /proc have more than they say
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > limit:
        raise UserError(f"{path} is too large: over {limit:,} bytes")
    return content


def read_json(path: str | os.PathLike, form: Any = dict, limit: int = MAX_JSON) -> Any:
    """The contents of a JSON file.

    Args:
        path: of the file.
        form: of the contents, see above.
        limit: bytes that it may have.

    Raises:
        FileNotFoundError: there is none.
        UserError: it cannot be read, is no JSON in UTF-8, is nested too deeply, has a key twice,
            or not the form.
    """
    try:
        return check(parse_json(read_bytes(path, limit)), form)
    except (FileNotFoundError, UserError):
        raise
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from None


def parse_json(text: bytes) -> Any:
    """The value of JSON text.

    Raises:
        ValueError: it is no JSON in UTF-8, nested too deeply, or ambiguous: a key twice. It holds
            NaN, or text that has no UTF-8.
    """
    try:
        value = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for each in level:
            if type(each) is str:
                each.encode(errors="surrogateescape")  # a file name may be any bytes
            elif type(each) is list:
                deeper += each
            elif type(each) is dict:
                deeper += each.keys()
                deeper += each.values()
        level = deeper
        if not level:
            return value
    raise ValueError(f"nested more than {MAX_DEPTH} times")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key is there twice")
    return mapping


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def check(value: Any, form: Any, where: str = "") -> Any:
    """Returns a value that has a form, see above.

    Args:
        value: anything that JSON can hold.
        form: that it should have.
        where: its place, for the message.

    Raises:
        ValueError: it does not; the message says where.
    """
    if isinstance(form, tuple):
        if not any(_has(value, each, where) for each in form):
            raise ValueError(_refusal(where, f"{value!r}"))
    elif isinstance(form, list):
        for i, each in enumerate(check(value, list, where)):
            check(each, form[0], f"{where}[{i}]")
    elif isinstance(form, dict):
        _check_mapping(check(value, dict, where), form, where)
    elif form is None or isinstance(form, type):
        kinds = (float, int) if form is float else (type(None) if form is None else form,)
        if type(value) not in kinds:
            raise ValueError(_refusal(where, f"{value!r}"))
    else:
        try:
            form(value)
        except ValueError as error:
            raise ValueError(_refusal(where, str(error))) from None
    return value


def _has(value: Any, form: Any, where: str) -> bool:
    try:
        check(value, form, where)
    except ValueError:
        return False
    return True


def _check_mapping(value: dict, form: dict, where: str) -> None:
    for key, each in form.items():
        if not isinstance(key, str):
            for name, item in value.items():
                check(name, key, f"a key of {where or 'the file'}")
                shown = name if name.isprintable() and len(name) <= _SHOWN else "..."
                check(item, each, f"{where}.{shown}".lstrip("."))
            continue
        name = key.removesuffix("?")
        if name in value:
            check(value[name], each, f"{where}.{name}".lstrip("."))
        elif name == key:
            raise ValueError(f"{where + ' has' if where else 'it has'} no {name}")


def _refusal(where: str, what: str) -> str:
    short = what if len(what) <= _SHOWN else f"{what[:_SHOWN]}..."
    return f"{where or 'it'} is {short}"


def natural(value: Any) -> None:
    """A whole number from 0 to 2^63 - 1."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r}")


def finite(value: Any) -> None:
    """A number that float64 can hold."""
    if type(value) not in (int, float) or not -sys.float_info.max <= value <= sys.float_info.max:
        raise ValueError(f"{value!r}")


def line(value: Any) -> None:
    """Text of one line: not empty, without control characters, line breaks or half characters."""
    if type(value) is not str or not value or any(map(_breaks, value)):
        raise ValueError(f"{value!r}")


def _breaks(character: str) -> bool:
    # control, half of a pair, line separator, paragraph separator
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def plain_name(value: Any) -> None:
    """The name of a file in a directory: one line, without a path."""
    line(value)
    if "/" in value or value in (".", "..") or len(value.encode()) > 255:
        raise ValueError(f"no plain file name: {value!r}")


def sha256_digest(value: Any) -> None:
    """SHA-256 in hexadecimal."""
    if type(value) is not str or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"no SHA-256: {value!r}")


def read_arrays(path: str | os.PathLike, names: Iterable[str], limit: int) -> dict[str, np.ndarray]:
    """Arrays of an .npz file; pickled objects are refused.

    Args:
        path: of the file.
        names: of the arrays to read.
        limit: bytes that each may take in memory, however few they take in the file.

    Raises:
        FileNotFoundError, UserError: as `open_regular`, or the file is damaged, or has no such
            arrays, or larger ones.
    """
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return {name: _read_array(archive, name, limit) for name in names}
        # A damaged archive raises all kinds: zlib.error, struct.error, NotImplementedError, ...
        except Exception as error:
            raise UserError(f"{path} is damaged: {first_line(error)}") from None


def _read_array(archive: zipfile.ZipFile, name: str, limit: int) -> np.ndarray:
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > limit:
        raise ValueError(f"{name} is too large: over {limit:,} bytes")
    content = archive.open(member).read(limit + 1)  # at most, whatever the archive says
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read_header(file)
    # Memory is taken for the shape before the values are read.
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"{name} has not as many values as it says")
    return np.load(io.BytesIO(content), allow_pickle=False)
