"""What encoded bytes are, and whether it is safe to decode them.

No TensorFlow is imported here, so that anything may ask. Any bytes whatsoever get an answer within
2 seconds and 1 GB: limits are checked before anything is decoded, on what the decoder would do.
"""

from __future__ import annotations

import dataclasses
import io
import warnings

from PIL import Image, ImageFile, WebPImagePlugin  # noqa: F401  # which Pillow loads only if asked

from alexnet_tf.data.limits import (
    MAX_BYTES,
    MAX_PIXELS,
    MAX_PIXELS_TIMES_SCANS,
    MAX_WHOLE_PIXELS,
)

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")  # what else Pillow reads, few have ever tested

MAX_READS = 100_000  # a file of a million tiny pieces would keep Pillow's parsers busy for minutes
MAX_EXIF = 2**16  # bytes; each of its entries may claim all of them, and Pillow copies them for it

_EXIF = b"Exif\0\0"
_START_OF_SCAN = b"\xff\xda"
_DEPTH = 24  # a PNG's byte that says how many bits a channel has
_GREY = ("1", "L", "LA")
_ORIENTATION = 0x0112  # EXIF: how the camera was held
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow has to say of strange files, our notes and reasons say.
warnings.filterwarnings("ignore", module=r"PIL\.")


class InvalidImage(Exception):  # noqa: N818  # a result rather than an error
    """A picture that cannot be used: "empty", "no image", "too large", "truncated", "damaged"."""


@dataclasses.dataclass(frozen=True)
class ImageInfo:
    """What encoded bytes are.

    Attributes:
        format: one of `FORMATS`, or "" if they are none.
        mode: Pillow's name for the kind of pixels, e.g. "RGB", "L", "CMYK", "I;16".
        width, height: pixels; 0 if that is unknown.
        notes: what is odd about them; see `notes`.
        reason: why they cannot be used, as in `InvalidImage`; None if they can.
    """

    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()
    reason: str | None = None


def read_file(path: str) -> bytes:
    """A file's bytes, or so many of them that `examine` finds it too large.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def examine(encoded: bytes) -> ImageInfo:
    """Says what bytes are, reading them to the end; never raises."""
    facts = ImageInfo()
    try:
        image = _read_header(encoded)
        facts = ImageInfo(format_of(image), image.mode, *image.size, notes=notes(image, encoded))
        _refuse_too_large(image, encoded)
        image.draft(image.mode, (1, 1))  # as small as a JPEG gets: all of it is parsed still
        image.load()
        return facts
    except Exception as error:  # whatever a decoder makes of a stranger's bytes
        return dataclasses.replace(facts, reason=reason_of(error))


def open_picture(encoded: bytes) -> ImageFile.ImageFile:
    """Reads the header, and refuses what would take too much time or memory to decode.

    Raises:
        InvalidImage: it would, or there is nothing.
        Exception: of any kind, from Pillow; `reason_of` knows what it means.
    """
    image = _read_header(encoded)
    _refuse_too_large(image, encoded)
    return image


def format_of(image: Image.Image) -> str:
    """One of `FORMATS`: an MPO is a JPEG with a second one behind it."""
    return "JPEG" if image.format == "MPO" else str(image.format)


def notes(image: Image.Image, encoded: bytes) -> tuple[str, ...]:
    """What is odd about a picture whose header has been read, e.g. ("PNG", "16-bit")."""
    odd = {
        format_of(image): format_of(image) != "JPEG",
        "CMYK": image.mode == "CMYK",
        "grey": image.mode in _GREY or image.mode.startswith("I"),
        "palette": image.mode == "P",
        "alpha": image.mode.endswith("A") or "transparency" in image.info,
        "16-bit": image.format == "PNG" and encoded[_DEPTH] == 16,
        "rotated": orientation(image) in UPRIGHT,
    }
    return tuple(note for note, holds in odd.items() if holds)


def orientation(image: Image.Image) -> int:
    """How the camera was held, as EXIF has it: a key of `UPRIGHT`, or else upright."""
    if not 0 < len(image.info.get("exif", b"")) <= MAX_EXIF:
        return 1
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF does not make a picture unusable
        return 1


def reason_of(error: Exception) -> str:
    """What an exception from opening or decoding a picture says about it, as in `InvalidImage`."""
    if isinstance(error, InvalidImage):
        return str(error)
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image"
    if isinstance(error, (Image.DecompressionBombError, MemoryError)):
        return "too large"
    return "truncated" if "truncated" in str(error).lower() else "damaged"


class _Pieces(io.BytesIO):
    """A file in memory that can be read in a limited number of pieces."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As of BytesIO; refuses once there were too many."""
        self.reads += 1
        if self.reads > MAX_READS:
            raise InvalidImage("damaged")
        return super().read(size)


def _read_header(encoded: bytes) -> ImageFile.ImageFile:
    if not encoded:
        raise InvalidImage("empty")
    if len(encoded) > MAX_BYTES:
        raise InvalidImage("too large")
    if len(encoded) > MAX_EXIF and encoded.count(_EXIF) > 1:
        # A JPEG's EXIF in several segments, which Pillow would join and read at once: left unread.
        encoded = encoded.replace(_EXIF, bytes(len(_EXIF)))
    return Image.open(_Pieces(encoded), formats=FORMATS)


def _refuse_too_large(image: ImageFile.ImageFile, encoded: bytes) -> None:
    pixels = image.width * image.height
    if format_of(image) != "JPEG":
        too_large = pixels > MAX_WHOLE_PIXELS
    else:
        too_large = pixels > MAX_PIXELS or (
            not has_one_scan(image, encoded)
            # Thumbnails have scans of their own, so this may be a few too many.
            and pixels * encoded.count(_START_OF_SCAN) > MAX_PIXELS_TIMES_SCANS
        )
    if too_large:
        raise InvalidImage("too large")


def has_one_scan(image: ImageFile.ImageFile, encoded: bytes) -> bool:
    """Whether the header that Pillow has read ends in a scan of all channels, for good."""
    channels = len(image.getbands())
    scan = _START_OF_SCAN + bytes([0, 6 + 2 * channels, channels])
    start = image.fp.tell() - 8 - 2 * channels
    return "progressive" not in image.info and encoded.startswith(scan, start)
