"""Bytes to a square image, the same for training, evaluation and serving.

Images are uint8 [H, W, 3], RGB, 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from alexnet_tf.data.augment import resized_crop
from alexnet_tf.data.graph_checks import is_square_jpeg, jpeg_size, one_picture
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
        tf.errors.InvalidArgumentError: not an image, or a damaged one, or one that is larger
            than `limits.py` allows.
    """

    def jpeg() -> tf.Tensor:
        """uint8 [H, W, 3], at the smallest size that is large enough."""
        shorter = tf.reduce_min(jpeg_size(encoded))
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

    return tf.cond(tf.io.is_jpeg(encoded), jpeg, lambda: _decode_other(encoded))  # [H, W, 3]


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
        """uint8 [S, S, 3]."""
        if spec.resize == "warp":
            return _resize(image, [side, side])
        # The central square is cut out before the rest is resized for nothing.
        shorter = tf.reduce_min(size)
        top, left = (size[0] - shorter) // 2, (size[1] - shorter) // 2
        return _resize(image[top : top + shorter, left : left + shorter], [side, side])

    fits = tf.reduce_all(size == side)
    return tf.ensure_shape(tf.cond(fits, lambda: image, resized), [side, side, 3])


def decode_square(encoded: tf.Tensor, spec: Preprocessing) -> tf.Tensor:
    """Scalar string to uint8 [S, S, 3]; raises as `decode` does."""
    return square(decode(encoded, smallest=spec.image_size), spec)


def decode_each(
    decode: Callable[[tf.Tensor], tf.Tensor],
    count: tf.Tensor,
    side: int,
    parallel: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a batch in which an image that cannot be decoded does not harm the others.

    Args:
        decode: place in the batch, int32 scalar, to uint8 [side, side, 3]; may raise.
        count: B, int32 scalar.
        side: pixels.
        parallel: images at the same time; None for one after the other.

    Returns:
        uint8 [B, side, side, 3], black where there is no image, and bool [B], where there is one.
    """
    # A graph cannot catch an error, but a dataset can drop the element that caused it. The
    # black one at the end is not of the batch: without it, there might be no element at all.
    decoded = tf.data.Dataset.range(tf.cast(count, tf.int64), output_type=tf.int32)
    decoded = decoded.map(lambda i: (i, decode(i)), parallel).ignore_errors()
    black = tf.data.Dataset.from_tensors((count, tf.zeros([side, side, 3], tf.uint8)))
    whole = decoded.concatenate(black).batch(tf.cast(count, tf.int64) + 1)
    places, pixels = whole.get_single_element()

    def with_gaps() -> tuple[tf.Tensor, tf.Tensor]:
        """The images that there are at their places, and which those are."""
        whole = tf.scatter_nd(places[:, None], pixels, [count + 1, side, side, 3])
        found = tf.scatter_nd(places[:, None], tf.ones_like(places), [count + 1])
        return whole[:count], found[:count] > 0

    complete = tf.equal(tf.size(places), count + 1)
    return tf.cond(complete, lambda: (pixels[:count], tf.ones([count], tf.bool)), with_gaps)


def decode_batch(
    decode: Callable[[tf.Tensor], tf.Tensor], count: tf.Tensor, side: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """What `decode_each` does, a fourteenth faster if every image can be decoded.

    First all are decoded in one go, which fails as a whole; only then each by itself.

    Args:
        decode: place in the batch, int32 scalar, to uint8 [side, side, 3]; may raise.
        count: B, int32 scalar.
        side: pixels.

    Returns:
        uint8 [B, side, side, 3], black where there is no image, and bool [B], where there is one.
    """
    once = tf.data.Dataset.from_tensors(0)

    def in_one_go(_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """All, or an error."""
        spec = tf.TensorSpec([side, side, 3], tf.uint8)
        pixels = tf.map_fn(decode, tf.range(count), fn_output_signature=spec)
        return pixels, tf.ones([count], tf.bool)

    hoped_for = once.map(in_one_go).ignore_errors()
    otherwise = once.map(lambda _: decode_each(decode, count, side))
    # Whoever asks for a single element looks for a second one, which `take` says there is not.
    return hoped_for.concatenate(otherwise).take(1).get_single_element()


def decode_crop(
    encoded: tf.Tensor, offset: tf.Tensor, spec: Preprocessing, is_square: bool = False
) -> tf.Tensor:
    """A crop of the square image, decoding no more than needed.

    Args:
        encoded: scalar string.
        offset: int32 [2], row and column of the crop's corner, 0 to S - C.
        spec: says S and C.
        is_square: whether the image is said to be a JPEG of S×S pixels. One that is none raises;
            not having to look for other kinds makes the input a tenth faster.

    Returns:
        uint8 [C, C, 3]: `decode_square(encoded, spec)` from `offset` on. Of a square JPEG the
        colours of the first and the last column may differ, in photographs by up to 16 of 255:
        libjpeg interpolates them without the neighbours outside the crop. To decode these as well
        would make it 5 % slower.
    """
    side, crop = spec.image_size, spec.crop_size

    def window() -> tf.Tensor:
        """uint8 [C, C, 3], decoding nothing else."""
        part = _decode_window(encoded, tf.concat([offset, [crop, crop]], axis=0))
        return tf.ensure_shape(part, [crop, crop, 3])

    if is_square:  # a crop that reached outside the image would end the process
        known = tf.debugging.Assert(is_square_jpeg(encoded, side), ["no square"])
        with tf.control_dependencies([known]):
            return window()

    def whole() -> tf.Tensor:
        """uint8 [C, C, 3], by way of the square."""
        image = decode_square(encoded, spec)
        return tf.slice(image, tf.concat([offset, [0]], axis=0), [crop, crop, 3])

    fast = tf.cond(
        tf.io.is_jpeg(encoded), lambda: is_square_jpeg(encoded, side), lambda: tf.constant(False)
    )
    return tf.ensure_shape(tf.cond(fast, window, whole), [crop, crop, 3])


def decode_resized_crop(encoded: tf.Tensor, window: tf.Tensor, spec: Preprocessing) -> tf.Tensor:
    """A random part of the original image, at its own size and aspect ratio, made C×C.

    Args:
        encoded: scalar string.
        window: float32 [tries, 4] of `augment.draw`.
        spec: says C.

    Returns:
        uint8 [C, C, 3].
    """

    def jpeg() -> tf.Tensor:
        """uint8 [H, W, 3], decoding nothing else."""
        return _decode_window(encoded, resized_crop(window, jpeg_size(encoded)))

    def other() -> tf.Tensor:
        """uint8 [H, W, 3], by way of the whole image."""
        image = _decode_other(encoded)
        top, left, height, width = tf.unstack(resized_crop(window, tf.shape(image)[:2]))
        return image[top : top + height, left : left + width]

    part = tf.cond(tf.io.is_jpeg(encoded), jpeg, other)
    return _resize(part, [spec.crop_size, spec.crop_size])


def _resize(image: tf.Tensor, size: list[int]) -> tf.Tensor:
    """uint8 [H, W, 3] to uint8 of another size."""
    pixels = tf.image.resize(image, size, antialias=True)
    return tf.ensure_shape(tf.saturate_cast(tf.round(pixels), tf.uint8), [*size, 3])


def _decode_window(encoded: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """The part [top, left, height, width] of a JPEG; it must lie inside."""
    return tf.io.decode_and_crop_jpeg(encoded, window, channels=3, dct_method=_DCT)


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
    """PNG, BMP or the first frame of a GIF."""
    image = tf.io.decode_image(one_picture(encoded), channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])
