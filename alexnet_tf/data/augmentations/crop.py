"""A random crop of the square image (paper §4.1)."""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.data.augmentations import Augmentation, Batch, Images
from alexnet_tf.data.random_bits import uniform

GEOMETRY = 2  # the key's word; `flip` takes the third number of the same key


def _draw(images: Images) -> Batch:
    """Offset int32 [B, 2], row and column, uniform on 0 to S - C, both included."""
    margin = images.preprocessing.image_size - images.preprocessing.crop_size
    numbers = uniform(images.key(GEOMETRY, per_chunk=True), 2)  # [B, 2]
    offset = tf.cast(numbers * tf.cast(margin + 1, tf.float32), tf.int32)
    return {"offset": tf.minimum(offset, margin)}  # uniform · (margin + 1) may round up to the end


def _centre(images: Images) -> Batch:
    margin = images.preprocessing.image_size - images.preprocessing.crop_size
    return {"offset": tf.fill([tf.size(images.index), 2], margin // 2)}


AUGMENTATION = Augmentation("crop", ("offset",), _draw, _centre, excludes=("resized_crop",))
