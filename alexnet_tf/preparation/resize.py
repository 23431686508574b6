"""One image: encoded bytes to a square JPEG.

A pure function of its arguments, without TensorFlow. Two implementations agree to within 2 of 255,
or 54 dB (both round to 8 bits after each of two passes, but not alike):

The common case, an upright RGB JPEG, goes through libraries that use vector instructions, if they
are installed: simplejpeg decodes and encodes, with libjpeg-turbo as Pillow does, but a whole image
at a time; cykooz.resizer, which has no wheels for Linux on ARM, resizes four times faster.

Pillow reads every header and handles all other cases, because it detects damage best of the
decoders that were tried. OpenCV silently fills the missing part of a truncated file with grey.

Milliseconds for one of 200 photographs of ImageNet, 472×397 pixels on average, on one core of a
2.6 GHz AMD EPYC, as `tools/benchmark_preparation.py` measures them:

    a plain script with Pillow, bilinear                         3.5
    the same, bicubic                                            4.3
    this module                                                  2.3
    this module with Pillow alone                                3.1

The filter is a triangle that widens with the scale: Pillow's BILINEAR, and also TensorFlow's
antialiased bilinear resizing in `alexnet_tf.data.decode`. So the network sees the same image
whether a photograph was prepared or not. The filter of 2012 is not recorded. The author's script
of 2014 (cuda-convnet2, make-data/pyext/src/pyext.cpp) takes OpenCV's INTER_AREA to smaller and
INTER_CUBIC to larger images and writes JPEGs of quality 95. Caffe takes ImageMagick's -resize or
OpenCV's default, torchvision Pillow's bilinear filter.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io

import numpy as np
from PIL import Image

from alexnet_tf.data.image_checks import (
    UPRIGHT,
    InvalidImage,
    format_of,
    has_one_scan,
    notes,
    open_picture,
    orientation,
    reason_of,
)
from alexnet_tf.data.pillow_decoding import decode_pixels

try:
    import cykooz_resizer
    import simplejpeg
except ImportError:
    cykooz_resizer = simplejpeg = None

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels

SIZE = 256  # pixels: paper §2
QUALITY = 90  # of the JPEGs; the paper does not say, the author's script of 2014 has 95

# Images with more pixels or bytes are left to Pillow, which copies less and averages blocks first.
_LARGE = 2**22

# Markers of a JPEG's segments, and the usual length of the two that describe its channels.
_MARKER, _START_OF_SCAN, _END = 0xFF, 0xDA, b"\xff\xd9"
_COLOUR_SPACES = {0xE0: 16, 0xEE: 14}  # bytes; JFIF without a thumbnail, Adobe
_OTHERS = {*range(0xE1, 0xF0), 0xFE}  # EXIF, profiles and the like; comments


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A square image.

    Attributes:
        jpeg: RGB, S×S pixels, upright.
        notes: oddities of the original that were corrected, e.g. ("CMYK", "enlarged").
    """

    jpeg: bytes
    notes: tuple[str, ...]


def prepare(encoded: bytes, size: int = SIZE, quality: int = QUALITY) -> Prepared:
    """Makes the shorter side `size` pixels and cuts out the central square (paper §2).

    Grey becomes RGB, CMYK and palettes are converted, transparency is dropped, 16 bits are scaled
    to 8, a turned photograph is made upright, a small one enlarged; each adds a note. "blemished"
    is a JPEG that libjpeg-turbo decodes with a warning, as when bits have flipped; Pillow alone
    does not report these.

    An RGB JPEG that is such a square already is kept, as encoding it again could only harm it. Its
    metadata is removed. It is encoded again if it has several scans, which are slow to read, or is
    larger than its uncompressed pixels.

    Args:
        encoded: an image in one of `image_checks.FORMATS`; of an animation, the first frame.
        size: S, pixels.
        quality: JPEG quality, 1 to 95.

    Raises:
        InvalidImage: the bytes are not an image, or it is damaged or too large.
        MemoryError: there is not enough memory, although the image is not too large.
    """
    try:
        image = open_picture(encoded)
        odd = notes(image, encoded)
        small = ("enlarged",) if min(image.size) < size else ()
        width, height = image.size
        # A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, but not to less than 2 S: then
        # the filter hides how well the decoder averages. This costs 4 % in time.
        image.draft(image.mode, (2 * size, 2 * size))
        if not odd and (kept := _square_already(image, encoded, size)):
            image.load()  # fails for a truncated file
            return Prepared(kept, ("kept",))
        jpeg = None
        large = max(image.width * image.height, len(encoded)) > _LARGE
        if image.mode == "RGB" and not odd and not large:
            box = _scaled(central_box(width, height, size), (width, height), image.size)
            try:
                jpeg = prepare_jpeg(encoded, image.size, box, size, quality)
            except ValueError:
                odd = ("blemished",)  # unless Pillow refuses it
        return Prepared(jpeg or _prepare_any(image, (width, height), size, quality), odd + small)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise many kinds for damaged images
        raise InvalidImage(reason_of(error)) from None


