"""The common case by vector instructions: an upright JPEG in RGB, from bytes to bytes.

simplejpeg decodes and encodes, with libjpeg-turbo as Pillow does, but a whole picture at a time;
cykooz.resizer resizes four times faster than Pillow. Each takes plain bytes and keeps its memory to
itself. Neither is needed: where one is missing, as cykooz.resizer's wheel is for Linux on ARM, and
for a picture that is odd or damaged, Pillow does the work. Their pixels agree to within 2 of 255,
or 54 dB, as both round to 8 bits after each of two passes, but not alike.
"""

from __future__ import annotations

import importlib.metadata

import numpy as np

try:
    import cykooz_resizer
    import simplejpeg
except ImportError:
    cykooz_resizer = simplejpeg = None

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels


def libraries() -> dict[str, str]:
    """Names and versions of what does the work here; empty if Pillow does."""
    names = ("cykooz.resizer", "simplejpeg") if simplejpeg else ()
    return {name: importlib.metadata.version(name) for name in names}


def prepare_jpeg(
    encoded: bytes, shape: tuple[int, int], box: Box, size: int, quality: int
) -> bytes | None:
    """Decodes a JPEG, resizes a part of it and encodes that.

    Args:
        encoded: a JPEG in RGB.
        shape: width and height to decode it to: its own, or these by 2, 4 or 8, rounded up.
        box: which part, in pixels of `shape`.
        size: S, pixels of the result.
        quality: of the result, 1 to 95.

    Returns:
        A JPEG of S×S pixels; None if the libraries are not there.

    Raises:
        ValueError: libjpeg-turbo complains of the original, even if it would go on all the same.
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
    """uint8 [H, W, 4] to [S, S, 4], by a triangle that widens with the scale."""
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
