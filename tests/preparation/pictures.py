"""Photographs to prepare, and strange twins of them, made of the built-in dataset's pictures."""

import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image

from alexnet_tf.data.shapes import jpeg


@functools.cache
def photo(index=0, width=500, height=375):
    """A picture of this size, mode "RGB"."""
    picture = Image.open(io.BytesIO(jpeg(0, index))).convert("RGB")
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def encode(image, form="JPEG", **options):
    buffer = io.BytesIO()
    if form == "JPEG":
        options = {"quality": 95, **options}
    image.save(buffer, form, **options)
    return buffer.getvalue()


def decode(encoded):
    """uint8 [H, W, 3]."""
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def plain(encoded, size=256, quality=100):
    """What a plain Pillow script makes of it: resized, then cut; uint8 [S, S, 3], decoded again."""
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    image = image.crop((left, top, left + size, top + size))
    return decode(encode(image, quality=quality))


def psnr(first, second):
    """Decibels."""
    error = np.mean((first.astype(float) - second) ** 2)
    return np.inf if error == 0 else 10 * np.log10(255**2 / error)


def turned(image, orientation):
    """A JPEG whose EXIF says how to turn it to get `image`."""
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image if undo is None else image.transpose(undo), exif=exif.tobytes())


def sixteen_bit_grey(image):
    """A PNG, grey, 16 bits."""
    return encode(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG")


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def sixteen_bit_colour(image):
    """A PNG, RGB, 16 bits, which Pillow cannot write."""
    pixels = (np.asarray(image).astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", image.width, image.height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def lying(form, width, height):
    """A small picture whose header says that it is this large."""
    encoded = bytearray(encode(photo(0, 64, 64), form))
    if form == "JPEG":
        start = encoded.index(b"\xff\xc0") + 5
        encoded[start : start + 4] = struct.pack(">HH", height, width)
    elif form == "PNG":
        header = bytearray(encoded[16:29])
        header[:8] = struct.pack(">II", width, height)
        encoded[8:33] = png_chunk(b"IHDR", bytes(header))
    elif form == "GIF":
        encoded[6:10] = struct.pack("<HH", width, height)
    elif form == "BMP":
        encoded[18:26] = struct.pack("<ii", width, height)
    elif form == "WEBP":
        place = encoded.index(b"\x9d\x01\x2a") + 3
        encoded[place : place + 4] = struct.pack("<HH", width, height)
    return bytes(encoded)


def lying_frame(width, height):
    """A GIF with a modest screen whose one frame says that it is this large."""
    encoded = bytearray(encode(photo(0, 64, 64), "GIF"))
    place = encoded.index(b"\x2c\0\0\0\0\x40\0\x40\0") + 5
    encoded[place : place + 4] = struct.pack("<HH", width, height)
    return bytes(encoded)


def animation(frames, width=64, height=64):
    """A GIF that moves, of so many different frames."""
    first, *others = (photo(index, width, height) for index in range(frames))
    return encode(first, "GIF", save_all=True, append_images=others)


def many_scans(times, width=500, height=375):
    """A progressive JPEG whose last scan comes so often."""
    progressive = encode(photo(1, width, height), progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    return progressive[:-2] + times * scan + b"\xff\xd9"


def strange():
    """Name to encoded bytes and what `prepare` notes about them."""
    image = photo(3)
    clear = image.copy()
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    return {
        "plain.JPEG": (encode(image), ()),
        "cmyk.JPEG": (encode(image.convert("CMYK")), ("CMYK",)),
        "png.JPEG": (encode(image, "PNG"), ("PNG",)),
        "gif.JPEG": (encode(image, "GIF"), ("GIF", "palette")),
        "bmp.JPEG": (encode(image, "BMP"), ("BMP",)),
        "webp.JPEG": (encode(image, "WEBP", quality=95), ("WEBP",)),
        "grey.JPEG": (encode(image.convert("L")), ("grey",)),
        "black_and_white.png": (encode(image.convert("1"), "PNG"), ("PNG", "grey")),
        "palette.png": (encode(image.quantize(64), "PNG"), ("PNG", "palette")),
        "alpha.png": (encode(clear, "PNG"), ("PNG", "alpha")),
        "grey_alpha.png": (encode(clear.convert("LA"), "PNG"), ("PNG", "grey", "alpha")),
        "deep.png": (sixteen_bit_grey(image), ("PNG", "grey", "16-bit")),
        "deep_colour.png": (sixteen_bit_colour(image), ("PNG", "16-bit")),
        "turned.JPEG": (turned(image, 6), ("rotated",)),
        "progressive.JPEG": (encode(image, progressive=True), ()),
        "small.JPEG": (encode(photo(3, 40, 30)), ("enlarged",)),
        "pixel.png": (encode(Image.new("RGB", (1, 1), (10, 200, 90)), "PNG"), ("PNG", "enlarged")),
        "wide.JPEG": (encode(photo(3, 20_000, 300)), ()),
        "tall.png": (encode(photo(3, 16, 20_000), "PNG"), ("PNG", "enlarged")),
        "square.JPEG": (encode(photo(3, 256, 256)), ("kept",)),
    }


def unusable():
    """Name to encoded bytes and why `prepare` refuses them."""
    whole = encode(photo(4))
    return {
        "empty.JPEG": (b"", "empty"),
        "text.JPEG": (b"<html>404 Not Found</html>" * 9, "no image"),
        "truncated.JPEG": (whole[: len(whole) // 2], "truncated"),
        "truncated.png": (encode(photo(4), "PNG")[:9000], "truncated"),
        "headless.JPEG": (whole[20:], "no image"),
        "bomb.JPEG": (lying("JPEG", 65_000, 65_000), "too large"),
        "bomb.png": (lying("PNG", 60_000, 60_000), "too large"),
        "bomb.gif": (lying("GIF", 60_000, 60_000), "too large"),
        "bomb.bmp": (lying("BMP", 30_000, 30_000), "too large"),
        "bomb.webp": (lying("WEBP", 16_000, 16_000), "too large"),
    }
