"""What it would take to decode an image, read from its bytes before anything decodes them.

A decoder does as it is told: a small PNG may be of very many pixels, a JPEG may pass over its
pixels a million times, a GIF may have any number of frames. What cannot be told how much it would
take is not decoded. No decoder is asked, as two of them need not agree about damaged files.
"""

from __future__ import annotations

import re
import struct

from alexnet_tf.data.limits import MAX_PIXELS, MAX_PIXELS_TIMES_SCANS, MAX_WHOLE_PIXELS

# JPEG: 0xFF, as often as one likes, and a byte that says which marker it is.
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_SEGMENTS = 10_000  # before the frame; cameras write a dozen
_START_OF_SCAN = b"\xff\xda"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a segment
_END = frozenset((0xD9, 0xDA))  # of the image, or of its header
_MIN_SCAN = 10_000  # pixels; a scan of fewer takes as long as one of so many

_GIF_BLOCKS = 100_000  # 255 bytes each, if they are full


def pixels_of(encoded: bytes) -> int | None:
    """The pixels that decoding an image would take, as its header has them.

    Args:
        encoded: JPEG, PNG, GIF or BMP.

    Returns:
        How many, of all frames of a GIF; None if it is no such image or takes too much.
    """
    try:
        if encoded.startswith(b"\xff\xd8\xff"):
            return _within(_jpeg(encoded), MAX_PIXELS)
        if encoded.startswith(b"\x89PNG\r\n\x1a\n"):
            return _within(_product(*struct.unpack_from(">II", encoded, 16)), MAX_WHOLE_PIXELS)
        if encoded.startswith((b"GIF87a", b"GIF89a")):
            return _within(_gif(encoded), MAX_PIXELS)
        if encoded.startswith(b"BM"):  # rows run downwards where the height is negative
            return _within(_product(*struct.unpack_from("<ii", encoded, 18)), MAX_WHOLE_PIXELS)
    except (struct.error, IndexError):  # it ends before it says
        pass
    return None


def _within(pixels: int, most: int) -> int | None:
    return pixels if 0 < pixels <= most else None


def _product(width: int, height: int) -> int:
    return abs(width) * abs(height)


def _jpeg(encoded: bytes) -> int:
    """The pixels of the frame; 0 if there is none, or it has too many scans."""
    place = 2
    for _ in range(_SEGMENTS):
        marker = _MARKER.search(encoded, place)
        if marker is None or marker[1][0] in _END:
            break
        kind, place = marker[1][0], marker.end()
        if kind in _FRAMES:
            height, width = struct.unpack_from(">HH", encoded, place + 3)
            # Also those of what follows this picture, as cameras append others: a few too many.
            scans = encoded.count(_START_OF_SCAN, place)
            too_many = scans * max(width * height, _MIN_SCAN) > MAX_PIXELS_TIMES_SCANS
            return 0 if too_many else width * height
        if kind not in _ALONE:
            place += struct.unpack_from(">H", encoded, place)[0]
    return 0


def _gif(encoded: bytes) -> int:
    """The pixels of the screen and of all frames; 0 if there are too many blocks."""
    width, height, flags = struct.unpack_from("<HHB", encoded, 6)
    pixels = width * height
    place, blocks = 13 + _colours(flags), 0
    while place < len(encoded) and blocks <= _GIF_BLOCKS:
        kind = encoded[place]
        if kind == 0x2C:  # a frame
            width, height, flags = struct.unpack_from("<HHB", encoded, place + 5)
            pixels += width * height
            place += 11 + _colours(flags)
        elif kind == 0x21:  # an extension
            place += 2
        else:  # the end, or no GIF from here on
            break
        while place < len(encoded) and encoded[place] and blocks <= _GIF_BLOCKS:
            place += 1 + encoded[place]
            blocks += 1
        place += 1
        blocks += 1
    return pixels if blocks <= _GIF_BLOCKS else 0


def _colours(flags: int) -> int:
    """Bytes of the table of colours that flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
