import io
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data.augmentations.resized_crop import choose_window
from alexnet_tf.data.decode import (
    decode,
    decode_batch,
    decode_crop,
    decode_each,
    decode_square,
    decode_window,
)
from alexnet_tf.data.image_checks import examine
from alexnet_tf.models.spec import Preprocessing
from tests.preparation import pictures

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
    if form == "png" or height != 64:  # by way of the square
        np.testing.assert_array_equal(crop, part)
    else:
        np.testing.assert_array_equal(crop[:, 1:-1], part[:, 1:-1])


def test_the_outer_columns_of_a_crop_of_a_square_jpeg_are_nearly_those():
    """libjpeg interpolates their colours without the neighbours, which it has not decoded."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    coarse = np.asarray(Image.fromarray(noise[:16, :16]).resize((64, 64), Image.Resampling.BICUBIC))
    image = encoded(coarse, "jpeg", quality=90)
    spec = Preprocessing(image_size=64, crop_size=32)
    square = decode_square(image, spec).numpy().astype(int)
    differing = set()
    for left in range(33):
        crop = decode_crop(image, tf.constant((7, left)), spec, is_square=True).numpy().astype(int)
        difference = np.abs(crop - square[7:39, left : left + 32]).max(axis=(0, 2))  # [C]
        assert difference.max() <= 50  # of these colours; of photographs' 16
        differing |= set(np.flatnonzero(difference).tolist())
    assert differing == {0, 31}


@pytest.mark.parametrize("content", [b"hello", b"", b"\xff\xd8\xff but not a JPEG"])
def test_what_is_no_image_raises(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(content, WHOLE)


def bombs():
    """Name to small files that ask for much memory or time, and what is said of them."""
    gif = pictures.encode(pictures.photo(0, 64, 64), "GIF")
    palette = 13 + 3 * 256
    return {
        "JPEG": (pictures.lying("JPEG", 60_000, 60_000), "fewer pixels"),
        "PNG": (pictures.lying("PNG", 5_900, 5_900), "fewer pixels"),
        "BMP": (pictures.lying("BMP", 5_900, -5_900), "fewer pixels"),
        "GIF's frame": (pictures.lying_frame(5_900, 5_900), "fewer pixels"),
        "GIF's frame of all": (pictures.lying_frame(65_535, 65_535), "fewer pixels"),
        "scans": (pictures.many_scans(2_200), "fewer pixels times scans"),
        "bytes": (gif + bytes(2**25), "fewer bytes"),
        "extensions": (
            gif[:palette] + 100_000 * b"\x21\xfe\1a\0" + gif[palette:], "near its beginning",
        ),
        "comment": (
            gif[:palette] + b"\x21\xfe" + 100_000 * b"\1a" + b"\0" + gif[palette:], "fewer pieces",
        ),
        "endless": (gif[:-20] + 100_000 * b"\1a", "pieces"),
        "WebP": (pictures.encode(pictures.photo(), "WEBP"), "Expected a JPEG, PNG, GIF or BMP"),
        "TIFF": (pictures.encode(pictures.photo(), "TIFF"), "Expected a JPEG, PNG, GIF or BMP"),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("way", [decode_square, decode_crop, decode_window])
def test_bombs_do_not_go_off(way):
    rest = {
        decode_square: (SPEC,),
        decode_crop: (tf.constant((3, 5)), SPEC),
        decode_window: (lambda size: choose_window(tf.zeros([10, 4]), size), SPEC),
    }[way]
    graph = tf.function(
        lambda data: way(data, *rest), input_signature=[tf.TensorSpec([], tf.string)]
    )
    graph(encoded(photograph(80, 90), "png"))
    for name, (data, words) in bombs().items():
        started = time.process_time()
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            graph(data)
        assert words in error.value.message, name
        assert time.process_time() - started < 4, name  # twice what it takes at the worst


def test_what_preparation_refuses_does_not_decode():
    for name, (data, _) in pictures.unusable().items():
        if name != "bomb.gif":  # its screen is large, but its frame is not
            with pytest.raises(tf.errors.InvalidArgumentError):
                decode(data, WHOLE)


def test_the_limits_are_those_of_preparation():
    """What one refuses as too large the other does, on both sides of each limit."""
    for form, width, height in (
        ("JPEG", 9_000, 9_950), ("PNG", 8_000, 4_200), ("BMP", 8_000, 4_200),
    ):  # fmt: skip
        data = pictures.lying(form, width, height)
        assert examine(data).reason == "too large"
        with pytest.raises(tf.errors.InvalidArgumentError, match="fewer pixels"):
            decode(data, 1)
    for form, width, height in (("JPEG", 9_000, 9_900), ("PNG", 8_000, 4_190)):
        data = pictures.lying(form, width, height)
        assert examine(data).reason != "too large"
        try:
            decode(data, 64)  # there are fewer pixels than it says
        except tf.errors.InvalidArgumentError as error:
            assert "fewer" not in error.message


def test_scans_are_counted_where_they_could_be_too_many():
    assert decode(pictures.many_scans(200), WHOLE).shape == (375, 500, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="fewer pixels times scans"):
        decode(pictures.many_scans(2_200), WHOLE)


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_of_an_animation_the_first_frame_alone_is_decoded(frames):
    image = np.asarray(Image.open(io.BytesIO(pictures.animation(1))).convert("RGB"))
    np.testing.assert_array_equal(decode(pictures.animation(frames), WHOLE), image)
    # What follows it is not looked at, whatever it says.
    data = pictures.animation(frames)[:-1]
    huge = data + b"\x2c\0\0\0\0" + 4 * b"\xff" + b"\0\2\1\0\0;"
    np.testing.assert_array_equal(decode(huge, WHOLE), image)


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_a_resized_crop_is_the_part_made_square(form):
    image = photograph(90, 120)
    tries = tf.constant(np.random.default_rng(5).random((10, 4)), tf.float32)
    top, left, height, width = choose_window(tries, tf.constant([90, 120])).numpy()
    result = decode_window(
        encoded(image, form), lambda size: choose_window(tries, size), SPEC
    ).numpy()
    result = result.astype(float)
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


@pytest.mark.parametrize("broken", [(), (1,), (0, 2, 3)])
def test_a_batch_with_broken_images_is_the_batch_one_by_one(broken):
    files = [encoded(photograph(20, 20, seed), "jpeg") for seed in range(4)]
    images = tf.constant([b"broken" if i in broken else file for i, file in enumerate(files)])
    pixels, readable = decode_batch(lambda i: tf.io.decode_jpeg(images[i], 3), tf.constant(4), 20)
    expected, there = decode_each(lambda i: tf.io.decode_jpeg(images[i], 3), tf.constant(4), 20)
    np.testing.assert_array_equal(readable, [i not in broken for i in range(4)])
    np.testing.assert_array_equal(there, readable)
    np.testing.assert_array_equal(pixels, expected)
    for i, file in enumerate(files):
        np.testing.assert_array_equal(
            pixels[i], np.zeros_like(pixels[i]) if i in broken else tf.io.decode_jpeg(file, 3)
        )
