"""The pixels that decoding an image would take, from its headers alone."""

import io
import struct
import time

import pytest
from PIL import Image

from alexnet_tf.data.image_checks import pixels_to_decode
from tests.serving.servable import make_picture, make_scan_bomb


def encode(size, format, mode="L", **options):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP"])
def test_pixels_are_those_of_the_header(format):
    times = 2 if format == "GIF" else 1  # its screen and its frame
    assert pixels_to_decode(make_picture(0, format, (90, 81))) == times * 90 * 81
    assert pixels_to_decode(encode((3000, 2000), format)) == times * 6_000_000


def test_a_bmp_may_run_downwards():
    bmp = bytearray(encode((5, 4), "BMP"))
    struct.pack_into("<i", bmp, 22, -4)
    assert pixels_to_decode(bytes(bmp)) == 20


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}])
def test_photographs_of_all_kinds_pass(options):
    exif = Image.Exif()
    exif[0x010E] = "a \xff\xda description"
    photograph = encode((4000, 3000), "JPEG", "RGB", exif=exif, **options)
    assert pixels_to_decode(photograph) == 12_000_000
    padded = photograph[:2] + b"\xff\xff\xff" + photograph[2:]  # a marker may be filled up
    assert pixels_to_decode(padded) == 12_000_000


def test_many_scans_of_few_pixels_are_refused():
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    assert pixels_to_decode(whole) == 64
    assert pixels_to_decode(whole[:-2] + 50_000 * scan + b"\xff\xd9") is None


@pytest.mark.parametrize("icc", [False, True])
def test_scans_without_end_do_not_pass(icc):
    assert pixels_to_decode(make_scan_bomb(icc, scans=20)) == 9_000_000
    assert pixels_to_decode(make_scan_bomb(icc, scans=50)) is None


def test_frames_without_end_do_not_pass():
    frames = [Image.new("L", (4000, 4000), value) for value in range(6)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert pixels_to_decode(buffer.getvalue()) is None
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:3])
    assert pixels_to_decode(buffer.getvalue()) == 4 * 16_000_000  # the screen, and three frames


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"no image",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\x00",
        b"\xff\xd8\xff\xda" + bytes(100),
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a\x01",
        b"BM",
        encode((6000, 6000), "PNG"),
        encode((10_000, 9000), "JPEG"),
        encode((10, 10), "WEBP"),
    ],
    ids=range(11),
)
def test_other_bytes_and_too_large_images_do_not_pass(encoded):
    assert pixels_to_decode(encoded) is None


@pytest.mark.parametrize(
    "evil",
    [
        b"\xff\xd8" + b"\xff" * 10_000_000,
        b"\xff\xd8\xff\xe0\x00\x02" + b"\xff\x00" * 5_000_000,
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 2_500_000,
        b"GIF89a" + bytes(7) + b"!\xf9" + b"\x01\x00" * 5_000_000,
        b"GIF89a" + bytes(7) + b"!\xf9\x00" * 3_000_000,
    ],
    ids=["fill", "stuffing", "segments", "blocks", "extensions"],
)
def test_it_takes_no_time_itself(evil):
    started = time.process_time()
    assert pixels_to_decode(evil) is None
    assert time.process_time() - started < 2
