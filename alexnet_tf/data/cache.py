"""A cache of decoded images: the squares of a split, in memory or in a file.

Worth its room where decoding is dear, as with large photographs or one slow core: what is left of
the input's work is to copy crops. ImageNet's squares of 256 pixels take 252 GB. Of JPEGs that are
squares already the crops' outer columns differ a little with it; see `decode.decode_crop`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from alexnet_tf.data.dataset import Split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.pipeline import evaluation_dataset
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import fsync_path
from alexnet_tf.system.progress import Progress

_BATCH = 64


class StoppedError(Exception):
    """The squares were not made, as somebody wants the process to end."""


class DecodedCache:
    """Decoded images by index.

    Attributes:
        images: uint8 [N, S, S, 3]; may be mapped from a file.
        readable: bool [N]; where it is false the square is black.
    """

    def __init__(self, images: np.ndarray, readable: np.ndarray):
        self.images, self.readable = images, readable

    def crops(self, index: tf.Tensor, offset: tf.Tensor, side: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Cuts crops out, in graph mode.

        Args:
            index: int64 [B].
            offset: int32 [B, 2], row and column of each crop's corner.
            side: C, pixels of the crops.

        Returns:
            uint8 [B, C, C, 3], and weight float32 [B], 0 where the image was unreadable.
        """

        def cut(index: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """The crops and whether they were readable, in NumPy."""
            crops = np.empty((len(index), side, side, 3), np.uint8)
            for crop, image, (top, left) in zip(crops, index, offset, strict=True):
                crop[:] = self.images[image, top : top + side, left : left + side]
            return crops, self.readable[index].astype(np.float32)

        crops, weight = tf.numpy_function(
            cut, [index, offset], [tf.uint8, tf.float32], stateful=False
        )
        crops.set_shape([None, side, side, 3])
        weight.set_shape([None])
        return crops, weight


def open_decoded_cache(
    split: Split,
    spec: Preprocessing,
    unreadable: DecodeErrors,
    path: pathlib.Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> DecodedCache:
    """Decodes a whole split, or takes what an earlier call left in the file.

    Of several processes that want the same file one makes it, and the others wait.

    Args:
        split: the images.
        spec: says S and how to resize.
        unreadable: is told of images that do not decode, now or when the file was made.
        path: the file, .npy; None: in memory.
        stop: asked after each batch whether to give up.

    Raises:
        StoppedError: that.
        UserError: too many unreadable images, or not enough memory or disk.
    """
    shape = (split.examples, spec.image_size, spec.image_size, 3)
    try:
        if path is None:
            images = np.zeros(shape, np.uint8)
            return DecodedCache(images, _fill(images, split, spec, unreadable, stop))
        path.parent.mkdir(parents=True, exist_ok=True)
        with _turn(path.with_suffix(".lock")):
            key = _key(split, spec)
            return _left(path, key, shape, unreadable) or _make(
                path, key, split, spec, unreadable, stop
            )
    except (MemoryError, OSError) as error:
        raise UserError(
            f"Expected room for {np.prod(shape, dtype=float) / 1e9:.1f} GB of decoded images "
            f"{f'in {path.parent}' if path else 'in memory'}. Received: {error}"
        ) from None


def _fill(
    images: np.ndarray,
    split: Split,
    spec: Preprocessing,
    unreadable: DecodeErrors,
    stop: Callable[[], bool],
) -> np.ndarray:
    """Decodes all images to their places; which are readable, bool [N]."""
    readable = np.zeros(split.examples, bool)
    batches = evaluation_dataset(split, spec, _BATCH, unreadable).as_numpy_iterator()
    with Progress("decoding", split.examples, "images") as progress:
        for batch in batches:
            filled = batch["index"] >= 0
            index = batch["index"][filled]
            images[index], readable[index] = batch["image"][filled], batch["weight"][filled]
            progress.advance(len(index))
            unreadable.check()
            if stop():
                raise StoppedError
    return readable


def _make(
    path: pathlib.Path,
    key: str,
    split: Split,
    spec: Preprocessing,
    unreadable: DecodeErrors,
    stop: Callable[[], bool],
) -> DecodedCache:
    path.unlink(missing_ok=True)  # of other images, so not to be taken for what is beside it
    partial = path.with_suffix(".partial")
    try:
        images = _reserve(partial, (split.examples, spec.image_size, spec.image_size, 3))
        readable = _fill(images, split, spec, unreadable, stop)
        images.flush()
    except BaseException:  # Ctrl-C as well: it may be hundreds of gigabytes
        partial.unlink(missing_ok=True)
        raise
    fsync_path(partial)
    reasons = {i: unreadable.reasons[i] for i in np.flatnonzero(~readable).tolist()}
    _beside(path).write_text(json.dumps({"key": key, "unreadable": reasons}))
    os.replace(partial, path)  # last, so that it is never half there
    return DecodedCache(images, readable)


def _left(
    path: pathlib.Path, key: str, shape: tuple[int, ...], unreadable: DecodeErrors
) -> DecodedCache | None:
    """What an earlier call has made of the same images; None if there is nothing."""
    try:
        beside = json.loads(_beside(path).read_text())
        images = np.load(path, mmap_mode="r")
    except (FileNotFoundError, ValueError):
        return None
    if beside["key"] != key or images.shape != shape:
        return None
    reasons = {int(index): tuple(reason) for index, reason in beside["unreadable"].items()}
    unreadable.reasons.update(reasons)
    unreadable.check()
    readable = np.ones(len(images), bool)
    readable[list(reasons)] = False
    return DecodedCache(images, readable)


def _reserve(partial: pathlib.Path, shape: tuple[int, ...]) -> np.ndarray:
    """An array in a file that has all of its room now, so that a full disk is known at once."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with partial.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
        start = file.tell()
        size = start + int(np.prod(shape, dtype=np.int64))
        if hasattr(os, "posix_fallocate"):  # macOS has none
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
    return np.memmap(partial, np.uint8, "r+", start, shape)


def _key(split: Split, spec: Preprocessing) -> str:
    """Changes when the squares do: with files, their times, the preprocessing and TensorFlow."""
    digest = hashlib.sha256(repr((split.name, split.lengths, tf.__version__)).encode())
    digest.update(repr((spec.image_size, spec.resize)).encode())
    for path in split.titles() if split.files else split.paths:
        state = os.stat(path)
        digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\0".encode(errors="replace"))
    return digest.hexdigest()


def _beside(path: pathlib.Path) -> pathlib.Path:
    return path.with_suffix(".json")


@contextlib.contextmanager
def _turn(lock: pathlib.Path) -> Iterator[None]:
    """Waits until no other process is in here."""
    with lock.open("w") as file:
        with contextlib.suppress(OSError):  # some network file systems lock nothing
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
