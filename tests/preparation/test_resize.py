import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.preparation import resize
from alexnet_tf.preparation.resize import InvalidImage, central_box, prepare
from tests.preparation.pictures import (
    decode,
    encode,
    photo,
    plain,
    psnr,
    sixteen_bit_grey,
    strange,
    turned,
    unusable,
)

STRANGE = strange()
UNUSABLE = unusable()
BOX = (0.0, 0.0, 375.0, 375.0)


@pytest.fixture(params=["fast", "pillow"])
def way(request, monkeypatch):
    """Both implementations, as far as they are installed."""
    if request.param == "pillow":
        monkeypatch.setattr(resize, "simplejpeg", None)
    elif resize.simplejpeg is None:
        pytest.skip("simplejpeg or cykooz.resizer is not installed")
    return request.param


def test_central_box_by_hand():
    # 500×375: the shorter side becomes 256, the longer round(341.33); 341 - 256 = 85, 42 at left.
    assert central_box(500, 375, 256) == pytest.approx((42 * 500 / 341, 0, 298 * 500 / 341, 375))
    assert central_box(375, 500, 256) == pytest.approx((0, 42 * 500 / 341, 375, 298 * 500 / 341))
    assert central_box(256, 256, 256) == (0, 0, 256, 256)
    assert central_box(1, 1, 256) == (0, 0, 1, 1)
    # 3×1 becomes 768×256, and its middle is the middle pixel.
    assert central_box(3, 1, 256) == (1, 0, 2, 1)


def test_what_has_the_size_is_only_cut():
    wide = photo(1, 512, 256)
    prepared = prepare(encode(wide, "PNG"), quality=90)
    assert prepared.jpeg == encode(wide.crop((128, 0, 384, 256)), quality=90)
    assert prepared.notes == ("PNG",)


def test_a_ramp_stays_a_ramp(way):
    """A triangle filter reproduces straight lines: at half the size, 2 x + 0.5 grey levels / 4."""
    columns = np.arange(1024) // 4
    ramp = np.broadcast_to(columns.astype(np.uint8)[None, :, None], (512, 1024, 3))
    encoded = encode(Image.fromarray(np.ascontiguousarray(ramp)), quality=100, subsampling=0)
    row = decode(prepare(encoded, quality=100).jpeg)[128, 8:-8, 1].astype(float)
    expected = (np.arange(128, 384) * 2 + 0.5) / 4 - 3 / 8  # // 4 lowers by 3/8 on average
    assert np.abs(row - expected[8:-8]).max() < 1.5


@pytest.mark.parametrize(
    ("width", "height"),
    [(500, 375), (375, 500), (401, 333), (256, 999), (257, 256), (100, 80), (1023, 700), (30, 400)],
)
def test_pixels_are_those_of_a_plain_script(way, width, height):
    encoded = encode(photo(2, width, height))
    assert psnr(decode(prepare(encoded, quality=100).jpeg), plain(encoded)) > 46


@pytest.mark.parametrize(("width", "height"), [(1400, 1100), (2500, 4000)])
def test_pixels_of_large_ones_are_nearly_those(way, width, height):
    encoded = encode(photo(2, width, height))
    assert psnr(decode(prepare(encoded, quality=100).jpeg), plain(encoded)) > 43


def test_another_size_and_quality(way):
    encoded = encode(photo(2))
    small, good = prepare(encoded, size=64), prepare(encoded, size=64, quality=95)
    assert decode(small.jpeg).shape == decode(good.jpeg).shape == (64, 64, 3)
    assert len(small.jpeg) < len(good.jpeg)
    assert psnr(decode(prepare(encoded, 64, 100).jpeg), plain(encoded, 64)) > 46


@pytest.mark.parametrize("name", STRANGE)
def test_strange_pictures_become_squares_with_notes(way, name):
    encoded, notes = STRANGE[name]
    prepared = prepare(encoded)
    image = Image.open(io.BytesIO(prepared.jpeg))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (256, 256))
    assert prepared.notes == notes
    assert prepare(encoded) == prepared


@pytest.mark.parametrize(
    "name", ["cmyk.JPEG", "png.JPEG", "bmp.JPEG", "webp.JPEG", "deep_colour.png", "alpha.png"]
)
def test_colours_survive(name):
    same = psnr(decode(prepare(STRANGE[name][0], quality=95).jpeg), plain(encode(photo(3), "PNG")))
    other = psnr(decode(prepare(STRANGE[name][0]).jpeg), plain(encode(photo(4), "PNG")))
    assert same > 30 > 20 > other


def test_grey_is_grey_and_sixteen_bits_are_scaled():
    eight = decode(prepare(encode(photo(3).convert("L"), "PNG"), quality=100).jpeg)
    deep = decode(prepare(sixteen_bit_grey(photo(3)), quality=100).jpeg)
    assert np.abs(deep.astype(int) - deep[..., :1]).max() <= 1
    assert psnr(deep, eight) > 50
    assert deep.std() > 20


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(500, 375), (301, 420)])
def test_turned_photographs_are_made_upright(orientation, size):
    encoded = turned(photo(3, *size), orientation)
    prepared = prepare(encoded, quality=100)
    assert prepared.notes == (() if orientation == 1 else ("rotated",))
    assert psnr(decode(prepared.jpeg), plain(encode(photo(3, *size)))) > 40


