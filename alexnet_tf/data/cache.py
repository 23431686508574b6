"""A cache of decoded images: the squares of a split, in memory or in a file.

It is worth its space where decoding is expensive, as with large photographs or one slow core: all
that is left of the input's work is copying crops. ImageNet's squares of 256 pixels take 252 GB.
Where the images are square JPEGs already, the outer columns of the crops differ a little from those
without a cache; see `decode.decode_crop`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
import tensorflow as tf

from alexnet_tf.data.dataset import Split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.pipeline import decoded_batches
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import make_directory, write_atomically
from alexnet_tf.system.untrusted import open_regular, read_json

_MAX_JSON = 2**27  # bytes of a sidecar: a million unreadable images


class StoppedError(Exception):
    """The cache was not finished, because the process was asked to stop."""


class DecodedCache:
    """Decoded images by index.

    Attributes:
        images: uint8 [N, S, S, 3]; may be mapped from a file.
        readable: bool [N]; where it is false the image is black.
    """

    def __init__(self, images: np.ndarray, readable: np.ndarray):
        self.images, self.readable = images, readable

    def crops(self, index: tf.Tensor, offset: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Cuts crops out, in graph mode.

        Args:
            index: int64 [B].
            offset: int32 [B, 2], row and column of each crop's corner.
            size: C, pixels of the crops.

        Returns:
            uint8 [B, C, C, 3], and weight float32 [B], 0 where the image was unreadable.
        """

        def cut(index: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """The same in NumPy."""
            crops = np.empty((len(index), size, size, 3), np.uint8)
            for crop, image, (top, left) in zip(crops, index, offset, strict=True):
                crop[:] = self.images[image, top : top + size, left : left + size]
            return crops, self.readable[index].astype(np.float32)

        crops, weight = tf.numpy_function(
            cut, [index, offset], [tf.uint8, tf.float32], stateful=False
        )
        crops.set_shape([None, size, size, 3])
        weight.set_shape([None])
        return crops, weight


def open_decoded_cache(
    split: Split,
    preprocessing: Preprocessing,
    decode_errors: DecodeErrors,
    path: pathlib.Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> DecodedCache:
    """Decodes a whole split, or loads what an earlier call has written to the file.

    Of several processes that want the same file one makes it, and the others wait.

    Args:
        split: the images.
        preprocessing: says S and how to resize.
        decode_errors: records images that do not decode, now or when the file was made.
        path: the file, .npy; None: in memory.
        stop: asked after each batch whether to give up.

    Raises:
        StoppedError: `stop` said so.
        UserError: too many unreadable images, or not enough memory or disk.
    """
    shape = (split.examples, preprocessing.image_size, preprocessing.image_size, 3)
    try:
        if path is None:
            images = np.zeros(shape, np.uint8)
            readable = decode_into(images, split, preprocessing, decode_errors, stop)
            return DecodedCache(images, readable)
        make_directory(path.parent)
        with file_lock(path.with_suffix(".lock")):
            key = _key(split, preprocessing)
            cache = load_existing(path, key, shape, decode_errors)
            return cache or _make(path, key, split, preprocessing, decode_errors, stop)
    except (MemoryError, OSError) as error:
        raise UserError(
            f"No room for {np.prod(shape, dtype=float) / 1e9:.1f} GB of decoded images "
            f"{f'in {path.parent}' if path else 'in memory'}: {error}. Make room, or choose "
            "another --cache"
        ) from None


def decode_into(
    images: np.ndarray,
    split: Split,
    preprocessing: Preprocessing,
    decode_errors: DecodeErrors,
    stop: Callable[[], bool] = lambda: False,
) -> np.ndarray:
    """Decodes a split.

    Args:
        images: uint8 [N, S, S, 3], which is written; an unreadable image becomes black.
        split: the images.
        preprocessing: says S and how to resize.
        decode_errors: records images that do not decode.
        stop: asked after each batch whether to give up.

    Returns:
        Which images are readable, bool [N].

    Raises:
        StoppedError: `stop` said so.
        UserError: too many unreadable images.
    """
    readable = np.zeros(split.examples, bool)
    for batch in decoded_batches(split, preprocessing, decode_errors, "decoding"):
        images[batch["index"]] = batch["image"]
        readable[batch["index"]] = batch["weight"]
        if stop():
            raise StoppedError
    return readable


def load_existing(
    path: pathlib.Path, key: str, shape: tuple[int, ...], decode_errors: DecodeErrors
) -> DecodedCache | None:
    """The cache that an earlier call has made of the same images; None if there is none.

    Args:
        path: the file.
        key: of the images, as `_key` computes it.
        shape: of the array.
        decode_errors: records images that did not decode.
    """
    try:
        sidecar = read_json(sidecar_path(path), {"key": str, "unreadable": {str: [str]}}, _MAX_JSON)
        images = _map_array(path, shape)
        reasons = {int(index): tuple(reason) for index, reason in sidecar["unreadable"].items()}
    except (FileNotFoundError, ValueError):
        return None
    if sidecar["key"] != key or not reasons.keys() <= set(range(len(images))):
        return None
    decode_errors.reasons.update(reasons)
    decode_errors.check()
    readable = np.ones(len(images), bool)
    readable[list(reasons)] = False
    return DecodedCache(images, readable)


def _map_array(path: pathlib.Path, shape: tuple[int, ...]) -> np.ndarray:
    """Maps the array of `reserve_array`.

    Raises:
        FileNotFoundError, ValueError: there is none, or another one.
    """
    with open_regular(path) as file:
        np.lib.format.read_magic(file)
        found, fortran_order, dtype = np.lib.format.read_array_header_2_0(file)
        if found != shape or fortran_order or dtype != np.uint8:
            raise ValueError("another array")
        return np.memmap(file, np.uint8, "r", file.tell(), shape)


def _make(
    path: pathlib.Path,
    key: str,
    split: Split,
    preprocessing: Preprocessing,
    decode_errors: DecodeErrors,
    stop: Callable[[], bool],
) -> DecodedCache:
    path.unlink(missing_ok=True)  # it holds other images, which do not belong to a new sidecar
    size = preprocessing.image_size
    with write_atomically(path) as file:  # after Ctrl-C, too, hundreds of gigabytes are removed
        images = reserve_array(file, (split.examples, size, size, 3))
        readable = decode_into(images, split, preprocessing, decode_errors, stop)
        images.flush()
        reasons = {i: decode_errors.reasons[i] for i in np.flatnonzero(~readable).tolist()}
        with write_atomically(sidecar_path(path)) as sidecar:
            sidecar.write(json.dumps({"key": key, "unreadable": reasons}).encode())
    return DecodedCache(images, readable)


def reserve_array(file: BinaryIO, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 array in an empty file, which becomes an .npy file, with all of its room reserved.

    So a full disk is known at once, and not after hours.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(file, header)
    file.flush()
    start = file.tell()
    size = start + int(np.prod(shape, dtype=np.int64))
    if hasattr(os, "posix_fallocate"):  # macOS has none
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)
    return np.memmap(file, np.uint8, "r+", start, shape)


def _key(split: Split, preprocessing: Preprocessing) -> str:
    """Changes when the squares do: with files, their times, the preprocessing and TensorFlow."""
    digest = hashlib.sha256(repr((split.name, split.lengths, tf.__version__)).encode())
    digest.update(repr((preprocessing.image_size, preprocessing.resize)).encode())
    for path in split.example_names() if split.files else split.paths:
        state = os.stat(path)
        digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\0".encode(errors="replace"))
    return digest.hexdigest()


def sidecar_path(path: pathlib.Path) -> pathlib.Path:
    """The JSON file beside a cache: its key, and the images that are unreadable."""
    return path.with_suffix(".json")


@contextlib.contextmanager
def file_lock(path: pathlib.Path) -> Iterator[None]:
    """Waits until no other process holds the lock of this file, and holds it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags, 0o666), "r+b", buffering=0) as file:
        with contextlib.suppress(OSError):  # some network file systems lock nothing
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
