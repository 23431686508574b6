"""Odd files, paths, environments and layouts of datasets, for `tools.odd_inputs`.

Each is a row with a name. A file is made by a function of a folder, a layout by a function of a
folder that returns the images of each split, an environment is a few variables, and perhaps
something that a process does before it becomes the command.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import pathlib
import shutil
import socket
from collections.abc import Callable

from alexnet_tf.data.shapes import CLASSES, jpeg
from tests.data.odd_images import odd_images, png

_LIBC = ctypes.CDLL(None, use_errno=True)


def files() -> dict[str, Callable[[pathlib.Path], str]]:
    """Name to a function that makes the file in a folder, and returns its name there."""
    image = jpeg(0, 0)

    def named(name: str | bytes, content: bytes = image) -> Callable[[pathlib.Path], str]:
        def make(folder: pathlib.Path) -> str:
            path = os.path.join(folder, os.fsdecode(name))
            with open(path, "wb") as file:
                file.write(content)
            return os.fsdecode(name)

        return make

    def other(name: str, do: Callable[[pathlib.Path], object]) -> Callable[[pathlib.Path], str]:
        def make(folder: pathlib.Path) -> str:
            do(folder / name)
            return name

        return make

    def listen(path: pathlib.Path) -> None:
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path has at most 107 bytes
        socket.socket(socket.AF_UNIX).bind(path.name)
        os.chdir(here)

    def closed(path: pathlib.Path) -> None:
        path.write_bytes(image)
        path.chmod(0)

    def circle(path: pathlib.Path) -> None:
        path.mkdir()
        (path / "again").symlink_to("..")

    found = {name: named(f"odd {name}.img", data) for name, data in odd_images().items()}
    wrong = {  # images under the name of another format
        "webp as jpg": named("web.jpg", odd_images()["webp"]),
        "png as JPEG": named("SHOT.JPEG", odd_images()["png"]),
        "jpeg without suffix": named("photo"),
        "jpeg as txt": named("photo.txt"),
    }
    broken = {
        "empty": named("empty.jpg", b""),
        "html": named("saved.jpg", b"<!DOCTYPE html><title>404</title>"),
        "cut off": named("half.jpg", image[: len(image) // 2]),
        "no pixels": named("head.png", odd_images()["png"][:33]),
        "zip": named("photos.jpg", b"PK\3\4" + bytes(99)),
        "heic": named("IMG_1.HEIC", bytes([0, 0, 0, 24]) + b"ftypheic" + bytes(40)),
        "avif as jpg": named("new.jpg", bytes([0, 0, 0, 24]) + b"ftypavif" + bytes(40)),
        "text": named("notes.txt", b"to do"),
        "pointer of git lfs": named("lfs.jpg", b"version https://git-lfs.github.com/spec/v1\n"),
        "huge png": named("huge.png", _huge()),
    }
    litter = {
        name: named(name, b"\0\0\0\1Bud1")
        for name in ("Thumbs.db", ".DS_Store", "._photo.jpg", "desktop.ini", "Icon\r")
    }
    names = {
        "escape": named("\x1b[31mred.jpg"),
        "line break": named("two\nlines.jpg"),
        "not UTF-8": named(b"caf\xe9.jpg"),
        "decomposed": named("cafe\u0301.jpg"),
        "backwards": named("\u202egpj.exe.jpg"),
        "pattern": named("[a-z]*?{b}.jpg"),
        "backslash": named("a\\b.jpg"),
        "dash": named("--help.jpg"),
        "formula": named("=1+1.jpg"),
        "format": named("%s{0}%n.jpg"),
        "comma and quote": named("a, \"b\" 'c'.jpg"),
        "longest": named("n" * 251 + ".jpg"),
        "spaces": named(" photo .jpg "),
        "colon": named("gs:photo.jpg"),
    }
    special = {
        "link to nowhere": other("gone.jpg", lambda path: path.symlink_to("nowhere")),
        "link to itself": other("loop.jpg", lambda path: path.symlink_to(path.name)),
        "device": other("zero.jpg", lambda path: path.symlink_to("/dev/zero")),
        "pipe": other("pipe.jpg", os.mkfifo),
        "socket": other("socket.jpg", listen),
        "unreadable": other("closed.jpg", closed),
        "folder with suffix": other("folder.jpg", pathlib.Path.mkdir),
        "circle of folders": other("circle", circle),
        "unreadable folder": other("closed", lambda path: path.mkdir(0)),
    }
    return {"none": lambda folder: "", **found, **wrong, **broken, **litter, **names, **special}


def _huge() -> bytes:
    changed = bytearray(png(2, 8, []))
    changed[16:24] = (60_000).to_bytes(4, "big") * 2  # the checksum is wrong, too
    return bytes(changed)


PATHS = {  # name: a path below the folder of a combination, which is the working directory
    "plain": "plain",
    "brackets": "run[1]",
    "backslash": "a\\b",
    "stars": "*?",
    "comma": "a,b, c",
    "spaces": " two  words ",
    "quotes": "'q\"",
    "dash": "-d",
    "equals": "lr=0.1",
    "hash": "#1 // x",
    "percent": "%d {0} $HOME",
    "line break": "a\nb",
    "escape": "\x1b[2J",
    "not UTF-8": os.fsdecode(b"caf\xe9"),
    "emoji": "naïve 🐈",
    "tilde": "~odd",
    "colon": "C:x",
    "dots": "x/../x/.",
    "long": "n" * 200,
    "deep": "/".join(["d" * 100] * 12),
    "link": "link",
    "URL": "gs://bucket/x",
    "closed": "closed",
    "read-only": "readonly",
    "file": "file",
    "nowhere": "nowhere/x",
    "pipe": "pipe",
    "name of a module": "json.py",
}


def layouts() -> dict[str, Callable[[pathlib.Path], None]]:
    """Name to a function that writes a dataset of folders into a folder."""

    def fill(folder: pathlib.Path, classes: tuple[str, ...] = CLASSES[:3], each: int = 2) -> None:
        for label, name in enumerate(classes):
            (folder / name).mkdir(parents=True, exist_ok=True)
            for index in range(each):
                (folder / name / f"{index}.jpg").write_bytes(jpeg(0, 10 * index + label))

    def splits(*names: str) -> Callable[[pathlib.Path], None]:
        return lambda root: [fill(root / name) for name in names]

    def one_deeper(root: pathlib.Path) -> None:
        for name in CLASSES[:2]:
            fill(root / "train" / name, ("2011", "2012"))
            fill(root / "val" / name, ("2011",))

    def tiny_imagenet(root: pathlib.Path) -> None:
        for number, name in enumerate(CLASSES[:2]):
            fill(root / "train" / name, ("images",))
            (root / "val" / "images").mkdir(parents=True, exist_ok=True)
            (root / "val" / "images" / f"val_{number}.jpg").write_bytes(jpeg(1, number))
        lines = [f"val_{number}.jpg\t{name}\t0\t0\t9\t9\n" for number, name in enumerate(CLASSES)]
        (root / "val" / "val_annotations.txt").write_text("".join(lines[:2]))

    def flat(root: pathlib.Path) -> None:
        fill(root / "train")
        fill(root, (".",), 4)

    def empty_class(root: pathlib.Path) -> None:
        splits("train", "val")(root)
        (root / "train" / "zebra").mkdir()

    def extra_class(root: pathlib.Path) -> None:
        fill(root / "train")
        fill(root / "val", CLASSES[:4])

    def litter(root: pathlib.Path) -> None:
        splits("train", "val")(root)
        for folder in (root, root / "train"):
            (folder / ".ipynb_checkpoints").mkdir()
            (folder / "__MACOSX").mkdir()
            (folder / "README.md").write_text("read me")

    return {
        "train, val": splits("train", "val"),
        "train, valid": splits("train", "valid"),
        "train, dev, test": splits("train", "dev", "test"),
        "train, test": splits("train", "test"),
        "Train, Validation": splits("Train", "Validation"),
        "train only": splits("train"),
        "test only": splits("test"),
        "one folder deeper": one_deeper,
        "Tiny ImageNet": tiny_imagenet,
        "train within train": lambda root: splits("train/train", "val")(root),
        "within a folder": lambda root: splits("archive/train", "archive/val")(root),
        "classes without splits": fill,
        "flat": flat,
        "empty class": empty_class,
        "class only in val": extra_class,
        "one class": lambda root: [fill(root / name, ("cat",)) for name in ("train", "val")],
        "one image a class": lambda root: [fill(root / n, each=1) for n in ("train", "val")],
        "litter": litter,
        "empty": lambda root: root.mkdir(parents=True, exist_ok=True),
        "none": lambda root: None,
    }


@dataclasses.dataclass(frozen=True)
class Environment:
    """How a process finds the world.

    Attributes:
        variables: to set, or None to remove; FOLDER in a value is the folder of the combination.
        prepare: runs in the new process, in the folder.
        fresh: whether the variables count only when Python or TensorFlow starts.
        loud: whether it asks for more lines than the package prints.
        unseen: whether some of the output goes nowhere.
    """

    variables: dict[str, str | None] = dataclasses.field(default_factory=dict)
    prepare: Callable[[], object] = lambda: None
    fresh: bool = False
    loud: bool = False
    unseen: bool = False


def _close(*descriptors: int) -> Callable[[], None]:
    return lambda: [os.close(each) for each in descriptors] and None


def _broken_pipe() -> None:
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.close(reader)


def _leave_and_remove() -> None:
    folder = pathlib.Path("removed").absolute()
    folder.mkdir()
    os.chdir(folder)
    shutil.rmtree(folder)


def _full_output() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def _keras(text: str) -> Environment:
    def prepare() -> None:
        folder = pathlib.Path(os.environ["KERAS_HOME"])
        folder.mkdir()
        (folder / "keras.json").write_text(text)

    return Environment({"KERAS_HOME": "FOLDER/keras"}, prepare, fresh=True)


_LATIN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ENVIRONMENTS = {
    "plain": Environment(),
    "closed stderr": Environment(prepare=_close(2), unseen=True),
    "closed stdout": Environment(prepare=_close(1), unseen=True),
    "all closed": Environment(prepare=_close(0, 1, 2), unseen=True),
    "reader has ended": Environment(prepare=_broken_pipe, unseen=True),
    "full disk as output": Environment(prepare=_full_output, unseen=True),
    "no HOME": Environment({"HOME": None}),
    "HOME nowhere": Environment({"HOME": "/nonexistent"}, fresh=True),
    "TMPDIR nowhere": Environment({"TMPDIR": "/nonexistent"}),
    "no working directory": Environment(prepare=_leave_and_remove),
    "TF_CONFIG={}": Environment({"TF_CONFIG": "{}"}),
    "TF_CONFIG of a list": Environment({"TF_CONFIG": "[1]"}),
    "COLUMNS=0": Environment({"COLUMNS": "0", "LINES": "0"}),
    "COLUMNS=wide": Environment({"COLUMNS": "wide", "TERM": ""}),
    "LC_ALL=C": Environment({"LC_ALL": "C", **_LATIN}, fresh=True),
    "LC_ALL unknown": Environment({"LC_ALL": "xx_YY.latin9", **_LATIN}, fresh=True),
    "PYTHONIOENCODING=ascii": Environment({"PYTHONIOENCODING": "ascii"}, fresh=True),
    "PYTHONWARNINGS=error": Environment({"PYTHONWARNINGS": "error"}, fresh=True),
    "PYTHONDEVMODE": Environment({"PYTHONDEVMODE": "1"}, fresh=True),
    "PYTHONOPTIMIZE=2": Environment({"PYTHONOPTIMIZE": "2"}, fresh=True),
    "keras.json": _keras(
        '{"backend": "torch", "floatx": "float16", "image_data_format": "channels_first"}'
    ),
    "keras.json damaged": _keras('{"backend": '),
    "keras.json of a list": _keras("[1]"),
    "KERAS_BACKEND=jax": Environment({"KERAS_BACKEND": "jax"}, fresh=True),
    "TF_DETERMINISTIC_OPS=1": Environment({"TF_DETERMINISTIC_OPS": "1"}, fresh=True),
    "TF_CPP_MIN_LOG_LEVEL=0": Environment(
        {"TF_CPP_MIN_LOG_LEVEL": "0"}, fresh=True, loud=True
    ),
    "XLA_FLAGS unknown": Environment({"XLA_FLAGS": "--xla_no_such_flag=1"}, fresh=True, loud=True),
    "OMP_NUM_THREADS=x": Environment({"OMP_NUM_THREADS": "x"}, fresh=True),
    "TF_NUM_INTRAOP_THREADS=-3": Environment({"TF_NUM_INTRAOP_THREADS": "-3"}, fresh=True),
    "CUDA_VISIBLE_DEVICES=7": Environment({"CUDA_VISIBLE_DEVICES": "7"}, fresh=True),
}  # fmt: skip


def obey_permissions() -> None:
    """Gives up the superuser's right to open every file, also after exec."""
    if os.geteuid():
        return
    no_root, set_securebits, version = 1, 28, 0x20080522
    _LIBC.prctl(set_securebits, no_root, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(version, 0)
    _LIBC.syscall(126, header, (ctypes.c_uint32 * 6)())  # capset on x86-64
