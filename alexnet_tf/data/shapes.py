"""The built-in dataset "shapes": ten silhouettes, rendered here, nothing to download.

5,000 RGB pictures of 256×256 pixels, one shape in each. Place, size, angle, colours, textures,
specks, blur and noise vary, so that pixels alone say little about the class (a linear model stays
near chance) while a small convolutional network learns it within minutes. The shape is always
lighter than what surrounds it: when either may be, training spends most of its time on a plateau.

Outlines are complex arrays [K], x + iy with x rightwards and y downwards, of any scale; `slim` runs
from 0 (stout) to 1 (slender): a ring's width, a cross's arms. Images are uint8 in 0…255.

The JPEG bytes of picture `index` of a split depend on (SEED, split, index) alone, so every machine
with the same Pillow and NumPy makes the same pictures and stores them in the same order.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from concurrent import futures

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageDraw, ImageFilter

SIZE = 256  # pixels, height and width
SEED = 2012  # of the whole dataset
QUALITY = 90  # JPEG

SUPERSAMPLE = 2  # mask pixels per picture pixel, each way: antialiasing
RADIUS = (0.18, 0.375)  # circumradius / SIZE: a diameter of 36 % to 75 % of the picture
OVERHANG = 0.08  # of the radius may leave the picture
STRETCH = 1.2  # longest : shortest side that a square may become
SHADES = 30  # levels per channel either side of a texture's middle colour
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, BT.601
MIN_CONTRAST = 60  # luma levels by which the shape is lighter than the background, in all shades
NOISE = (1, 6)  # standard deviation, levels
BLUR_PROBABILITY = 0.25


def _arc(radius: float, start: float, stop: float, points: int = 73) -> np.ndarray:
    """Points of a circle about the origin from `start` to `stop`, in turns."""
    return radius * np.exp(2j * np.pi * np.linspace(start, stop, points))


def _ring(slim: float) -> np.ndarray:
    """The outer circle, then the inner one backwards; the seam between them has no width."""
    return np.concatenate([_arc(1, 0, 1), _arc(0.5 + 0.17 * slim, 1, 0)])


def _crescent(slim: float) -> np.ndarray:
    """The unit disk less a disk of radius `bite` whose centre lies `shift` to the right."""
    bite, shift = 0.85, 0.42 - 0.1 * slim
    x = (1 - bite**2 + shift**2) / (2 * shift)  # where the two circles meet
    outer, inner = np.arccos([x, (x - shift) / bite]) / (2 * np.pi)
    return np.concatenate([_arc(1, outer, 1 - outer), shift + _arc(bite, 1 - inner, inner)])


def _star(slim: float) -> np.ndarray:
    """Five tips; the inner radius lies about the pentagram's own, 0.382."""
    points = _arc(1, 0, 1, 11)
    points[1::2] *= 0.48 - 0.12 * slim
    return points


def _cross(slim: float) -> np.ndarray:
    """A plus sign with arms of half-width `w`."""
    w = 0.34 - 0.1 * slim
    arm = np.array([1 - 1j * w, 1 + 1j * w, w + 1j * w])
    return np.concatenate([arm * 1j**quarter for quarter in range(4)])


def _heart(slim: float) -> np.ndarray:
    """The usual sum of cosines, point down."""
    t = np.linspace(0, 2 * np.pi, 73)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return (16 - slim) * np.sin(t) ** 3 - 1j * y


def _arrow(slim: float) -> np.ndarray:
    """Pointing right: a shaft of half-width `w` and a triangular head."""
    w, neck = 0.26 - 0.1 * slim, 0.05 + 0.15 * slim
    upper = np.array([1, neck + 0.72j, neck + 1j * w, -1 + 1j * w])
    return np.concatenate([upper, upper[:0:-1].conj()])


_OUTLINES = {
    "disk": lambda slim: _arc(1, 0, 1),
    "ring": _ring,
    "half_disk": lambda slim: _arc(1, 0, 1 / 2),
    "crescent": _crescent,
    "triangle": lambda slim: _arc(1, 0, 1, 4),
    "square": lambda slim: _arc(1, 0, 1, 5),
    "star": _star,
    "cross": _cross,
    "heart": _heart,
    "arrow": _arrow,
}
CLASSES: tuple[str, ...] = tuple(_OUTLINES)


def silhouette(label: int, rng: np.random.Generator) -> Image.Image:
    """One shape, placed, sized, turned and slightly stretched at random.

    Returns:
      Mode "L", SIZE × SIZE: 255 inside the shape, 0 outside, between the two along its edge.
    """
    slim, size, stretch, turn, axis, *place = rng.random(7)
    points = _OUTLINES[CLASSES[label]](slim)  # complex [K]
    points -= (points.real.min() + points.real.max()) / 2  # the middle of its box to the origin
    points -= 1j * (points.imag.min() + points.imag.max()) / 2
    points *= np.exp(2j * np.pi * turn)
    # Along one axis by s and across it by 1/s: sides by at most s² = STRETCH, and the area stays.
    s = STRETCH ** (stretch / 2)
    points = (s * points.real + 1j / s * points.imag) * np.exp(2j * np.pi * axis)

    radius = SIZE * (RADIUS[0] + (RADIUS[1] - RADIUS[0]) * size)
    margin = radius * (1 - OVERHANG)
    centre = margin + (SIZE - 2 * margin) * np.array(place)
    points = complex(*centre) + radius / np.abs(points).max() * points

    mask = Image.new("L", (SUPERSAMPLE * SIZE, SUPERSAMPLE * SIZE))
    corners = (SUPERSAMPLE * points).view(np.float64).tolist()  # x, y, x, y, …
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    return mask.reduce(SUPERSAMPLE)


