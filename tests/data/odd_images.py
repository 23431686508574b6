"""Images of every kind of each format, made by hand where Pillow writes only one kind."""

import functools
import struct
import zlib

import numpy as np
from PIL import Image

from tests.preparation.pictures import encode, photo, png_chunk

WIDTH, HEIGHT = 37, 29  # so that rows of no kind of BMP end at a multiple of 4 bytes
BGR = (0xFF0000, 0xFF00, 0xFF)  # masks of red, green and blue


def bmp(bits, rows, palette=b"", header=40, compression=0, masks=(), height=HEIGHT, gap=0):
    """A BMP of WIDTH pixels.

    Args:
        bits: of a pixel.
        rows: uint8 or uint16 [H, ...], from the bottom, or encoded.
        palette: bytes of it.
        header: its size, bytes.
        compression: its number.
        masks: of red, green and blue, and perhaps alpha.
        height: negative if rows run downwards.
        gap: bytes before the rows.
    """
    if not isinstance(rows, bytes):
        rows = b"".join(row.tobytes() + bytes(-row.nbytes % 4) for row in rows)
    if header == 12:
        head = struct.pack("<IHHHH", 12, WIDTH, height, 1, bits)
    else:
        colours = len(palette) // 4
        head = struct.pack(
            "<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, 0, 0, 0, colours, 0
        )
        head += struct.pack(f"<{len(masks)}I", *masks)
        head = head.ljust(header, b"\0")
    start = 14 + len(head) + len(palette) + gap
    return (
        b"BM"
        + struct.pack("<IHHI", start + len(rows), 0, 0, start)
        + head
        + palette
        + (bytes(gap) + rows)
    )


def png(colour, depth, rows, *chunks, interlaced=0):
    """A PNG of WIDTH × HEIGHT pixels; `rows`: arrays whose bytes are the rows."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, interlaced)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = ((b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def packed(indices, bits):
    """uint8 [H, W] of small numbers to several of them in a byte."""
    per = 8 // bits
    wide = np.pad(indices, [(0, 0), (0, -indices.shape[1] % per)]).astype(np.uint8)
    shifted = [wide[:, i::per] << (8 - bits * (i + 1)) for i in range(per)]
    return functools.reduce(np.bitwise_or, shifted)


def runs(indices, shift=0):
    """Rows of a BMP, compressed by run lengths (RLE8; RLE4 with shift 4)."""
    rows = [b"".join(bytes([1, value << shift]) for value in row) for row in indices.tolist()]
    return b"\0\0".join(rows) + b"\0\0\0\1"


def palette_of(colours):
    """Indices uint8 [H, W] of the picture in so many colours, and these: uint8 [colours, 3]."""
    image = photo(3, WIDTH, HEIGHT).quantize(colours)
    palette = np.zeros((colours, 3), np.uint8)
    found = np.array(image.getpalette(), np.uint8).reshape(-1, 3)[:colours]
    palette[: len(found)] = found
    return np.asarray(image), palette


def bgr0(palette):
    """A BMP's palette."""
    return np.pad(palette[:, ::-1], [(0, 0), (0, 1)]).tobytes()


