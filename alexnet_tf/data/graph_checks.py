"""Checks of encoded images in TensorFlow's graphs, before anything is decoded.

TensorFlow's decoders have no limits of their own: they allocate as much as a header claims, decode
all frames of an animation, and scan a JPEG's pixels as often as the file says. Formats that a later
TensorFlow may decode are refused until somebody has checked what they can claim.

They also misread some images without a word: they take palette indices, other bit masks or
compressed rows of a BMP for colours, place a GIF's first frame wrongly, and invert a CMYK JPEG
that is not inverted. These are refused, too. `pillow_decoding.py` converts them where Python runs.
"""

from __future__ import annotations

import functools

import tensorflow as tf

from alexnet_tf.data.limits import (
    MAX_BYTES,
    MAX_PIXELS,
    MAX_PIXELS_TIMES_SCANS,
    MAX_WHOLE_PIXELS,
)

_SHORTEST_SCAN = 10  # bytes of its header alone
_ADOBE = b"\xff\xee\x00\x0eAdobe"  # the segment of a JPEG whose CMYK values are inverted
# BMP: blue, green and red as in memory, and a palette whose colours are their own indices.
_BGR_MASKS = b"\x00\x00\xff\x00\x00\xff\x00\x00\xff\x00\x00\x00"
_GREY_PALETTE = bytes(value for grey in range(256) for value in (grey, grey, grey, 0))
_BMP_HEADER, _BMP_AFTER_HEADER = 14, 54  # bytes
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
        tf.errors.InvalidArgumentError: no JPEG; more bytes, pixels or scans than allowed; or CMYK
            that is not known to be inverted.
    """
    height, width, channels = tf.unstack(tf.image.extract_jpeg_shape(encoded))
    pixels, length = tf.cast(height, tf.int64) * tf.cast(width, tf.int64), _length(encoded)
    # Few files are large enough to hold too many scans, or are in CMYK; only these are searched.
    scans, understood = tf.cond(
        (pixels * (length // _SHORTEST_SCAN) > MAX_PIXELS_TIMES_SCANS) | (channels > 3),
        lambda: (_count_scans(encoded), (channels <= 3) | _is_from_adobe(encoded)),
        lambda: (tf.constant(1, tf.int64), tf.constant(True)),
    )
    checks = [
        _at_most(length, MAX_BYTES, "bytes"),
        _at_most(pixels, MAX_PIXELS, "pixels"),
        _at_most(pixels * scans, MAX_PIXELS_TIMES_SCANS, "pixels times scans"),
        _expect(understood, "a CMYK JPEG with Adobe's marker"),
    ]
    with tf.control_dependencies(checks):
        return tf.stack([height, width])


def is_square_jpeg(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Whether a JPEG, not CMYK, has size×size pixels and no more bytes than it needs: bool scalar.

    So few bytes hold few scans: at 256 × 256 pixels they take at most 1.8 s.

    Raises:
        tf.errors.InvalidArgumentError: no JPEG.
    """
    shape = tf.image.extract_jpeg_shape(encoded)
    fits = tf.reduce_all(shape[:2] == size) & (shape[2] <= 3)
    enough = max(3 * size**2, _SHORTEST_SCAN * MAX_PIXELS_TIMES_SCANS // size**2)
    return fits & (tf.strings.length(encoded) <= min(enough, MAX_BYTES))


# A function of its own, so that a process builds its graph once and not for each dataset.
@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def one_picture(encoded: tf.Tensor) -> tf.Tensor:
    """A PNG or BMP as it is, or a GIF's first frame, if it is safe to decode and understood.

    Args:
        encoded: scalar string.

    Returns:
        Scalar string.

    Raises:
        tf.errors.InvalidArgumentError: none of these, damaged, more than allowed, or of a kind
            that TensorFlow misreads.
    """

    def png() -> tf.Tensor:
        """The same, after a check of width and height."""
        octets = tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.uint8)
        octets = tf.cast(tf.reshape(octets, [2, 4]), tf.int64)
        weights = [256**power for power in (3, 2, 1, 0)]
        width, height = tf.unstack(tf.reduce_sum(octets * weights, axis=1))
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
                (begins(b"BM"), lambda: _plain_bmp(encoded)),
            ],
            default=other,
        )

    with tf.control_dependencies([_at_most(_length(encoded), MAX_BYTES, "bytes")]):
        return tf.cond(begins(b"\x89PNG\r\n\x1a\n"), png, gif_or_bmp)


