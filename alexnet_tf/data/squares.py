"""A cache of decoded images: the squares of a split, in memory or in a file.

Worth its room where decoding is dear, as with large photographs or one slow core: what is left of
the input's work is to copy crops. ImageNet's squares of 256 pixels take 252 GB.
"""

from __future__ import annotations

import os
import pathlib

import numpy as np
import tensorflow as tf

from alexnet_tf.data.pipeline import evaluation_dataset
from alexnet_tf.data.split import Split
from alexnet_tf.data.unreadable import Unreadable
from alexnet_tf.errors import UserError
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.progress import Progress

_BATCH = 64


class Squares:
    """Squares by index.

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


def make_squares(
    split: Split, spec: Preprocessing, unreadable: Unreadable, path: pathlib.Path | None = None
) -> Squares:
    """Decodes a whole split, or takes what an earlier call left in the file.

    Args:
        split: the images.
        spec: says S and how to resize.
        unreadable: is told of images that do not decode.
        path: the file, .npy; None: in memory.

    Raises:
        UserError: too many unreadable images, or not enough memory or disk.
    """
    shape = (split.examples, spec.image_size, spec.image_size, 3)
    if path is not None and path.exists():
        images = np.load(path, mmap_mode="r")
        if images.shape == shape:
            return Squares(images, np.load(_readable_path(path)))
    try:
        images, partial = _room(shape, path)
        readable = np.zeros(split.examples, bool)
        batches = evaluation_dataset(split, spec, _BATCH, unreadable).as_numpy_iterator()
        with Progress("decoding", split.examples, "images") as progress:
            for batch in batches:
                filled = batch["index"] >= 0
                index = batch["index"][filled]
                images[index], readable[index] = batch["image"][filled], batch["weight"][filled]
                progress.advance(len(index))
                unreadable.check()
        if path is not None:
            np.save(_readable_path(path), readable)
            images.flush()
            os.replace(partial, path)  # last, so that it is never half there
    except (MemoryError, OSError) as error:
        raise UserError(
            f"Expected room for {np.prod(shape, dtype=float) / 1e9:.1f} GB of decoded images "
            f"{f'in {path.parent}' if path else 'in memory'}. Received: {error}"
        ) from None
    return Squares(images, readable)


def _room(
    shape: tuple[int, ...], path: pathlib.Path | None
) -> tuple[np.ndarray, pathlib.Path | None]:
    if path is None:
        return np.zeros(shape, np.uint8), None
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:  # all of it now, so that a full disk is known at once
        os.posix_fallocate(file.fileno(), 0, int(np.prod(shape, dtype=np.int64)) + 1024)
    return np.lib.format.open_memmap(partial, "w+", np.uint8, shape), partial


def _readable_path(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.stem}-readable.npy")