def bmps():
    """Name to bytes."""
    rgb = np.asarray(photo(3, WIDTH, HEIGHT))[::-1]  # from the bottom
    bgr, alpha = rgb[..., ::-1], np.full((HEIGHT, WIDTH, 1), 128, np.uint8)
    bgra, rgba = np.concatenate([bgr, alpha], 2), np.concatenate([rgb, alpha], 2)
    argb = np.concatenate([alpha, bgr], 2)
    wide = rgb.astype(np.uint16)
    red, green, blue = (wide[..., channel] for channel in range(3))
    (i1, p1), (i4, p4), (i8, p8) = (palette_of(colours) for colours in (2, 16, 200))
    i1, i4, i8 = i1[::-1], i4[::-1], i8[::-1]
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    return {
        "bmp 1": bmp(1, packed(i1, 1), bgr0(p1)),
        "bmp 4": bmp(4, packed(i4, 4), bgr0(p4)),
        "bmp 8": bmp(8, i8, bgr0(p8)),
        "bmp 8 grey": bmp(8, rgb[..., 1], bgr0(grey)),
        "bmp 8 grey backwards": bmp(8, rgb[..., 1], bgr0(grey[::-1])),
        "bmp 8 rle": bmp(8, runs(i8), bgr0(p8), compression=1),
        "bmp 4 rle": bmp(4, runs(i4, 4), bgr0(p4), compression=2),
        "bmp 16": bmp(16, (red >> 3 << 10) | (green >> 3 << 5) | blue >> 3),
        "bmp 16 masks": bmp(
            16, (red >> 3 << 11) | (green >> 2 << 5) | blue >> 3, compression=3,
            masks=(0xF800, 0x7E0, 0x1F), header=56,
        ),
        "bmp 24": bmp(24, bgr),
        "bmp 24 downwards": bmp(24, bgr[::-1], height=-HEIGHT),
        "bmp 24 gap": bmp(24, bgr, gap=50),
        "bmp 24 palette": bmp(24, bgr, bgr0(p4)),
        "bmp 24 v5": bmp(24, bgr, header=124),
        "bmp 24 os2": bmp(24, bgr, header=12),
        "bmp 24 os2 v2": bmp(24, bgr, header=64),
        "bmp 24 rle": bmp(24, bgr, header=64, compression=4),
        "bmp 24 masks": bmp(24, bgr, compression=3, masks=BGR, header=52),
        "bmp 8 os2": bmp(8, i8, np.pad(p8[:, ::-1], [(0, 56), (0, 0)]).tobytes(), header=12),
        "bmp 32": bmp(32, bgra),
        "bmp 32 masks": bmp(32, bgra, compression=3, masks=BGR, header=52),
        "bmp 32 rgba": bmp(
            32, rgba, compression=3, masks=(*BGR[::-1], 0xFF000000), header=108
        ),
        "bmp 32 argb": bmp(
            32, argb, compression=3, masks=(0xFF000000, 0xFF0000, 0xFF00), header=52
        ),
        "bmp 32 ten bits": bmp(
            32, bgra, compression=3, masks=(0x3FF00000, 0xFFC00, 0x3FF), header=52
        ),
    }  # fmt: skip


def pngs():
    """Name to bytes."""
    rgb = np.asarray(photo(3, WIDTH, HEIGHT))
    grey = rgb[..., 1]
    clear = np.tile(np.arange(WIDTH, dtype=np.uint8)[None, :, None] * 6, (HEIGHT, 1, 1))
    rgba, grey_alpha = np.concatenate([rgb, clear], 2), np.concatenate([grey[..., None], clear], 2)

    def deep(values):
        return (values.astype(np.uint16) * 256 + 200).astype(">u2")

    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
    passes += ((0, 1, 1, 2),)
    lines = [row for x, y, across, down in passes for row in rgb[y::down, x::across]]
    found = {
        "png": png(2, 8, rgb),
        "png 16": png(2, 16, deep(rgb)),
        "png alpha": png(6, 8, rgba),
        "png alpha 16": png(6, 16, deep(rgba)),
        "png grey alpha": png(4, 8, grey_alpha),
        "png grey alpha 16": png(4, 16, deep(grey_alpha)),
        "png grey 16": png(0, 16, deep(grey)),
        "png transparent colour": png(2, 8, rgb, (b"tRNS", struct.pack(">3H", *rgb[0, 0]))),
        "png background": png(6, 8, rgba, (b"bKGD", struct.pack(">3H", 255, 0, 0))),
        "png gamma": png(2, 8, rgb, (b"gAMA", struct.pack(">I", 22_000))),
        "png interlaced": png(2, 8, lines, interlaced=1),
        "png animated": encode(
            photo(3, WIDTH, HEIGHT), "PNG", save_all=True, append_images=[photo(5, WIDTH, HEIGHT)]
        ),
    }
    for bits in (1, 2, 4, 8):
        indices, palette = palette_of(min(2**bits, 200))
        plte, clear = (b"PLTE", palette.tobytes()), (b"tRNS", bytes(range(len(palette))))
        found[f"png palette {bits}"] = png(3, bits, packed(indices, bits), plte, clear)
        found[f"png grey {bits}"] = png(0, bits, packed(grey >> (8 - bits), bits))
    return found