def palette(rng: np.random.Generator) -> np.ndarray:
    """Two shades of the background and two lighter ones of the shape: int [2, 2, RGB]."""
    while True:
        shades = rng.integers(0, 256, (2, 1, 3)) + rng.integers(-SHADES, SHADES + 1, (2, 2, 3))
        shades = shades.clip(10, 245)
        background, shape = shades @ LUMA  # [2] each
        if shape.min() - background.max() >= MIN_CONTRAST:
            return shades


def texture(shades: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Plain, a gradient, stripes or blotches of two shades [2, 3]; "RGB", SIZE × SIZE."""
    first, second = (Image.new("RGB", (SIZE, SIZE), tuple(shade)) for shade in shades.tolist())
    kind = rng.choice(("plain", "gradient", "stripes", "blotches"))
    if kind == "plain":
        return first
    if kind == "blotches":
        cells = int(rng.integers(4, 10))
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells), np.uint8))
        return Image.composite(first, second, coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    # In pixels: a gradient spans 1.5 sizes, so that even along the diagonal it never wraps.
    period = 1.5 * SIZE if kind == "gradient" else rng.uniform(12, 48)
    direction = rng.uniform(0, 2 * np.pi)
    step = 256 / period * np.array([np.cos(direction), np.sin(direction)])
    along = np.arange(SIZE) - SIZE / 2
    phase = np.add.outer(step[1] * along, step[0] * along).astype(np.int32)  # [SIZE, SIZE]
    if kind == "gradient":
        weight = phase + 128
    else:
        # A triangle wave, steepened until it is mostly flat: stripes with soft edges.
        weight = (np.abs((phase & 255) - 128) * 4 - 128).clip(0, 255)
    return Image.composite(first, second, Image.fromarray(weight.astype(np.uint8)))


def _scatter(picture: Image.Image, rng: np.random.Generator) -> None:
    """Draws a few specks and short lines over `picture`, far smaller than any shape."""
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(0, 8)):
        x, y, *rgb = rng.integers(0, 256, 5).tolist()
        dx, dy = rng.integers(-20, 21, 2).tolist()
        if rng.random() < 0.5:
            draw.line((x, y, x + dx, y + dy), fill=tuple(rgb), width=1 + abs(dx) % 3)
        else:
            draw.circle((x, y), 2 + abs(dx) // 6, fill=tuple(rgb))


@functools.lru_cache(maxsize=1)
def _noise_tile() -> np.ndarray:
    """Gaussian noise, int16 [2·SIZE, 2·SIZE, 3], standard deviation 32.

    Drawing 200,000 normal numbers would take longer than the rest of a picture; pictures cut
    windows from one tile instead.
    """
    noise = np.random.default_rng(SEED).standard_normal((2 * SIZE, 2 * SIZE, 3))
    return (32 * noise).clip(-128, 127).astype(np.int16)


def _add_noise(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Adds a random window of the noise tile at a random strength."""
    top, left = rng.integers(0, SIZE, 2)
    window = _noise_tile()[top : top + SIZE, left : left + SIZE]
    noisy = window * np.int16(rng.integers(NOISE[0], NOISE[1] + 1))
    noisy >>= 5  # the tile's 32
    noisy += np.asarray(picture)
    return Image.fromarray(noisy.clip(0, 255, out=noisy).astype(np.uint8))


def render(label: int, rng: np.random.Generator) -> Image.Image:
    """One picture of class CLASSES[label]: mode "RGB", SIZE × SIZE."""
    mask = silhouette(label, rng)
    background, shape = (texture(shades, rng) for shades in palette(rng))
    picture = Image.composite(shape, background, mask)
    _scatter(picture, rng)
    if rng.random() < BLUR_PROBABILITY:  # as by a lens, hence before the sensor's noise
        picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 2)))
    return _add_noise(picture, rng)


def jpeg(split: int, index: int, seed: int = SEED) -> bytes:
    """Picture `index` of split number `split`, encoded; its class is `index % 10`."""
    rng = np.random.default_rng([seed, split, index])
    encoded = io.BytesIO()
    render(index % len(CLASSES), rng).save(encoded, "JPEG", quality=QUALITY)
    return encoded.getvalue()


class Shapes(tfds.core.GeneratorBasedBuilder):
    """The dataset as TFDS knows it: {"image": uint8 [256, 256, 3], "label": int64}."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    IMAGES = {"train": 4000, "validation": 1000}  # split → images; its place is its number

    def _info(self) -> tfds.core.DatasetInfo:
        """Features and names."""
        return tfds.core.DatasetInfo(
            builder=self,
            description="Ten geometric shapes on varied backgrounds, rendered by this package.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names=CLASSES),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        """Split name → its examples; nothing is downloaded."""
        del dl_manager
        return {
            name: self._generate_examples(number, images)
            for number, (name, images) in enumerate(self.IMAGES.items())
        }

    def _generate_examples(self, split: int, images: int) -> Iterator[tuple[int, dict]]:
        """(index, example) pairs in order, whichever thread rendered them."""
        # Two: they hold the interpreter lock most of the time, and more would only contend for it.
        with futures.ThreadPoolExecutor(max_workers=2) as pool:
            encoded = pool.map(functools.partial(jpeg, split), range(images))
            for index, data in enumerate(encoded):
                # TFDS stores bytes as they are: our JPEG is not encoded a second time.
                yield index, {"image": data, "label": index % len(CLASSES)}
