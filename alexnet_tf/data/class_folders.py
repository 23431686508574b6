"""Lists the images of a folder with a folder for each class: for training, preparation and doctor.

    <split>/<class>/**                    an image's class is the first folder below the split
    <split>/images/*, *_annotations.txt   Tiny ImageNet's validation set: a file names the classes

What a file is decides its content; its name matters only where the content is no image. What is
not used is counted (`LeftOut`), and no file is opened that is not a regular one. No TensorFlow is
imported here.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import os
import pathlib
from collections.abc import Iterator

from alexnet_tf.data.limits import MAX_BYTES
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress
from alexnet_tf.system.untrusted import check, line

# Files with such names are expected to be images, and are damaged if they do not begin like one.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff"),
)
_UNREAD_SUFFIXES = (
    *(".avif", ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".psd", ".svg", ".ico", ".tga", ".ppm"),
    *(".pgm", ".pbm", ".raw", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".pef"),
    *(".srw", ".3fr", ".erf", ".kdc", ".iiq", ".rwl"),
)
# Operating systems, archives and notebooks leave these beside photographs, as well as hidden files.
_LITTER = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "__macosx"),
        *("lost+found", "$recycle.bin", "system volume information", "@eadir", "__pycache__"),
        *("network trash folder", "temporary items"),
    }
)
_START = 18  # bytes that tell what a file is
_TIFF = (b"II*\0", b"MM\0*")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes
_ANNOTATIONS = "_annotations.txt"  # lines of file name, class and more, separated by tabs
_IMAGES = "images"
_NAMED = 3  # examples in a message

# Why a file or a folder is left out. The first two do no harm.
LITTER = "hidden or of the operating system"
NO_IMAGE = "no images"
UNREAD = "images of a format that is not read"
SPECIAL = "links to nowhere, pipes or devices"
TOO_LARGE = f"files of over {MAX_BYTES:,} bytes"
OUTSIDE = "images outside of the class folders"
UNLABELLED = "images without a line in the list of classes"


class LeftOut:
    """The files that are not used, counted by reason, with some names of each."""

    def __init__(self):
        self._counts: collections.Counter[str] = collections.Counter()
        self._names: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Counts a file or a folder."""
        self._counts[reason] += 1
        names = self._names.setdefault(reason, [])
        if len(names) < _NAMED and name not in names:
            names.append(name)

    def __add__(self, other: LeftOut) -> LeftOut:
        both = LeftOut()
        both._counts = self._counts + other._counts
        for reason in both._counts:
            names = [*self._names.get(reason, ()), *other._names.get(reason, ())]
            both._names[reason] = list(dict.fromkeys(names))[:_NAMED]
        return both

    def __len__(self) -> int:
        return self._counts.total()

    @property
    def images(self) -> int:
        """How many of them are images, or may be."""
        return len(self) - self._counts[LITTER] - self._counts[NO_IMAGE]

    def __str__(self) -> str:
        parts = [
            f"{count:,} {reason} ({', '.join(self._names[reason])}"
            f"{', ...' if count > len(self._names[reason]) else ''})"
            for reason, count in self._counts.most_common()
        ]
        return f"{len(self):,} left out: {'; '.join(parts)}"