def gifs():
    """Name to bytes."""
    image, other = photo(3, WIDTH, HEIGHT).quantize(64), photo(5, WIDTH, HEIGHT)
    whole = encode(image, "GIF")

    def on_screen(encoded, width, height, left, top):
        changed = bytearray(encoded)
        changed[6:10] = struct.pack("<HH", width, height)
        frame = changed.index(b"\x2c\0\0\0\0") + 1
        changed[frame : frame + 4] = struct.pack("<HH", left, top)
        return bytes(changed)

    clear = encode(image, "GIF", transparency=5)
    return {
        "gif": whole,
        "gif 87": b"GIF87a" + whole[6:],
        "gif black and white": encode(image.convert("1"), "GIF"),
        "gif interlaced": encode(image, "GIF", interlace=1),
        "gif animated": encode(image, "GIF", save_all=True, append_images=[other]),
        "gif transparent": clear,
        "gif of a part": on_screen(whole, 50, 40, 5, 6),
        "gif of a transparent part": on_screen(clear, 50, 40, 0, 0),
        "gif beyond its screen": on_screen(whole, 20, 20, 5, 6),
        "gif without a screen": on_screen(whole, 0, 0, 0, 0),
    }


def jpegs():
    """Name to bytes."""
    image = photo(3, WIDTH, HEIGHT)
    plain, cmyk = encode(image), encode(image.convert("CMYK"))
    adobe = cmyk.index(b"Adobe")
    ycck = bytearray(cmyk)
    ycck[adobe + 11] = 2
    frame = plain.index(b"\xff\xc0")

    def of_kind(marker, bits=8):
        changed = bytearray(plain)
        changed[frame + 1], changed[frame + 4] = marker, bits
        return bytes(changed)

    return {
        "jpeg": plain,
        "jpeg grey": encode(image.convert("L")),
        "jpeg rgb": encode(image, keep_rgb=True),
        "jpeg progressive": encode(image, progressive=True),
        "jpeg 4:2:2": encode(image, subsampling=1),
        "jpeg cmyk": cmyk,
        "jpeg ycck": bytes(ycck),
        "jpeg cmyk without Adobe": cmyk[: adobe - 4] + cmyk[adobe + 12 :],
        "jpeg lossless": of_kind(0xC3),
        "jpeg arithmetic": of_kind(0xC9),
        "jpeg 12 bits": of_kind(0xC1, 12),
    }


def others():
    """Name to bytes: formats that TensorFlow does not read."""
    image = photo(3, WIDTH, HEIGHT)
    grey = np.asarray(image.convert("L"))
    clear = image.copy()
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    return {
        "webp": encode(image, "WEBP"),
        "webp lossless": encode(image, "WEBP", lossless=True),
        "webp alpha": encode(clear, "WEBP", lossless=True, exact=True),
        "webp animated": encode(image, "WEBP", save_all=True, append_images=[photo(5, 37, 29)]),
        "tiff": encode(image, "TIFF"),
        "tiff lzw": encode(image, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": encode(image, "TIFF", compression="jpeg"),
        "tiff palette": encode(image.quantize(64), "TIFF"),
        "tiff black and white": encode(image.convert("1"), "TIFF", compression="group4"),
        "tiff cmyk": encode(image.convert("CMYK"), "TIFF"),
        "tiff lab": encode(image.convert("LAB"), "TIFF"),
        "tiff grey 16": encode(Image.fromarray(grey.astype(np.uint16) * 257), "TIFF"),
        "tiff grey 32": encode(image.convert("I"), "TIFF"),
        "tiff floats": encode(image.convert("F"), "TIFF"),
        "ppm": encode(image, "PPM"),
    }


@functools.cache
def odd_images():
    """Name to bytes of all of these."""
    return bmps() | pngs() | gifs() | jpegs() | others()
