import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data.augment import resized_crop
from alexnet_tf.data.decode import decode, decode_crop, decode_resized_crop, decode_square
from alexnet_tf.models.spec import Preprocessing

WHOLE = 10_000  # pixels: more than any picture here has, so that none is decoded small
SPEC = Preprocessing(image_size=64, crop_size=56)


def photograph(height, width, seed=0):
    """Smooth colours with some detail, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def encoded(image, form, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["png", "bmp"])
def test_lossless_formats_come_back_as_they_were(form):
    image = photograph(40, 60)
    np.testing.assert_array_equal(decode(encoded(image, form), WHOLE), image)


def test_jpeg_decodes_like_pillow():
    image = encoded(photograph(90, 70), "jpeg", quality=95)
    np.testing.assert_array_equal(decode(image, WHOLE), np.asarray(Image.open(io.BytesIO(image))))


def test_first_frame_of_a_gif():
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "gif", save_all=True, append_images=frames[1:])
    assert decode(buffer.getvalue(), WHOLE).numpy()[5, 5].tolist() == [255, 0, 0]


def test_grey_becomes_three_equal_channels():
    grey = decode(encoded(photograph(20, 20)[..., 0], "png"), WHOLE).numpy()
    assert grey.shape == (20, 20, 3)
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])


@pytest.mark.parametrize(
    "shape, smallest, expected",
    [
        ((256, 300), 256, (256, 300)),
        ((256, 300), 128, (128, 150)),
        ((256, 300), 100, (128, 150)),
        ((256, 256), 64, (64, 64)),
        ((2048, 1024), 64, (256, 128)),
    ],
)
def test_large_jpegs_are_decoded_small_but_never_too_small(shape, smallest, expected):
    image = encoded(photograph(*shape), "jpeg")
    assert decode(image, smallest).shape[:2] == expected


def test_shorter_side_is_resized_and_the_centre_cut_out():
    image = np.zeros((64, 192, 3), np.uint8)
    image[:, 64:128] = 200  # the central square
    square = decode_square(encoded(image, "png"), SPEC).numpy()
    assert square.shape == (64, 64, 3)
    assert (square == 200).all()


def test_warp_keeps_the_whole_picture():
    image = np.zeros((64, 192, 3), np.uint8)
    image[:, 96:] = 200
    spec = Preprocessing(image_size=64, crop_size=56, resize="warp")
    square = decode_square(encoded(image, "png"), spec).numpy()
    assert square[:, :28].max() < 10
    assert square[:, 36:].min() > 190


@pytest.mark.parametrize("height, width", [(64, 64), (65, 200), (31, 17), (500, 375), (1, 1)])
def test_every_size_becomes_the_square(height, width):
    assert decode_square(encoded(photograph(height, width), "jpeg"), SPEC).shape == (64, 64, 3)


@pytest.mark.parametrize("form", ["png", "jpeg"])
@pytest.mark.parametrize("height, width", [(64, 64), (80, 120)])
@pytest.mark.parametrize("offset", [(0, 0), (8, 8), (3, 5)])
def test_a_crop_is_a_part_of_the_square(form, height, width, offset):
    image = encoded(photograph(height, width), form)
    crop = decode_crop(image, tf.constant(offset), SPEC).numpy().astype(int)
    top, left = offset
    square = decode_square(image, SPEC).numpy().astype(int)
    part = square[top : top + 56, left : left + 56]
    # In the last column libjpeg interpolates colours that it has not decoded.
    np.testing.assert_array_equal(crop[:, :-1], part[:, :-1])
    assert np.abs(crop - part).max() <= (0 if form == "png" else 16)


@pytest.mark.parametrize("content", [b"hello", b"", b"\xff\xd8\xff but not a JPEG"])
def test_what_is_no_image_raises(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(content, WHOLE)


def claim_size(image, form, height, width):
    """The encoded image with another size in its header."""
    data = bytearray(encoded(image, form))
    if form == "jpeg":
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    elif form == "gif":
        data[6:10] = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    elif form == "bmp":
        data[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    else:
        data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("form", ["jpeg", "png", "gif", "bmp"])
def test_a_header_that_claims_a_huge_image_is_not_believed(form):
    huge = claim_size(photograph(20, 30), form, 60_000, 60_000)
    with pytest.raises(tf.errors.InvalidArgumentError, match="fewer pixels"):
        decode(huge, WHOLE)


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_a_resized_crop_is_the_part_made_square(form):
    image = photograph(90, 120)
    window = tf.constant(np.random.default_rng(5).random((10, 4)), tf.float32)
    top, left, height, width = resized_crop(window, tf.constant([90, 120])).numpy()
    result = decode_resized_crop(encoded(image, form), window, SPEC).numpy().astype(float)
    part = decode(encoded(image, form), WHOLE)[top : top + height, left : left + width]
    expected = tf.image.resize(part, [56, 56], antialias=True).numpy()
    assert result.shape == (56, 56, 3)
    assert np.abs(result - expected)[:, :-1].max() <= (0.51 if form == "png" else 16)


def test_what_is_said_to_be_a_square_jpeg_must_be_one():
    offset = tf.constant((3, 5))
    square = encoded(photograph(64, 64), "jpeg")
    np.testing.assert_array_equal(
        decode_crop(square, offset, SPEC, is_square=True), decode_crop(square, offset, SPEC)
    )
    for other in (encoded(photograph(64, 64), "png"), encoded(photograph(40, 64), "jpeg")):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode_crop(other, offset, SPEC, is_square=True)
