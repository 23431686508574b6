"""One picture: encoded bytes to a square JPEG.

A pure function of its arguments that imports no TensorFlow, so that a pool of processes, or a
cluster's engine such as Apache Beam, can map it over any number of pictures.

Pillow reads every header, and decodes and encodes what is odd: of what was tried it reports damage
best. OpenCV fills the missing part of a truncated file with grey and says nothing. The common case
goes through `fast.py`. Milliseconds for one of 200 photographs of ImageNet, 472×397 pixels on
average, on one core of a 2.6 GHz AMD EPYC, as `tools/benchmark_preparation.py` measures them:

    a plain script with Pillow, bilinear                         3.5
    the same, bicubic                                            4.3
    this                                                         2.3
    this without the libraries of `fast.py`                      3.1

The filter is a triangle that widens with the scale: Pillow's BILINEAR, and what TensorFlow's
antialiased bilinear resizing does in `alexnet_tf.data.decode`, hence also what the network sees of
a photograph that was not prepared.
"""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from PIL import Image

from alexnet_tf.data.image_checks import (
    UPRIGHT,
    InvalidImage,
    examine,
    format_of,
    has_one_scan,
    notes,
    open_picture,
    orientation,
    reason_of,
)
from alexnet_tf.preparation.turbojpeg import Box, prepare_jpeg

__all__ = ["QUALITY", "SIZE", "Prepared", "InvalidImage", "central_box", "examine", "prepare"]

SIZE = 256  # pixels: paper §2
QUALITY = 90  # of the JPEGs; the paper does not say

# More pixels or bytes are left to Pillow, which copies less and averages blocks of pixels first.
_MANY = 2**22
_GREY = ("1", "LA")

# Of a JPEG: markers of its parts, and how long those two are that say what its channels are.
_MARKER, _START_OF_SCAN, _END = 0xFF, 0xDA, b"\xff\xd9"
_COLOUR_SPACES = {0xE0: 16, 0xEE: 14}  # JFIF without a thumbnail, Adobe
_OTHERS = {*range(0xE1, 0xF0), 0xFE}  # EXIF, profiles and the like; comments


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A square picture.

    Attributes:
        jpeg: RGB, S×S pixels, upright.
        notes: what was odd about the original and has been mended, e.g. ("CMYK", "enlarged").
    """

    jpeg: bytes
    notes: tuple[str, ...]


def prepare(encoded: bytes, size: int = SIZE, quality: int = QUALITY) -> Prepared:
    """Makes the shorter side `size` pixels and cuts out the central square (paper §2).

    Grey becomes RGB, CMYK and palettes are converted, transparency is dropped, 16 bits are scaled
    to 8, a turned photograph is made upright, a small one enlarged; each adds a note. "blemished"
    is a JPEG that libjpeg-turbo decodes but complains of, as when bits have flipped; only `fast.py`
    hears of it. An RGB JPEG that is such a square already is kept, as encoding it again could only
    harm it, without what is in it besides pixels; unless it has several scans, which is slow to
    read, or is larger than its pixels.

    Args:
        encoded: a picture in one of `picture.FORMATS`; the first of it, if it moves.
        size: S, pixels.
        quality: of the JPEG, 1 to 95.

    Raises:
        InvalidImage: it is none, or damaged, or too large.
        MemoryError: there is not enough memory, although it is not too large.
    """
    try:
        image = open_picture(encoded)
        odd = notes(image, encoded)
        small = ("enlarged",) if min(image.size) < size else ()
        width, height = image.size
        # A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, but not to less than 2 S: what is
        # left to the filter then hides how well the decoder averages, at a cost of 4 % in time.
        image.draft(image.mode, (2 * size, 2 * size))
        if not odd and (kept := _square_already(image, encoded, size)):
            image.load()  # is it whole?
            return Prepared(kept, ("kept",))
        jpeg = None
        many = max(image.width * image.height, len(encoded)) > _MANY
        if image.mode == "RGB" and not odd and not many:
            box = _scaled(central_box(width, height, size), (width, height), image.size)
            try:
                jpeg = prepare_jpeg(encoded, image.size, box, size, quality)
            except ValueError:
                odd = ("blemished",)  # unless Pillow finds that it is worse
        return Prepared(jpeg or _prepare_any(image, (width, height), size, quality), odd + small)
    except MemoryError:
        raise
    except Exception as error:  # whatever a decoder makes of a stranger's bytes
        raise InvalidImage(reason_of(error)) from None


def central_box(width: int, height: int, size: int) -> Box:
    """Where the square lies in the original: resized to a shorter side of S, then cut, in one step.

    Both roundings are those of the two steps: first of the longer side, then of the offset.
    """
    scale = size / min(width, height)
    resized = max(size, round(width * scale)), max(size, round(height * scale))
    left, top = (resized[0] - size) // 2, (resized[1] - size) // 2
    return _scaled((left, top, left + size, top + size), resized, (width, height))


def _scaled(box: Box, size: tuple[int, int], other: tuple[int, int]) -> Box:
    """A box in a picture of one size, as it lies in the same picture of another size."""
    x, y = other[0] / size[0], other[1] / size[1]
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y


def _square_already(image: Image.Image, encoded: bytes, size: int) -> bytes | None:
    """The JPEG's own pixels, where these are the square; None if they are not."""
    if (
        (format_of(image), image.mode, image.size) != ("JPEG", "RGB", (size, size))
        or not has_one_scan(image, encoded)
    ):  # fmt: skip
        return None
    kept = _bare(encoded)
    return kept if kept is not None and len(kept) <= 3 * size * size else None


def _bare(jpeg: bytes) -> bytes | None:
    """A JPEG of one scan without all that is no pixels; None if it is not built as usual.

    EXIF says where a photograph was taken; comments, profiles, thumbnails and what follows the end
    may hold anything.
    """
    parts, place = [jpeg[:2]], 2
    while jpeg[place] == _MARKER:
        kind, length = jpeg[place + 1], int.from_bytes(jpeg[place + 2 : place + 4], "big")
        if kind == _START_OF_SCAN:
            end = jpeg.find(_END, place + 2 + length)  # which no pixels contain
            return None if end < 0 else b"".join(parts) + jpeg[place : end + len(_END)]
        if kind in _COLOUR_SPACES:
            if length != _COLOUR_SPACES[kind]:
                return None  # there is more in it
            parts.append(jpeg[place : place + 2 + length])
        elif kind not in _OTHERS:
            parts.append(jpeg[place : place + 2 + length])
        place += 2 + length
    return None


def _prepare_any(image: Image.Image, original: tuple[int, int], size: int, quality: int) -> bytes:
    """With Pillow alone; `original` is the width and height before `draft`."""
    turn = UPRIGHT.get(orientation(image))
    image = _averageable(image)
    if turn is not None:
        turned = image.transpose(turn)
        if turned.size != image.size:
            original = original[::-1]
        image = turned
    box = _scaled(central_box(*original, size), original, image.size)
    gap = 2.0 if image.width * image.height > _MANY else None
    square = image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=gap)
    square = square.convert("RGB")
    square.info.clear()  # the original's comments and profiles
    buffer = io.BytesIO()
    square.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _averageable(image: Image.Image) -> Image.Image:
    """Decoded, in a mode whose values can be averaged and without alpha; RGB can wait."""
    image.load()
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 8; it does scale 3 × 16
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("L" if image.mode in _GREY else "RGB")