def _plain_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """The same, after a check that its pixels are uncompressed BGR or BGRA, or grey.

    TensorFlow looks at nothing but width, height and the bits of a pixel.
    """
    fields = tf.io.decode_raw(tf.strings.substr(encoded, _BMP_HEADER, 20), tf.int32)
    header, width, height, planes_and_bits, compression = tf.unstack(tf.ensure_shape(fields, [5]))
    bits = planes_and_bits // 2**16
    uncompressed = tf.equal(compression, 0)

    def follows(content: bytes) -> tf.Tensor:
        """Whether the header is followed so, bool scalar."""
        return tf.equal(tf.strings.substr(encoded, _BMP_AFTER_HEADER, len(content)), content)

    coloured = tf.equal(bits, 24) | tf.equal(bits, 32)
    in_order = uncompressed | (tf.equal(compression, 3) & follows(_BGR_MASKS))
    grey = tf.equal(header, 40) & tf.equal(bits, 8) & uncompressed & follows(_GREY_PALETTE)
    understood = (header >= 40) & ((coloured & in_order) | grey)
    # Rows run downwards where the height is negative.
    width, height = tf.cast(width, tf.int64), tf.cast(height, tf.int64)
    pixels = width * tf.where(height < 0, 0 - height, height)
    checks = [
        _expect(understood, "a BMP without a palette or compression"),
        _at_most(pixels, MAX_WHOLE_PIXELS, "pixels"),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(encoded)


def _first_frame(encoded: tf.Tensor) -> tf.Tensor:
    """A GIF's first frame, with an end of its own and without what tells how it is shown.

    The screen's size in the header is no limit: each frame has its own, and TensorFlow allocates
    the largest and decodes them all. An extension may say that one colour is transparent, and
    TensorFlow would make it black.
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

    def numbers(at: tf.Tensor) -> tf.Tensor:
        """Two numbers of two bytes each, int32 [2]."""
        pairs = tf.reshape(byte(at + [0, 1, 2, 3]), [2, 2])
        return tf.reduce_sum(pairs * tf.constant([1, 256]), axis=1)

    header = _GIF_HEADER + palette(byte(tf.constant(10)))
    (image,) = tf.while_loop(
        lambda at: tf.equal(byte(at), _GIF_EXTENSION) & (at < _GIF_BEFORE_IMAGE),
        lambda at: [after_pieces(at + 2)],
        [header],
    )
    corner, size = numbers(image + 1), numbers(image + 5)
    fills = tf.reduce_all(tf.equal(corner, 0) & (size >= numbers(tf.constant(6))))
    checks = [
        _expect(tf.equal(byte(image), _GIF_IMAGE), "a GIF with a picture near its beginning"),
        _expect(fills, "a GIF with a first frame that fills its screen"),
        _at_most(tf.reduce_prod(tf.cast(size, tf.int64)), MAX_WHOLE_PIXELS, "pixels"),
    ]
    with tf.control_dependencies(checks):
        end = after_pieces(image + 11 + palette(byte(image + 9)))
    frame = tf.strings.substr(encoded, image, end - image)
    return tf.strings.join([tf.strings.substr(encoded, 0, header), frame, _GIF_END])


def _count_scans(encoded: tf.Tensor) -> tf.Tensor:
    """The scans of a JPEG and of its thumbnails; int64 scalar."""
    octets = tf.io.decode_raw(encoded, tf.uint8)
    starts = tf.equal(octets[:-1], 0xFF) & tf.equal(octets[1:], 0xDA)
    return tf.reduce_sum(tf.cast(starts, tf.int64))


def _is_from_adobe(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a JPEG has Adobe's segment, bool scalar."""
    octets = tf.io.decode_raw(encoded, tf.uint8)
    starts = tf.size(octets) - len(_ADOBE)
    found = [tf.equal(octets[i : i + starts], value) for i, value in enumerate(_ADOBE)]
    return tf.reduce_max(tf.cast(functools.reduce(tf.logical_and, found), tf.int32)) > 0


def _length(encoded: tf.Tensor) -> tf.Tensor:
    """Bytes, int64 scalar."""
    return tf.cast(tf.strings.length(encoded), tf.int64)


def _at_most(value: tf.Tensor, limit: int, what: str) -> tf.Operation:
    return _expect(value <= limit, f"an image of fewer {what}")


def _expect(holds: tf.Tensor, what: str) -> tf.Operation:
    # The received number in the message would cost a branch, which slows small images down.
    return tf.debugging.Assert(holds, [f"Expected {what}"])
