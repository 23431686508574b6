"""The random numbers of training images (paper §4.1).

They are drawn on the host, a batch at a time, as a pure function of (seed, epoch, index), so that
any step can be made again alone and the number of replicas changes nothing; they are applied on
the device by `preprocess.py`, but for the crop, which is cut out as the image is decoded.
"""

from __future__ import annotations

import math

import tensorflow as tf

from alexnet_tf.data.random_bits import make_key, normal, uniform
from alexnet_tf.models.spec import Preprocessing

# Set these random numbers apart from each other and from those of `order.py`.
_GEOMETRY, _LIGHTING, _WINDOW = 2, 3, 4

# torchvision's RandomResizedCrop: share of the image's area, width / height, and tries.
_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_TRIES = 10


def draw(
    seed: int,
    epoch: tf.Tensor,
    index: tf.Tensor,
    place: tf.Tensor,
    spec: Preprocessing,
    augmentations: tuple[str, ...],
    pca_noise_until: float = math.inf,
) -> dict[str, tf.Tensor]:
    """Draws where to crop, whether to reflect and how to light images.

    Args:
        seed: the run's.
        epoch: int64 [B].
        index: int64 [B], each image's place in the unshuffled training set.
        place: int64 [B], its place in the order of the epoch; counts only where several images
            share one offset and reflection, as in the original code (`spec.chunk`).
        spec: says the sides and whether there is lighting.
        augmentations: which of `spec.AUGMENTATIONS` are on; without "crop" the offset is the
            centre's.
        pca_noise_until: epochs after which there is no lighting any more.

    Returns:
        offset int32 [B, 2] (row and column, uniform on 0 to S - C, ends included), reflect bool
        [B], lit bool [B], alpha float32 [B, 3] (Gaussian of the lighting's σ, or zeros where an
        image is not lit); and with "resized_crop" also window float32 [B, tries, 4], for
        `resized_crop`.
    """
    margin = spec.image_size - spec.crop_size
    owner = index if spec.chunk == 1 else place // spec.chunk
    geometry = uniform(make_key(seed, _GEOMETRY, epoch, owner), 3)  # [B, 3]
    if "crop" in augmentations:
        offset = tf.cast(geometry[:, :2] * tf.cast(margin + 1, tf.float32), tf.int32)
        offset = tf.minimum(offset, margin)  # uniform · (margin + 1) may round up to the end
    else:
        offset = tf.fill([tf.size(index), 2], margin // 2)
    reflect = geometry[:, 2] < (0.5 if "flip" in augmentations else 0.0)
    if "pca_noise" in augmentations and spec.pca_noise is not None:
        lit = tf.cast(epoch, tf.float32) < pca_noise_until
        alpha = spec.pca_noise.sigma * normal(make_key(seed, _LIGHTING, epoch, index), 3)
        alpha = tf.where(lit[:, None], alpha, 0.0)
    else:
        lit, alpha = tf.fill([tf.size(index)], False), tf.zeros([tf.size(index), 3])
    draws = {"offset": offset, "flip": reflect, "pca_applied": lit, "pca_noise": alpha}
    if "resized_crop" in augmentations:
        window = uniform(make_key(seed, _WINDOW, epoch, index), 4 * _TRIES)
        draws["window"] = tf.reshape(window, [-1, _TRIES, 4])
    return draws


def resized_crop(window: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The part of an image that torchvision's RandomResizedCrop would take.

    Args:
        window: float32 [tries, 4], uniform on 0 to 1: area, aspect ratio, top and left of
            each try. The first that fits is taken; if none does, the largest central part whose
            aspect ratio is allowed.
        size: int32 [2], height and width of the image.

    Returns:
        int32 [4]: top, left, height and width.
    """
    height, width = tf.unstack(tf.cast(size, tf.float32))
    area, aspect, top, left = tf.unstack(window, axis=1)  # [tries]
    area = height * width * (_AREA[0] + area * (_AREA[1] - _AREA[0]))
    low, high = (math.log(ratio) for ratio in _ASPECT)
    aspect = tf.exp(low + aspect * (high - low))
    heights, widths = tf.round(tf.sqrt(area / aspect)), tf.round(tf.sqrt(area * aspect))
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    tops = tf.floor(tf.minimum(top * (height - heights + 1), height - heights))
    lefts = tf.floor(tf.minimum(left * (width - widths + 1), width - widths))

    central_width = tf.minimum(width, tf.maximum(1.0, tf.round(height * _ASPECT[1])))
    central_height = tf.minimum(height, tf.maximum(1.0, tf.round(width / _ASPECT[0])))
    central = tf.stack(
        [
            (height - central_height) // 2,
            (width - central_width) // 2,
            central_height,
            central_width,
        ]
    )
    tries = tf.stack([tops, lefts, heights, widths], axis=1)  # [tries, 4]
    first = tf.argmax(tf.cast(fits, tf.int32))
    return tf.cast(tf.where(tf.reduce_any(fits), tries[first], central), tf.int32)
