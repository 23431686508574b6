"""Mutations of files: of bytes, JSON, archives of arrays and lists of names.

Every function is pure in its random numbers. A mutation is either the new contents, or a function
that makes something else in the place of the file: a pipe, a link, a directory.
"""

from __future__ import annotations

import io
import json
import os
import pathlib
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Mutation = bytes | Callable[[pathlib.Path], None]

_CODE = "stranger.Code"  # a module in the working directory, on Python's path


def _hostile_values(outside: pathlib.Path) -> list[Any]:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    return [
        *(None, True, False, -1, 0, 1, 2, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**400),
        *(0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf")),
        *("", " ", ".", "..", "../outside/new", str(outside / "new"), str(outside / "victim")),
        *("/dev/zero", "/proc/self/environ", "~", "~root", "-", "a/b", "a\0b", "a\nb", "con\r"),
        *("\x1b]0;title\x07", "\u202egnp", "\ud800", "\udcff", "\u2028", "=1+1", "a" * 70_000),
        *("{0.__class__}", "%s%n", "${HOME}", "http://127.0.0.1:9/", "gs://bucket/x", "file:///x"),
        *(_CODE, "antigravity", "this.x", "os.system", "tensorflow_datasets.core.features.x"),
        *("tensorflow_datasets.core.features.sequence_feature.Sequence", "builtins.exec"),
        *("tensorflow_datasets.core.features.text_feature.Text", "paper", "tiny32", "folder"),
        *([], {}, [[]], {"": ""}, [0] * 1000, deep, {"pythonClassName": _CODE}, ["a", "a"]),
    ]


def mutate_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Flips bits, cuts, removes, repeats, inserts or overwrites."""
    kind = rng.integers(7)
    start = int(rng.integers(len(data) + 1))
    length = int(rng.integers(1, 64))
    if kind == 0:
        return data[:start]
    if kind == 1:
        return data[:start] + data[start + length :]
    if kind == 2:
        return data[:start] + data[start : start + length] * int(rng.integers(2, 50)) + data[start:]
    if kind == 3:
        return data[:start] + rng.bytes(length) + data[start:]
    if kind == 4:
        return data[:start] + rng.bytes(length) + data[start + length :]
    raw = np.frombuffer(data, np.uint8).copy()
    if not len(raw):
        return b"\0"
    places = rng.integers(len(raw), size=1 if kind == 5 else rng.integers(1, 30))
    raw[places] ^= (1 << rng.integers(8, size=len(places))).astype(np.uint8)
    return raw.tobytes()


def other_file(rng: np.random.Generator, outside: pathlib.Path) -> Mutation:
    """Something that is no such file: nothing, a pipe, a device, a link, one of huge size."""

    def sparse(path: pathlib.Path) -> None:
        path.touch()
        os.truncate(path, 2**40)

    choices: list[Mutation] = [
        *(b"", b"\0", b"\n" * 20_000_000, b"[" * 200_000, b'{"a":' * 100_000, b"9" * 100_000),
        *(b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b"null", b"[]", b"{}", b"1e999", b"PK\5\6"),
        os.mkfifo,
        os.mkdir,
        sparse,
        lambda path: None,
        *(_link(target) for target in ("/dev/zero", "/dev/stdin", "/dev/tty", "/proc/self/mem")),
        *(_link(target) for target in ("nothing", ".", "..", "/", "/proc/self/environ")),
        lambda path: path.symlink_to(path.name),
        _link(str(outside / "victim")),
    ]
    return choices[rng.integers(len(choices))]


def _link(target: str) -> Callable[[pathlib.Path], None]:
    return lambda path: path.symlink_to(target)


def mutate_json(text: bytes, rng: np.random.Generator, outside: pathlib.Path) -> bytes:
    """Changes one to three places of JSON text."""
    value = json.loads(text)
    for _ in range(rng.integers(1, 4)):
        _change(value, rng, outside)
    mutated = json.dumps(value, ensure_ascii=bool(rng.integers(2)), indent=1)
    kind = rng.integers(20)
    if kind == 0:
        mutated = mutated.replace(": 1", f": {'9' * 5000}", 1)
    elif kind == 1:
        mutated = mutated.replace("{", '{"a": 1, "a": 2, ', 1)
    elif kind == 2:
        mutated = f"{mutated}{mutated}"
    return mutated.encode(errors="surrogatepass")


def _change(value: Any, rng: np.random.Generator, outside: pathlib.Path) -> None:
    places = list(_places(value))
    if not places:
        return
    container, key = places[rng.integers(len(places))]
    hostile = _hostile_values(outside)
    new = hostile[rng.integers(len(hostile))]
    kind = rng.integers(8)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container[str(new)[:200]] = container.pop(key)
    elif kind == 2 and isinstance(container, dict):
        container[_keys(rng)] = new
    elif kind == 3 and isinstance(container, list):
        container *= int(rng.choice([2, 100, 30_000])) if len(container) < 20 else 2
    elif kind == 4:
        other, another = places[rng.integers(len(places))]
        container[key] = json.loads(json.dumps(other[another]))
    else:
        container[key] = new


def _keys(rng: np.random.Generator) -> str:
    names = (
        *("pythonClassName", "python_class_name", "type", "names_file", "labels", "json", "files"),
        *("splits", "fileFormat", "filepathTemplate", "shardLengths", "downloadSize", "moduleName"),
        *("configName", "redistributionInfo", "builder", "..", "a/b", "", "__class__", "\x1b[2J"),
        *("\0", "options", "classes", "steps", "workers", "schedule", "decay_epochs"),
    )
    return names[rng.integers(len(names))]


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items)[:300]:
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


class _Code:
    """Pickled, it writes a file when it is read."""

    def __init__(self, path: str):
        self._path = path

    def __reduce__(self):
        return open, (self._path, "w")


def mutate_arrays(data: bytes, rng: np.random.Generator, outside: pathlib.Path) -> bytes:
    """Replaces one array of an archive: another type, shape or size, a pickle, a false header."""
    members = {name: array for name, array in np.load(io.BytesIO(data)).items()}
    name = list(members)[rng.integers(len(members))]
    content = io.BytesIO()
    array = members[name]
    kind = rng.integers(9)
    if kind < 4:
        array = array.copy()
        changed = [
            lambda: array.astype(rng.choice(["f8", "f2", "i4", "c8", "?", "S3", "U2", "M8[s]"])),
            lambda: np.full_like(array, rng.choice([np.nan, np.inf, -1e38, 1e38, -0.0])),
            lambda: array.reshape(rng.permutation([array.size, 1, 1])),
            lambda: np.resize(array, rng.integers(0, 40, size=rng.integers(0, 5))),
        ]
        np.lib.format.write_array(content, changed[kind](), allow_pickle=False)
    elif kind == 4:
        np.lib.format.write_array_header_1_0(
            content, {"descr": "|O", "fortran_order": False, "shape": (1,)}
        )
        pickle.dump(_Code(str(outside / "new")), content)
    elif kind == 5:
        shape = (2**40,) if rng.integers(2) else (2**31, 2**31, 2**31)
        head = {"descr": "<f4", "fortran_order": bool(rng.integers(2)), "shape": shape}
        np.lib.format.write_array_header_1_0(content, head)
        content.write(bytes(100))
    elif kind == 6:  # a small archive that inflates
        np.lib.format.write_array(content, np.zeros((5000, 5000, 3), "f4"), allow_pickle=False)
    else:
        head = [b"(" * 9000, b"{" * 9000, b"__import__('stranger')", b"9" * 9000, b"{'descr':0}"]
        text = head[rng.integers(len(head))]
        content.write(b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text)
    return _archive(members, name, content.getvalue(), rng)


def _archive(members: dict, name: str, content: bytes, rng: np.random.Generator) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for each, array in members.items():
            with archive.open(f"{each}.npy", "w") as member:
                if each == name:
                    member.write(content)
                else:
                    np.lib.format.write_array(member, array)
        if rng.integers(4) == 0:
            archive.writestr("../outside/new", b"stranger")
    return file.getvalue()


def mutate_names(text: bytes, rng: np.random.Generator, outside: pathlib.Path) -> bytes:
    """Changes one line of a list of names."""
    lines = text.decode().split("\n")
    hostile = [value for value in _hostile_values(outside) if isinstance(value, str)]
    new = hostile[rng.integers(len(hostile))]
    kind = rng.integers(6)
    if kind == 0:
        lines *= int(rng.choice([2, 1000, 1_000_000]))
    elif kind == 1:
        lines.insert(rng.integers(len(lines)), new)
    else:
        lines[rng.integers(len(lines))] = new
    return "\n".join(lines).encode(errors="surrogatepass")
