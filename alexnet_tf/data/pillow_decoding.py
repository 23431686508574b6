"""Images as Pillow decodes them, for preparation, and for what TensorFlow cannot read.

TensorFlow's graphs read JPEG, PNG and the common kinds of GIF and BMP; `graph_checks.py` refuses
the others. A SavedModel can do no more. Where Python runs, `to_bmp` converts what they refuse, so
that training, evaluation and prediction read every image that preparation reads. No TensorFlow is
imported here.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from alexnet_tf.data.image_checks import UPRIGHT, open_picture, orientation

_GREY = ("1", "LA")
_MAX_PIXELS = 3_000_000  # of a BMP: 9 MB, of which a server accepts a request


def decode_pixels(image: Image.Image) -> Image.Image:
    """Decodes into a mode without palette and alpha; conversion to RGB can follow resizing.

    Args:
        image: an image of which only the header has been read.

    Returns:
        An image of mode "L", "RGB" or "CMYK", upright or not.
    """
    image.load()
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    if image.mode.startswith("I"):  # Pillow would clip 16 bits to 8; it scales only 3 × 16 bits
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("L" if image.mode in _GREY else "RGB")


def to_bmp(encoded: bytes) -> bytes:
    """An image as a BMP that TensorFlow reads, upright; empty if Pillow cannot read it either.

    An image of more than 3 million pixels is made smaller by a whole number.

    Args:
        encoded: an image in one of `image_checks.FORMATS`; of an animation, the first frame.
    """
    try:
        image = open_picture(encoded)
        turn = UPRIGHT.get(orientation(image))
        factor = math.ceil(math.sqrt(image.width * image.height / _MAX_PIXELS))
        image.draft(image.mode, (image.width // factor, image.height // factor))  # of a JPEG
        image = decode_pixels(image)
        factor = math.ceil(math.sqrt(image.width * image.height / _MAX_PIXELS))
        image = image.reduce(factor) if factor > 1 else image
        image = image.convert("RGB")
        image = image if turn is None else image.transpose(turn)
        image.info.clear()
        buffer = io.BytesIO()
        image.save(buffer, "BMP")
        return buffer.getvalue()
    except Exception:  # decoders raise all kinds for damaged bytes
        return b""