def test_one_pixel_is_a_square_of_its_colour():
    pixels = decode(prepare(STRANGE["pixel.png"][0]).jpeg)
    assert np.abs(pixels.astype(int) - (10, 200, 90)).max() <= 2


def test_a_square_is_kept_byte_for_byte_unless_it_is_odd():
    square = photo(3, 256, 256)
    kept = encode(square, quality=70)
    assert prepare(kept).jpeg == kept
    assert prepare(encode(square, progressive=True)).notes == ()
    assert prepare(encode(square.convert("L"))).notes == ("grey",)
    assert prepare(turned(square, 3)).notes == ("rotated",)
    assert prepare(encode(square) + bytes(256 * 256 * 3)).jpeg == encode(square)
    noise = Image.effect_noise((256, 256), 255)
    huge = encode(Image.merge("RGB", [noise] * 3), quality=100, subsampling=0, qtables=[[1] * 64])
    assert prepare(huge).notes == (() if len(huge) > 3 * 256**2 else ("kept",))
    with pytest.raises(InvalidImage, match="truncated"):
        prepare(kept[:3000])


def test_nothing_but_pixels_is_passed_on(way):
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    secrets = {"exif": exif.tobytes(), "comment": b"a secret word", "icc_profile": b"secret" * 99}
    for picture in (photo(3), photo(3, 256, 256)):
        encoded = encode(picture, **secrets) + b"a secret end"
        assert encoded.count(b"secret") >= 4
        prepared = prepare(encoded)
        assert b"secret" not in prepared.jpeg
        assert Image.open(io.BytesIO(prepared.jpeg)).info.keys() <= {
            "jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"
        }  # fmt: skip
    assert prepared.notes == ("kept",)
    assert prepared.jpeg == encode(picture)


def test_a_square_of_unusual_build_is_encoded_again():
    plain = encode(photo(3, 256, 256))
    thumbnail = plain[:2] + b"\xff\xe0\0\x13JFIF\0\1\1\0\0\1\0\1\1\1abc" + plain[20:]
    assert prepare(plain).notes == ("kept",)
    assert prepare(thumbnail).notes == ()
    assert b"abc" not in prepare(thumbnail).jpeg[:40]
    assert psnr(decode(prepare(thumbnail, quality=95).jpeg), decode(plain)) > 35


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_ones_are_refused_with_a_reason(way, name):
    encoded, reason = UNUSABLE[name]
    with pytest.raises(InvalidImage) as refused:
        prepare(encoded)
    assert str(refused.value) == reason


def test_a_blemished_picture_is_used_and_noted():
    encoded = encode(photo(3))
    middle = len(encoded) // 2
    blemished = encoded[:middle] + b"\xff\xd9" + encoded[middle + 2 :]  # ends half-way, it says
    prepared = prepare(blemished)
    assert decode(prepared.jpeg).shape == (256, 256, 3)
    assert prepared.notes == (("blemished",) if resize.simplejpeg else ())


def test_without_the_fast_libraries_pillow_does_it(monkeypatch):
    monkeypatch.setattr(resize, "simplejpeg", None)
    assert resize.prepare_jpeg(encode(photo()), (500, 375), BOX, 256, 90) is None
    assert resize.libraries() == {}


def test_the_fast_libraries_do_what_pillow_does():
    pytest.importorskip("simplejpeg")
    pytest.importorskip("cykooz_resizer")
    encoded = encode(photo())
    jpeg = resize.prepare_jpeg(encoded, (500, 375), BOX, 256, 100)
    image = Image.open(io.BytesIO(encoded))
    square = np.asarray(image.resize((256, 256), Image.Resampling.BILINEAR, box=BOX))
    assert psnr(decode(jpeg), square) > 40
    tables = [
        Image.open(io.BytesIO(data)).quantization for data in (jpeg, encode(photo(), quality=100))
    ]
    assert tables[0] == tables[1]
    assert set(resize.libraries()) == {"simplejpeg", "cykooz.resizer"}


def test_the_fast_libraries_refuse_every_damage():
    pytest.importorskip("simplejpeg")
    pytest.importorskip("cykooz_resizer")
    encoded = encode(photo())
    for damaged in (encoded[:5000], b"no JPEG", encoded[:5000] + encoded[-2:]):
        with pytest.raises(ValueError):
            resize.prepare_jpeg(damaged, (500, 375), BOX, 256, 90)
    with pytest.raises(ValueError, match="Expected"):  # a size that there is not
        resize.prepare_jpeg(encoded, (400, 300), BOX, 256, 90)


def test_workers_need_no_tensorflow():
    code = (
        "import sys; from alexnet_tf.preparation import workers; "
        "from alexnet_tf.preparation import resize; "
        "assert not {'tensorflow', 'tensorflow_datasets', 'keras'} & set(sys.modules); print('ok')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "ok\n", done.stderr
