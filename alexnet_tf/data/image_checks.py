"""Checks of encoded images in Python: what they are, and whether it is safe to decode them.

`examine` and `open_picture` ask Pillow; `pixels_to_decode` reads nothing but headers, and asks no
decoder. No TensorFlow is imported here, so worker processes and the server can use it. Any bytes
get an answer within 2 seconds and 1 GB: limits are checked before anything is decoded.
"""

from __future__ import annotations

import dataclasses
import io
import re
import struct
import warnings

from PIL import Image, ImageFile, WebPImagePlugin  # noqa: F401  # which Pillow loads only if asked

from alexnet_tf.data.limits import (
    MAX_BYTES,
    MAX_PIXELS,
    MAX_PIXELS_TIMES_SCANS,
    MAX_WHOLE_PIXELS,
    MIN_SCAN_PIXELS,
)

# Pillow's other formats are little tested.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")

MAX_READS = 100_000  # a file of a million tiny pieces would keep Pillow's parsers busy for minutes
MAX_EXIF = 2**16  # bytes; each entry may claim all of them, and Pillow copies them for each

# TIFF holds any numbers. Floats, 12 and 32 bits have no known range, and Pillow would clip them.
_TIFF_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B")
_TIFF_BITS = frozenset((1, 2, 4, 8, 16))  # of a channel
_TIFF_NUMBERS = 100_000  # of an entry: such as the places of the rows
_TIFF_SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # bytes of a number
_TIFF_STARTS = {b"II*\0": "<", b"MM\0*": ">"}
_BITS_PER_SAMPLE, _TILE_WIDTH, _TILE_LENGTH = 258, 322, 323  # entries

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

# JPEG: 0xFF, any number of times, and a byte that says which marker it is.
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_SEGMENTS = 10_000  # before the frame; cameras write a dozen
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a segment
_END = frozenset((0xD9, 0xDA))  # of the image, or of its header
_GIF_BLOCKS = 100_000  # 255 bytes each, if they are full

# Pillow's warnings about strange files; our notes and reasons say the same.
warnings.filterwarnings("ignore", module=r"PIL\.")


class InvalidImage(Exception):  # noqa: N818  # a result rather than an error
    """An image that cannot be used.

    The reason: "empty", "no image", "too large", "truncated", "damaged", "unknown kind of pixels".
    """


@dataclasses.dataclass(frozen=True)
class ImageInfo:
    """The properties of an encoded image.

    Attributes:
        format: one of `FORMATS`, or "" if it is none.
        mode: Pillow's name for the kind of pixels, e.g. "RGB", "L", "CMYK", "I;16".
        width, height: pixels; 0 if unknown.
        notes: unusual properties; see `notes`.
        reason: why it cannot be used, as in `InvalidImage`; None if it can.
    """

    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()
    reason: str | None = None


def read_file(path: str) -> bytes:
    """A file's bytes, or as many of them as `examine` needs to find it too large.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def examine(encoded: bytes) -> ImageInfo:
    """The properties of an encoded image, which is parsed to its end; never raises."""
    info = ImageInfo()
    try:
        image = _read_header(encoded)
        info = ImageInfo(format_of(image), image.mode, *image.size, notes=notes(image, encoded))
        _refuse_too_large(image, encoded)
        image.draft(image.mode, (1, 1))  # a JPEG as small as possible; all of it is still parsed
        image.load()
        return info
    except Exception as error:  # decoders raise all kinds for damaged bytes
        return dataclasses.replace(info, reason=reason_of(error))


def open_picture(encoded: bytes) -> ImageFile.ImageFile:
    """Reads the header, and refuses an image that would take too much time or memory to decode.

    Raises:
        InvalidImage: it would, or the bytes are empty.
        Exception: of any kind, from Pillow; `reason_of` translates it.
    """
    image = _read_header(encoded)
    _refuse_too_large(image, encoded)
    return image


def format_of(image: Image.Image) -> str:
    """One of `FORMATS`: an MPO is a JPEG with a second one after it."""
    return "JPEG" if image.format == "MPO" else str(image.format)


def notes(image: Image.Image, encoded: bytes) -> tuple[str, ...]:
    """Unusual properties of an image, from its header, e.g. ("PNG", "16-bit")."""
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
    """How the camera was held, from EXIF: a key of `UPRIGHT`, or any other number if upright."""
    if not 0 < len(image.info.get("exif", b"")) <= MAX_EXIF:
        return 1
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF does not make an image unusable
        return 1


def reason_of(error: Exception) -> str:
    """The reason, as in `InvalidImage`, for an exception from opening or decoding an image."""
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
        """Like BytesIO's, but raises after too many calls."""
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
    if order := _TIFF_STARTS.get(encoded[:4]):
        _check_tiff_entries(encoded, order)
    return Image.open(_Pieces(encoded), formats=FORMATS)


def _refuse_too_large(image: ImageFile.ImageFile, encoded: bytes) -> None:
    pixels = image.width * image.height
    if image.format == "TIFF":
        _check_tiff(image)
    if format_of(image) != "JPEG":
        too_large = pixels > MAX_WHOLE_PIXELS
    else:
        too_large = pixels > MAX_PIXELS or (
            not has_one_scan(image, encoded)
            # Thumbnails have scans of their own, so this may be a few too many.
            and _too_many_scans(pixels, encoded.count(_START_OF_SCAN))
        )
    if too_large:
        raise InvalidImage("too large")


