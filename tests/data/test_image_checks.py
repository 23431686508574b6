import time

import numpy as np
import pytest

from alexnet_tf.data import image_checks
from alexnet_tf.data.image_checks import ImageInfo, examine
from alexnet_tf.preparation.resize import InvalidImage, Prepared, prepare
from tests.preparation.pictures import (
    encode,
    lying,
    photo,
    png_chunk,
    sixteen_bit_grey,
    strange,
    turned,
    unusable,
)

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest undoes what `image_checks.py` does

SECONDS = 2.0  # of the CPU for any bytes whatsoever, as `image_checks.py` promises


def test_facts_of_usable_pictures():
    image = photo(1)
    assert examine(encode(image)) == ImageInfo("JPEG", "RGB", 500, 375)
    assert examine(encode(image.convert("CMYK"))) == ImageInfo("JPEG", "CMYK", 500, 375, ("CMYK",))
    deep = examine(sixteen_bit_grey(image))
    assert (deep.format, deep.notes, deep.reason) == ("PNG", ("PNG", "grey", "16-bit"), None)
    assert examine(turned(image, 8)) == ImageInfo("JPEG", "RGB", 375, 500, ("rotated",))


@pytest.mark.parametrize("name", unusable())
def test_reasons_are_those_of_prepare(name):
    encoded, reason = unusable()[name]
    assert examine(encoded).reason == reason


def test_facts_are_known_of_what_is_damaged_or_too_large():
    whole = encode(photo(1))
    assert examine(whole[:9000]) == ImageInfo("JPEG", "RGB", 500, 375, reason="truncated")
    assert examine(lying("PNG", 60_000, 60_000)).reason == "too large"


def test_limits_of_pixels():
    # A JPEG of one scan may be larger than others, as it can be decoded small.
    for form, width, height, too_large in (
        ("JPEG", 9_000, 9_900, False),
        ("JPEG", 9_000, 9_950, True),
        ("PNG", 8_000, 4_190, False),
        ("PNG", 8_000, 4_200, True),
    ):
        reason = examine(lying(form, width, height)).reason
        assert (reason == "too large") == too_large, (form, width, height)


def test_a_jpeg_may_not_pass_over_its_pixels_for_ever():
    progressive = encode(photo(1, 2000, 2000), progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    assert examine(progressive).reason is None
    many = progressive[:-2] + 100 * scan + b"\xff\xd9"
    assert examine(many).reason == "too large"


def _bombs():
    """Small files, or files of many small pieces, that ask for much work or memory."""
    jpeg, png, gif = (encode(photo(1), form) for form in ("JPEG", "PNG", "GIF"))
    palette = 13 + 3 * 256
    pieces = 1_000_000
    exif = b"\xff\xe1\xff\xff" + b"Exif\0\0" + bytes(65_527)
    return {
        "markers": jpeg[:2] + pieces * b"\xff\xe5\0\2" + jpeg[2:],
        "fill": jpeg[:2] + 10 * pieces * b"\xff" + jpeg[2:],
        "exif": jpeg[:2] + 400 * exif + jpeg[2:],
        "chunks": png[:33] + pieces * png_chunk(b"abCd", b"") + png[33:],
        "extensions": gif[:palette] + pieces * b"\x21\xfe\1a\0" + gif[palette:],
        "comment": gif[:palette] + b"\x21\xfe" + 5 * pieces * b"\1a" + b"\0" + gif[palette:],
        "junk": b"\0" * image_checks.MAX_BYTES,
        "large": b"\xff\xd8\xff" + b"\0" * image_checks.MAX_BYTES,
    }


@pytest.mark.parametrize("name", _bombs())
def test_bombs_do_not_go_off(name):
    encoded = _bombs()[name]
    started = time.process_time()
    facts = examine(encoded)
    assert time.process_time() - started < SECONDS
    assert facts.reason in ("damaged", "no image", "too large") or name == "exif"


def test_damaged_exif_does_not_make_a_picture_unusable():
    encoded = turned(photo(1), 6)
    start = encoded.index(b"Exif\0\0") + 6
    for junk in (b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff\xff\xff", b"nonsense"):
        damaged = encoded[:start] + junk + encoded[start + len(junk) :]
        assert examine(damaged).reason is None
        assert prepare(damaged).notes == ()


def mutated(encoded, rng):
    """With a few bits flipped, a piece lost, doubled or overwritten, or another's header."""
    data = bytearray(encoded)
    first, end = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    kind = rng.integers(6)
    if kind == 0:
        for place in rng.integers(0, len(data), 1 + rng.integers(20)):
            data[place] ^= 1 << rng.integers(8)
    elif kind == 1:
        del data[end:]
    elif kind == 2:
        del data[first : min(end, first + 500)]
    elif kind == 3:
        data[first:first] = data[first : min(end, first + 5000)]
    elif kind == 4:
        data[first : first + 16] = rng.bytes(16)
    else:
        head = 2 + int(rng.integers(min(60, len(data))))
        data[2:head] = rng.bytes(head - 2)
    return bytes(data)


def test_mutated_pictures_lead_to_a_picture_or_a_reason():
    """A short part of what `tools` can do for hours."""
    rng = np.random.default_rng(2012)
    originals = [encoded for encoded, _ in strange().values()]
    outcomes = {"prepared": 0}
    for number in range(600):
        encoded = mutated(originals[number % len(originals)], rng)
        started = time.process_time()
        try:
            assert isinstance(prepare(encoded), Prepared)
            outcome = "prepared"
        except InvalidImage as refused:
            outcome = str(refused)
        reason = examine(encoded).reason
        assert time.process_time() - started < SECONDS
        assert reason == (None if outcome == "prepared" else outcome)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert outcomes.keys() <= {"prepared", "no image", "too large", "truncated", "damaged", "empty"}
    assert min(outcomes["prepared"], outcomes["truncated"], outcomes["no image"]) > 30, outcomes
