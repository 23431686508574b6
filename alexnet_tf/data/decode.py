"""Bytes to a square image, the same for training, evaluation and serving.

Images are uint8 [H, W, 3], RGB, 0 to 255.
"""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.models.spec import Preprocessing

_DCT = (
    "INTEGER_ACCURATE"  # TensorFlow's default is off by up to 12 of 255; this is what Pillow does
)


def decode(encoded: tf.Tensor, smallest: int) -> tf.Tensor:
    """Decodes JPEG, PNG, BMP or the first frame of a GIF.

    A JPEG whose shorter side is at least twice `smallest` is decoded at 1/2, 1/4 or 1/8 of its
    size, which the format offers for much less work, but never to less than `smallest`.

    Args:
        encoded: scalar string.
        smallest: pixels that the shorter side must keep.

    Returns:
        uint8 [H, W, 3].

    Raises:
        tf.errors.InvalidArgumentError: not an image, or a damaged one.
    """

    def jpeg() -> tf.Tensor:
        shorter = tf.reduce_min(tf.image.extract_jpeg_shape(encoded)[:2])
        times = shorter // smallest
        branch = tf.cast(times >= 2, tf.int32) + tf.cast(times >= 4, tf.int32)
        branch += tf.cast(times >= 8, tf.int32)
        return tf.switch_case(
            branch,
            [
                lambda ratio=ratio: tf.io.decode_jpeg(
                    encoded, channels=3, ratio=ratio, dct_method=_DCT
                )
                for ratio in (1, 2, 4, 8)
            ],
        )

    def other() -> tf.Tensor:
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        return tf.ensure_shape(image, [None, None, 3])

    return tf.cond(tf.io.is_jpeg(encoded), jpeg, other)  # [H, W, 3]


def square(image: tf.Tensor, spec: Preprocessing) -> tf.Tensor:
    """Resizes an image to the square that crops are taken from.

    Args:
        image: uint8 [H, W, 3].
        spec: says the side S, and whether the shorter side becomes S and the centre is cut out
            (paper §2), or both sides are squeezed to S (Caffe).

    Returns:
        uint8 [S, S, 3].
    """
    side = spec.image_size
    size = tf.shape(image)[:2]

    def resized() -> tf.Tensor:
        if spec.resize == "warp":
            target = tf.constant([side, side])
        else:
            scale = side / tf.reduce_min(size)
            target = tf.maximum(
                side, tf.cast(tf.round(tf.cast(size, scale.dtype) * scale), tf.int32)
            )
        pixels = tf.image.resize(image, target, antialias=True)
        pixels = tf.saturate_cast(tf.round(pixels), tf.uint8)
        top, left = (target[0] - side) // 2, (target[1] - side) // 2
        return pixels[top : top + side, left : left + side]

    fits = tf.reduce_all(size == side)
    return tf.ensure_shape(tf.cond(fits, lambda: image, resized), [side, side, 3])


def decode_square(encoded: tf.Tensor, spec: Preprocessing) -> tf.Tensor:
    """Scalar string to uint8 [S, S, 3]; raises as `decode` does."""
    return square(decode(encoded, smallest=spec.image_size), spec)


def decode_crop(encoded: tf.Tensor, offset: tf.Tensor, spec: Preprocessing) -> tf.Tensor:
    """A crop of the square image, decoding no more than needed.

    Args:
        encoded: scalar string.
        offset: int32 [2], row and column of the crop's corner, 0 to S - C.
        spec: says S and C.

    Returns:
        uint8 [C, C, 3]: `decode_square(encoded, spec)` from `offset` on.
    """
    side, crop = spec.image_size, spec.crop_size

    def is_square_jpeg() -> tf.Tensor:
        return tf.reduce_all(tf.image.extract_jpeg_shape(encoded)[:2] == side)

    def window() -> tf.Tensor:
        return tf.io.decode_and_crop_jpeg(
            encoded, tf.concat([offset, [crop, crop]], axis=0), channels=3, dct_method=_DCT
        )

    def whole() -> tf.Tensor:
        image = decode_square(encoded, spec)
        return tf.slice(image, tf.concat([offset, [0]], axis=0), [crop, crop, 3])

    fast = tf.cond(tf.io.is_jpeg(encoded), is_square_jpeg, lambda: tf.constant(False))
    return tf.ensure_shape(tf.cond(fast, window, whole), [crop, crop, 3])
