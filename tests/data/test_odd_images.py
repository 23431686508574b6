"""Every kind of image has the same pixels everywhere, or is called unreadable."""

import struct
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data.dataset import make_split
from alexnet_tf.data.decode import decode, decode_square
from alexnet_tf.data.image_checks import examine, open_picture
from alexnet_tf.data.pillow_decoding import decode_pixels, to_bmp
from alexnet_tf.data.pipeline import decode_squares
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.preparation.resize import InvalidImage, prepare
from tests.data.odd_images import HEIGHT, WIDTH, odd_images
from tests.preparation.pictures import encode, photo, turned

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes what `image_checks.py` does

WHOLE = 10_000  # pixels: more than any picture here has, so that none is decoded small
# What TensorFlow reads as Pillow does; a SavedModel calls all other kinds unreadable.
IN_GRAPH = {
    *("bmp 8 grey", "bmp 24", "bmp 24 downwards", "bmp 24 gap", "bmp 24 palette", "bmp 24 v5"),
    *("bmp 24 os2 v2", "bmp 24 masks", "bmp 32", "bmp 32 masks"),
    *(name for name in odd_images() if name.startswith("png")),
    *("gif", "gif 87", "gif black and white", "gif interlaced", "gif animated"),
    *("gif transparent", "gif without a screen"),
    *("jpeg", "jpeg grey", "jpeg rgb", "jpeg progressive", "jpeg 4:2:2", "jpeg cmyk", "jpeg ycck"),
    "jpeg arithmetic",
}
UNREADABLE = {
    *("bmp 24 rle", "bmp 32 ten bits", "jpeg lossless", "jpeg 12 bits", "ppm"),
    *("tiff lab", "tiff grey 32", "tiff floats"),
}


def by_preparation(encoded):
    """uint8 [H, W, 3]; None if it cannot be read."""
    try:
        return np.asarray(decode_pixels(open_picture(encoded)).convert("RGB")).astype(int)
    except Exception:
        return None


@pytest.mark.parametrize("name", odd_images())
def test_the_graph_has_the_pixels_of_preparation_or_none(name):
    encoded = odd_images()[name]
    expected = by_preparation(encoded)
    assert (expected is None) == (name in UNREADABLE) == (examine(encoded).reason is not None)
    try:
        pixels = decode(encoded, WHOLE).numpy().astype(int)
    except tf.errors.InvalidArgumentError:
        assert name not in IN_GRAPH
    else:
        assert name in IN_GRAPH
        assert pixels.shape == expected.shape
        assert np.abs(pixels - expected).max() <= 1


def test_training_and_evaluation_read_exactly_what_preparation_reads():
    size = Preprocessing(image_size=24, crop_size=24)
    names = list(odd_images())
    split = make_split(list(odd_images().values()), [0] * len(names))
    squares, readable = tf.function(lambda images: decode_squares(split, images, size))(
        tf.constant(list(odd_images().values()))
    )
    assert [name for name, found in zip(names, readable.numpy(), strict=True) if not found] == [
        name for name in names if name in UNREADABLE
    ]
    for name, square in zip(names, squares.numpy().astype(int), strict=True):
        if name not in UNREADABLE:
            pixels = by_preparation(odd_images()[name]).astype(np.uint8)
            plain = encode(Image.fromarray(pixels), "PNG")
            assert np.abs(square - decode_square(plain, size)).max() <= 1, name


def test_images_are_converted_upright():
    image = photo(3, WIDTH, HEIGHT)
    exif = Image.Exif()
    exif[0x0112] = 6
    side = image.transpose(Image.Transpose.ROTATE_90)
    for encoded in (
        encode(side, "WEBP", lossless=True, exif=exif),
        encode(side, "TIFF", tiffinfo={0x0112: 6}),
    ):
        np.testing.assert_array_equal(decode(to_bmp(encoded), WHOLE), np.asarray(image))
    assert to_bmp(turned(image, 6))[:2] == b"BM"


def test_a_large_image_is_converted_smaller():
    copy = decode(to_bmp(encode(photo(3, 2400, 1500), "TIFF")), WHOLE)
    assert copy.shape == (750, 1200, 3)


def lying_tiff(**entries):
    """A TIFF with other values in its entries: number to (kind, count, value)."""
    encoded = bytearray(encode(photo(3, WIDTH, HEIGHT), "TIFF"))
    (start,) = struct.unpack_from("<I", encoded, 4)
    (count,) = struct.unpack_from("<H", encoded, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        (number,) = struct.unpack_from("<H", encoded, place)
        if f"_{number}" in entries:
            struct.pack_into("<HII", encoded, place + 2, *entries[f"_{number}"])
    return bytes(encoded)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"_256": (4, 1, 60_000), "_257": (4, 1, 60_000)}, "too large"),
        ({"_273": (4, 2**30, 8)}, "damaged"),
        ({"_273": (2, 2**31, 8)}, "damaged"),
        ({"_278": (1, 2**24, 8)}, "damaged"),
    ],
)
def test_a_tiff_that_claims_too_much_is_refused_at_once(entries, reason):
    encoded = lying_tiff(**entries) + bytes(2**20)
    started = time.process_time()
    assert examine(encoded).reason == reason
    with pytest.raises(InvalidImage, match=reason):
        prepare(encoded)
    assert time.process_time() - started < 1