def libraries() -> dict[str, str]:
    """Names and versions of the fast libraries; empty if they are not installed."""
    names = ("cykooz.resizer", "simplejpeg") if simplejpeg else ()
    return {name: importlib.metadata.version(name) for name in names}


def central_box(width: int, height: int, size: int) -> Box:
    """The central square in pixels of the original, so that resizing and cropping are one step.

    It rounds as two steps would: first the longer side, then the offset.
    """
    scale = size / min(width, height)
    resized = max(size, round(width * scale)), max(size, round(height * scale))
    left, top = (resized[0] - size) // 2, (resized[1] - size) // 2
    return _scaled((left, top, left + size, top + size), resized, (width, height))


def _scaled(box: Box, size: tuple[int, int], other: tuple[int, int]) -> Box:
    """Converts a box from pixels of an image at one size to pixels of it at another size."""
    x, y = other[0] / size[0], other[1] / size[1]
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y


def _square_already(image: Image.Image, encoded: bytes, size: int) -> bytes | None:
    """The JPEG without its metadata if it already has the right size; else None."""
    if (
        (format_of(image), image.mode, image.size) != ("JPEG", "RGB", (size, size))
        or not has_one_scan(image, encoded)
    ):  # fmt: skip
        return None
    kept = _strip_metadata(encoded)
    return kept if kept is not None and len(kept) <= 3 * size * size else None


def _strip_metadata(jpeg: bytes) -> bytes | None:
    """A JPEG of one scan without its metadata; None if its structure is unusual.

    EXIF says where a photograph was taken; comments, profiles, thumbnails and what follows the end
    may hold anything.
    """
    parts, start = [jpeg[:2]], 2
    while jpeg[start] == _MARKER:
        kind, length = jpeg[start + 1], int.from_bytes(jpeg[start + 2 : start + 4], "big")
        if kind == _START_OF_SCAN:
            end = jpeg.find(_END, start + 2 + length)  # pixel data never contain it
            return None if end < 0 else b"".join(parts) + jpeg[start : end + len(_END)]
        if kind in _COLOUR_SPACES:
            if length != _COLOUR_SPACES[kind]:
                return None  # it holds something else
            parts.append(jpeg[start : start + 2 + length])
        elif kind not in _OTHERS:
            parts.append(jpeg[start : start + 2 + length])
        start += 2 + length
    return None


def prepare_jpeg(
    encoded: bytes, shape: tuple[int, int], box: Box, size: int, quality: int
) -> bytes | None:
    """Decodes a JPEG, resizes a part of it and encodes the result.

    Args:
        encoded: an RGB JPEG.
        shape: width and height to decode to: its own, or these divided by 2, 4 or 8, rounded up.
        box: the part, in pixels of `shape`.
        size: S, pixels of the result.
        quality: JPEG quality, 1 to 95.

    Returns:
        A JPEG of S×S pixels; None if the libraries are not installed.

    Raises:
        ValueError: libjpeg-turbo warns about the original, even if it decodes it.
    """
    if simplejpeg is None:
        return None
    width, height = shape
    pixels = simplejpeg.decode_jpeg(encoded, "RGBX", min_width=width, min_height=height)
    if pixels.shape != (height, width, 4):
        raise ValueError(f"Expected {shape} pixels. Received: {pixels.shape}")
    square = _resize(pixels, box, size)  # [S, S, 4]
    return simplejpeg.encode_jpeg(
        square, quality, colorspace="RGBX", colorsubsampling="420", fastdct=False
    )


def _resize(pixels: np.ndarray, box: Box, size: int) -> np.ndarray:
    """Resizes uint8 [H, W, 4] to [S, S, 4] with a triangle filter that widens with the scale."""
    left, top, right, bottom = box
    height, width, _ = pixels.shape
    kind = cykooz_resizer.PixelType.U8x4
    source = cykooz_resizer.ImageData(width, height, kind, pixels.tobytes())
    target = cykooz_resizer.ImageData(size, size, kind)
    options = cykooz_resizer.ResizeOptions(
        resize_alg=cykooz_resizer.ResizeAlg.convolution(cykooz_resizer.FilterType.bilinear),
        crop_box=cykooz_resizer.CropBox(left, top, right - left, bottom - top),
        use_alpha=False,
    )
    cykooz_resizer.Resizer().resize(source, target, options)
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(size, size, 4)


def _prepare_any(image: Image.Image, original: tuple[int, int], size: int, quality: int) -> bytes:
    """Prepares any image with Pillow; `original` is the width and height before `draft`."""
    turn = UPRIGHT.get(orientation(image))
    image = decode_pixels(image)
    if turn is not None:
        turned = image.transpose(turn)
        if turned.size != image.size:
            original = original[::-1]
        image = turned
    box = _scaled(central_box(*original, size), original, image.size)
    gap = 2.0 if image.width * image.height > _LARGE else None
    square = image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=gap)
    square = square.convert("RGB")
    square.info.clear()  # the original's comments and profiles
    buffer = io.BytesIO()
    square.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
