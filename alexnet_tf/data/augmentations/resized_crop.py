"""A random part of the original image, of any size and shape: torchvision's RandomResizedCrop."""

from __future__ import annotations

import math

import tensorflow as tf

from alexnet_tf.data.augmentations import Augmentation, Batch, Images
from alexnet_tf.data.random_bits import uniform

_KEY = 4  # the key's word
# torchvision's defaults: share of the image's area, width / height, and tries.
_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_TRIES = 10


def choose_window(tries: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The part of an image that torchvision would take.

    Args:
        tries: float32 [tries, 4], uniform on 0 to 1: area, aspect ratio, top and left of each. The
            first that fits is taken; if none does, the largest central part that has an allowed
            aspect ratio.
        size: int32 [2], height and width of the image.

    Returns:
        int32 [4]: top, left, height and width.
    """
    height, width = tf.unstack(tf.cast(size, tf.float32))
    area, aspect, top, left = tf.unstack(tries, axis=1)  # [tries]
    area = height * width * (_AREA[0] + area * (_AREA[1] - _AREA[0]))
    low, high = (math.log(ratio) for ratio in _ASPECT)
    aspect = tf.exp(low + aspect * (high - low))
    heights, widths = tf.round(tf.sqrt(area / aspect)), tf.round(tf.sqrt(area * aspect))
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    tops = tf.floor(tf.minimum(top * (height - heights + 1), height - heights))
    lefts = tf.floor(tf.minimum(left * (width - widths + 1), width - widths))

    central_width = tf.minimum(width, tf.maximum(1.0, tf.round(height * _ASPECT[1])))
    central_height = tf.minimum(height, tf.maximum(1.0, tf.round(width / _ASPECT[0])))
    central_top, central_left = (height - central_height) // 2, (width - central_width) // 2
    central = tf.stack([central_top, central_left, central_height, central_width])
    windows = tf.stack([tops, lefts, heights, widths], axis=1)  # [tries, 4]
    first = tf.argmax(tf.cast(fits, tf.int32))
    return tf.cast(tf.where(tf.reduce_any(fits), windows[first], central), tf.int32)


def _draw(images: Images) -> Batch:
    """Window float32 [B, tries, 4], uniform on 0 to 1."""
    return {"window": tf.reshape(uniform(images.key(_KEY), 4 * _TRIES), [-1, _TRIES, 4])}


def _window(drawn: Batch, size: tf.Tensor) -> tf.Tensor:
    return choose_window(drawn["window"], size)


AUGMENTATION = Augmentation("resized_crop", ("window",), _draw, window=_window)