@dataclasses.dataclass
class ClassFolder:
    """The images of a folder.

    Attributes:
        folder: holds a folder for each class.
        names: relative paths, class after class, sorted within each.
        labels: of the images.
        stamps: size in bytes and modification time in ns of each.
        doubtful: name to a few words, for images that may be none, or are larger than allowed.
        too_large: the names of these.
        nested: how many lie in folders within the class folders; they count.
        left_out: the other files.
    """

    folder: pathlib.Path
    names: list[str] = dataclasses.field(default_factory=list)
    labels: list[int] = dataclasses.field(default_factory=list)
    stamps: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    doubtful: dict[str, str] = dataclasses.field(default_factory=dict)
    too_large: set[str] = dataclasses.field(default_factory=set)
    nested: int = 0
    left_out: LeftOut = dataclasses.field(default_factory=LeftOut)

    def describe(self) -> list[str]:
        """What a user may not expect, a line for each."""
        lines = [f"{self.folder}: {self.left_out}"] if self.left_out else []
        if self.nested:
            lines.append(
                f"{self.folder}: {self.nested:,} images lie in folders within the folders of the "
                "classes, and belong to these classes"
            )
        return lines

    def add(self, name: str, label: int, start: bytes, state: os.stat_result) -> None:
        """Adds a file by its first bytes, or leaves it out."""
        suffix = os.path.splitext(name)[1].lower()
        if state.st_size > MAX_BYTES and not why_left_out(start, suffix):
            self.too_large.add(name)
            self.doubtful[name] = f"has over {MAX_BYTES:,} bytes"
        elif reason := why_left_out(start, suffix):
            return self.left_out.add(reason, name)
        elif not is_image(start, suffix):
            self.doubtful[name] = f"begins with {start[:8]!r}" if start else "is empty"
        self.names.append(name)
        self.labels.append(label)
        self.stamps.append((state.st_size, state.st_mtime_ns))
        return None


def is_litter(name: str) -> bool:
    """Whether a file or folder is hidden, or one that programs leave beside others."""
    return name.startswith(".") or name.lower() in _LITTER


def is_image(start: bytes, suffix: str) -> bool:
    """Whether a file begins like an image that can be read.

    Args:
        start: the first `_START` bytes.
        suffix: of its name, in small letters. Raw files of cameras begin like TIFF.
    """
    if start.startswith(b"BM"):
        return int.from_bytes(start[14:18], "little") in _BMP_HEADERS
    if start.startswith(_TIFF):
        return suffix not in _UNREAD_SUFFIXES
    if start.startswith(b"RIFF"):
        return start[8:12] == b"WEBP"
    return start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a"))


def why_left_out(start: bytes, suffix: str) -> str | None:
    """Why a file is not used; None for an image, and for one that its name says should be one.

    Args:
        start: as for `is_image`.
        suffix: as for `is_image`.
    """
    if suffix in IMAGE_SUFFIXES or is_image(start, suffix):
        return None
    return UNREAD if suffix in _UNREAD_SUFFIXES else NO_IMAGE


def read_start(path: str | os.PathLike) -> tuple[bytes, os.stat_result]:
    """The first bytes of a regular file, for `is_image`, and its state."""
    with open(path, "rb") as file:
        return file.read(_START), os.fstat(file.fileno())


@contextlib.contextmanager
def reading_folders() -> Iterator[None]:
    """Context that turns errors of the file system into one line.

    Raises:
        UserError: a file or a folder cannot be read.
    """
    try:
        yield
    except OSError as error:
        what = f"{error.filename} cannot be read: {error.strerror}"
        denied = ". Allow it, or move it elsewhere" if isinstance(error, PermissionError) else ""
        raise UserError(what + denied) from None


