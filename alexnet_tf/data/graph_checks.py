"""Checks of encoded images in TensorFlow's graphs, before anything is decoded.

TensorFlow's decoders have no limits of their own: they allocate as much as a header claims, decode
all frames of an animation, and scan a JPEG's pixels as often as the file says. Formats that a later
TensorFlow may decode are refused until somebody has checked what they can claim.
"""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.data.limits import (
    MAX_BYTES,
    MAX_PIXELS,
    MAX_PIXELS_TIMES_SCANS,
    MAX_WHOLE_PIXELS,
)

_SHORTEST_SCAN = 10  # bytes of its header alone
_GIF_HEADER = 13  # bytes
_GIF_EXTENSION, _GIF_IMAGE, _GIF_END = 0x21, 0x2C, b"\x3b"
# A GIF consists of pieces of at most 255 bytes, each of which costs a step of a loop, 10 µs: this
# many are a frame of 8 MB, and together with the bytes before it take at most 1.2 s.
_GIF_PIECES = 2**15
_GIF_BEFORE_IMAGE = 2**16  # bytes


def jpeg_size(encoded: tf.Tensor) -> tf.Tensor:
    """Height and width of a JPEG that is safe to decode.

    Args:
        encoded: scalar string.

    Returns:
        int32 [2].

    Raises:
        tf.errors.InvalidArgumentError: no JPEG, or more bytes, pixels or scans than allowed.
    """
    size = tf.image.extract_jpeg_shape(encoded)[:2]
    pixels, length = tf.reduce_prod(tf.cast(size, tf.int64)), _length(encoded)
    # Scans are counted only in files that are large enough to hold too many; few are.
    scans = tf.cond(
        pixels * (length // _SHORTEST_SCAN) > MAX_PIXELS_TIMES_SCANS,
        lambda: _count_scans(encoded),
        lambda: tf.constant(1, tf.int64),
    )
    checks = [
        _at_most(length, MAX_BYTES, "bytes"),
        _at_most(pixels, MAX_PIXELS, "pixels"),
        _at_most(pixels * scans, MAX_PIXELS_TIMES_SCANS, "pixels times scans"),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(size)


def is_square_jpeg(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Whether a JPEG has size×size pixels, and no more bytes than such a one needs: bool scalar.

    So few bytes hold few scans: at 256 × 256 pixels they take at most 1.8 s.

    Raises:
        tf.errors.InvalidArgumentError: no JPEG.
    """
    fits = tf.reduce_all(tf.image.extract_jpeg_shape(encoded)[:2] == size)
    enough = max(3 * size**2, _SHORTEST_SCAN * MAX_PIXELS_TIMES_SCANS // size**2)
    return fits & (tf.strings.length(encoded) <= min(enough, MAX_BYTES))


# A function of its own, so that a process builds its graph once and not for each dataset.
@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def one_picture(encoded: tf.Tensor) -> tf.Tensor:
    """A PNG or BMP as it is, or a GIF's first frame, if it is safe to decode.

    Args:
        encoded: scalar string.

    Returns:
        Scalar string.

    Raises:
        tf.errors.InvalidArgumentError: none of these, damaged, or more than allowed.
    """

    def whole(start: int, big_endian: bool) -> tf.Tensor:
        """The same, after a check of width and height, 4 bytes each from `start` on."""
        octets = tf.io.decode_raw(tf.strings.substr(encoded, start, 8), tf.uint8)
        octets = tf.cast(tf.reshape(octets, [2, 4]), tf.int64)
        weights = [256**power for power in range(4)]
        width, height = tf.unstack(
            tf.reduce_sum(octets * (weights[::-1] if big_endian else weights), axis=1)
        )
        # A BMP whose rows run downwards has a negative height.
        height = tf.where(height < 2**31, height, 2**32 - height)
        pixels = tf.minimum(width, 2**31) * height
        with tf.control_dependencies([_at_most(pixels, MAX_WHOLE_PIXELS, "pixels")]):
            return tf.identity(encoded)

    def other() -> tf.Tensor:
        """Always raises."""
        with tf.control_dependencies([_expect(tf.constant(False), "a JPEG, PNG, GIF or BMP")]):
            return tf.identity(encoded)

    def begins(magic: bytes) -> tf.Tensor:
        """Whether the bytes begin so, bool scalar."""
        return tf.equal(tf.strings.substr(encoded, 0, len(magic)), magic)

    def gif_or_bmp() -> tf.Tensor:
        """Other formats; a branch of their own, to keep datasets of small PNGs fast."""
        return tf.case(
            [
                (begins(b"GIF8"), lambda: _first_frame(encoded)),
                (begins(b"BM"), lambda: whole(18, big_endian=False)),
            ],
            default=other,
        )

    with tf.control_dependencies([_at_most(_length(encoded), MAX_BYTES, "bytes")]):
        is_png = begins(b"\x89PNG\r\n\x1a\n")
        return tf.cond(is_png, lambda: whole(16, big_endian=True), gif_or_bmp)


def _first_frame(encoded: tf.Tensor) -> tf.Tensor:
    """A GIF up to the end of its first frame, with an end of its own.

    The screen's size in the header is no limit: each frame has its own, and TensorFlow allocates
    the largest and decodes them all.
    """
    octets = tf.io.decode_raw(encoded, tf.uint8)

    def byte(at: tf.Tensor) -> tf.Tensor:
        """int32 scalar; raises where the file has ended."""
        return tf.cast(tf.gather(octets, at), tf.int32)

    def after_pieces(at: tf.Tensor) -> tf.Tensor:
        """Skips pieces, each preceded by its length, up to the one of length 0."""
        (end,) = tf.while_loop(
            lambda at: byte(at) > 0,
            lambda at: [at + 1 + byte(at)],
            [at],
            maximum_iterations=_GIF_PIECES,
        )
        with tf.control_dependencies([_expect(tf.equal(byte(end), 0), "a GIF of fewer pieces")]):
            return end + 1

    def palette(flags: tf.Tensor) -> tf.Tensor:
        """The size of the palette that a header's byte of flags announces."""
        return tf.where(flags < 128, 0, tf.gather([6 << bits for bits in range(8)], flags % 8))

    (image,) = tf.while_loop(
        lambda at: tf.equal(byte(at), _GIF_EXTENSION) & (at < _GIF_BEFORE_IMAGE),
        lambda at: [after_pieces(at + 2)],
        [_GIF_HEADER + palette(byte(tf.constant(10)))],
    )
    low_high = tf.constant([1, 256])
    width = tf.reduce_sum(byte(image + [5, 6]) * low_high)
    height = tf.reduce_sum(byte(image + [7, 8]) * low_high)
    pixels = tf.cast(width, tf.int64) * tf.cast(height, tf.int64)
    checks = [
        _expect(tf.equal(byte(image), _GIF_IMAGE), "a GIF with a picture near its beginning"),
        _at_most(pixels, MAX_WHOLE_PIXELS, "pixels"),
    ]
    with tf.control_dependencies(checks):
        end = after_pieces(image + 11 + palette(byte(image + 9)))
    return tf.strings.join([tf.strings.substr(encoded, 0, end), _GIF_END])


def _count_scans(encoded: tf.Tensor) -> tf.Tensor:
    """The scans of a JPEG and of its thumbnails; int64 scalar."""
    octets = tf.io.decode_raw(encoded, tf.uint8)
    starts = tf.equal(octets[:-1], 0xFF) & tf.equal(octets[1:], 0xDA)
    return tf.reduce_sum(tf.cast(starts, tf.int64))


def _length(encoded: tf.Tensor) -> tf.Tensor:
    """Bytes, int64 scalar."""
    return tf.cast(tf.strings.length(encoded), tf.int64)


def _at_most(value: tf.Tensor, limit: int, what: str) -> tf.Operation:
    return _expect(value <= limit, f"an image of fewer {what}")


def _expect(holds: tf.Tensor, what: str) -> tf.Operation:
    # The received number in the message would cost a branch, which slows small images down.
    return tf.debugging.Assert(holds, [f"Expected {what}"])
