"""A horizontal reflection of every other image (paper §4.1)."""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.data.augmentations import Augmentation, Batch, Images, Preprocessor
from alexnet_tf.data.augmentations.crop import GEOMETRY
from alexnet_tf.data.random_bits import uniform
from alexnet_tf.models.spec import Preprocessing


def flipped(images: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    """Images [B, H, W, 3] with left and right exchanged where flip, bool [B], is true."""
    return tf.where(flip[:, None, None, None], mirrored(images), images)


def mirrored(images: tf.Tensor) -> tf.Tensor:
    """Images [B, H, W, 3] with left and right exchanged."""
    return tf.reverse(images, axis=[2])  # on all cores, unlike a slice of step -1


def is_before_mean(preprocessing: Preprocessing) -> bool:
    """Whether images are flipped before the mean is subtracted.

    The original code subtracts the unflipped mean from the flipped crop; elsewhere the mean belongs
    to the image and is flipped with it.
    """
    return preprocessing.mean == "pixel_centre"


def _draw(images: Images) -> Batch:
    """Flip bool [B], true with probability 1/2."""
    return {"flip": uniform(images.key(GEOMETRY, per_chunk=True), 3)[:, 2] < 0.5}


def _off(images: Images) -> Batch:
    return {"flip": tf.fill([tf.size(images.index)], False)}


def _apply(images: tf.Tensor, batch: Batch, preprocessor: Preprocessor) -> tf.Tensor:
    del preprocessor
    return flipped(images, batch["flip"])


AUGMENTATION = Augmentation(
    "flip", ("flip",), _draw, _off, apply=_apply, before_mean=is_before_mean
)