def class_names(folder: pathlib.Path) -> tuple[str, ...]:
    """The names of the classes of a folder, sorted.

    Raises:
        UserError: no such folder, no class in it, or a name that a list of names cannot hold.
        OSError: it cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"Expected {folder.name}/<class>/ in {folder.parent}. There is no {folder}")
    if annotations := _annotations(folder):
        names = tuple(sorted(set(annotations.values())))
    else:
        names = tuple(entry.name for entry in _entries(folder) if entry.is_dir())
    if not names:
        raise UserError(
            f"Expected one folder for each class in {folder}. There is none{layout_hint(folder)}"
        )
    check_class_names(names)
    return names


def check_class_names(names: tuple[str, ...]) -> None:
    """Refuses names that a list, one line of UTF-8 for each name, cannot represent.

    Raises:
        UserError: a name with a line break or with spaces around it, or not in UTF-8.
    """
    for name in names:
        kept = name.encode(errors="ignore").decode().strip()
        try:
            check(name, line)
        except ValueError:
            kept = ""
        if kept != name:
            raise UserError(
                "Expected names of classes in UTF-8, without line breaks and control characters, "
                f"and without spaces around them. Received: {name!r}. Rename it"
            )


def layout_hint(folder: pathlib.Path) -> str:
    """What to change where a folder does not hold one folder for each class; may be empty."""
    entries = _entries(folder)
    folders = [entry for entry in entries if entry.is_dir()]
    for each in folders:
        if os.path.isdir(os.path.join(each.path, "train")):
            return f". Did you mean {each.path}?"
    images = [each.name for each in entries if each.name.lower().endswith(IMAGE_SUFFIXES)]
    if images:
        return (
            f". It holds {len(images):,} images ({images[0]}): put each into a folder that has the "
            "name of its class"
        )
    if folders:
        names = ", ".join(each.name for each in folders[:_NAMED])
        return f". It holds the folders {names}{', ...' * (len(folders) > _NAMED)}"
    return ""


def list_images(folder: pathlib.Path, classes: tuple[str, ...]) -> ClassFolder:
    """Lists the images of a folder, and reads the first bytes of each file.

    Args:
        folder: holds a folder for each class, or Tiny ImageNet's `images` and list of classes.
        classes: names in label order; one need not have a folder.

    Raises:
        OSError: a file or a folder cannot be read.
    """
    found = ClassFolder(folder)
    annotations = _annotations(folder)
    label_of = {name: label for label, name in enumerate(classes)}
    for entry in _entries(folder, found.left_out):
        if entry.is_file() and not (annotations and entry.name.endswith(_ANNOTATIONS)):
            image = is_image(read_start(entry.path)[0], os.path.splitext(entry.name)[1].lower())
            found.left_out.add(OUTSIDE if image else NO_IMAGE, entry.name)
    if annotations:
        for name, path in _walk(folder, _IMAGES, found.left_out):
            label = label_of.get(annotations.get(os.path.basename(name), ""))
            if label is None:
                found.left_out.add(UNLABELLED, name)
            else:
                found.add(name, label, *read_start(path))
        return found
    with Progress(f"listing {folder.name}", len(classes), "folders") as progress:
        for label, each in enumerate(classes):
            before = len(found.names)
            if (folder / each).is_dir():
                for name, path in _walk(folder, each, found.left_out):
                    found.add(name, label, *read_start(path))
            found.nested += sum(
                name.count("/") > 1 and not name.startswith(f"{each}/{_IMAGES}/")
                for name in found.names[before:]
            )
            progress.advance(1)
    return found


def _annotations(folder: pathlib.Path) -> dict[str, str]:
    """From file name to class, where a folder is laid out as Tiny ImageNet's validation set."""
    entries = _entries(folder)
    lists = [e for e in entries if e.name.endswith(_ANNOTATIONS) and e.is_file()]
    if len(lists) != 1 or [entry.name for entry in entries if entry.is_dir()] != [_IMAGES]:
        return {}
    with open(lists[0].path, encoding="utf-8", errors="replace") as file:
        rows = [line.split("\t") for line in file]
    return {row[0]: row[1].strip() for row in rows if len(row) > 1}


def _entries(folder: str | os.PathLike, left_out: LeftOut | None = None) -> list[os.DirEntry[str]]:
    """The entries of a folder, sorted by name, without litter and links in a circle."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    kept = []
    for entry in found:
        reason = LITTER if is_litter(entry.name) else SPECIAL if _is_endless(entry) else None
        if reason is None:
            kept.append(entry)
        elif left_out is not None:
            left_out.add(reason, entry.name)
    return kept


def _is_endless(entry: os.DirEntry[str]) -> bool:
    """Whether it is a link that leads back to itself, of which the system says nothing more."""
    try:
        entry.is_file()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _walk(
    folder: pathlib.Path, name: str, left_out: LeftOut, above: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Relative name and path of each file of a folder in a folder, in order."""
    path = os.path.join(folder, name)
    above = (*above, os.path.realpath(path))  # a link may lead back
    for entry in _entries(path, left_out):
        inner = f"{name}/{entry.name}"
        if entry.is_file():
            yield inner, entry.path
        elif entry.is_dir():
            if os.path.realpath(entry.path) not in above:
                yield from _walk(folder, inner, left_out, above)
        else:
            left_out.add(SPECIAL, inner)