def _check_tiff_entries(encoded: bytes, order: str) -> None:
    """Refuses entries that claim more than the file holds: Pillow would copy all of them."""
    (start,) = struct.unpack_from(order + "I", encoded, 4)
    (entries,) = struct.unpack_from(order + "H", encoded, start)
    claimed = 0
    for entry in range(entries):
        kind, count = struct.unpack_from(order + "HI", encoded, start + 4 + 12 * entry)
        claimed += count * _TIFF_SIZES.get(kind, 1)
        if claimed > len(encoded) or (kind in _TIFF_SIZES and count > _TIFF_NUMBERS):
            raise InvalidImage("damaged")


def _check_tiff(image: ImageFile.ImageFile) -> None:
    """Refuses kinds of pixels without a known range, and tiles larger than an image may be."""
    bits = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))
    if image.mode not in _TIFF_MODES or not _TIFF_BITS.issuperset(bits):
        raise InvalidImage("unknown kind of pixels")
    if image.tag_v2.get(_TILE_WIDTH, 1) * image.tag_v2.get(_TILE_LENGTH, 1) > MAX_WHOLE_PIXELS:
        raise InvalidImage("too large")


def has_one_scan(image: ImageFile.ImageFile, encoded: bytes) -> bool:
    """Whether a JPEG's header, which Pillow has read, ends in the only scan, of all channels."""
    channels = len(image.getbands())
    scan = _START_OF_SCAN + bytes([0, 6 + 2 * channels, channels])
    start = image.fp.tell() - 8 - 2 * channels
    return "progressive" not in image.info and encoded.startswith(scan, start)


def pixels_to_decode(encoded: bytes) -> int | None:
    """The pixels that decoding an image would take, as its headers say.

    No decoder is asked, as two of them need not agree about damaged files. An image whose cost
    cannot be told is refused.

    Args:
        encoded: JPEG, PNG, GIF or BMP.

    Returns:
        How many, of all frames of a GIF; None if the bytes are no such image, or take too much.
    """
    try:
        if encoded.startswith(b"\xff\xd8\xff"):
            return _within(_jpeg_pixels(encoded), MAX_PIXELS)
        if encoded.startswith(b"\x89PNG\r\n\x1a\n"):
            return _within(_area(*struct.unpack_from(">II", encoded, 16)), MAX_WHOLE_PIXELS)
        if encoded.startswith((b"GIF87a", b"GIF89a")):
            return _within(_gif_pixels(encoded), MAX_PIXELS)
        if encoded.startswith(b"BM"):  # rows run downwards where the height is negative
            return _within(_area(*struct.unpack_from("<ii", encoded, 18)), MAX_WHOLE_PIXELS)
    except (struct.error, IndexError):  # it ends within its headers
        pass
    return None


def _within(pixels: int, limit: int) -> int | None:
    return pixels if 0 < pixels <= limit else None


def _area(width: int, height: int) -> int:
    return abs(width) * abs(height)


def _too_many_scans(pixels: int, scans: int) -> bool:
    return scans * max(pixels, MIN_SCAN_PIXELS) > MAX_PIXELS_TIMES_SCANS


def _jpeg_pixels(encoded: bytes) -> int:
    """The pixels of the frame; 0 if there is none, or it has too many scans."""
    at = 2
    for _ in range(_SEGMENTS):
        marker = _MARKER.search(encoded, at)
        if marker is None or marker[1][0] in _END:
            break
        kind, at = marker[1][0], marker.end()
        if kind in _FRAMES:
            height, width = struct.unpack_from(">HH", encoded, at + 3)
            # Also the scans of other images that cameras append: a few too many.
            too_many = _too_many_scans(width * height, encoded.count(_START_OF_SCAN, at))
            return 0 if too_many else width * height
        if kind not in _ALONE:
            at += struct.unpack_from(">H", encoded, at)[0]
    return 0


def _gif_pixels(encoded: bytes) -> int:
    """The pixels of the screen and of all frames; 0 if there are too many blocks."""
    width, height, flags = struct.unpack_from("<HHB", encoded, 6)
    pixels = width * height
    at, blocks = 13 + _palette_bytes(flags), 0
    while at < len(encoded) and blocks <= _GIF_BLOCKS:
        kind = encoded[at]
        if kind == 0x2C:  # a frame
            width, height, flags = struct.unpack_from("<HHB", encoded, at + 5)
            pixels += width * height
            at += 11 + _palette_bytes(flags)
        elif kind == 0x21:  # an extension
            at += 2
        else:  # the end, or no GIF from here on
            break
        while at < len(encoded) and encoded[at] and blocks <= _GIF_BLOCKS:
            at += 1 + encoded[at]
            blocks += 1
        at += 1
        blocks += 1
    return pixels if blocks <= _GIF_BLOCKS else 0


def _palette_bytes(flags: int) -> int:
    """The size of the palette that a header's byte of flags announces."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
