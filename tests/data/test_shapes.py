"""The built-in dataset: deterministic, balanced, visible, and readable through TFDS."""

import collections
import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from alexnet_tf.data import shapes

# Share of the smallest box that holds the silhouette, whichever way it is turned: the limits are
# those of the plane figures (a disk fills π/4 of its box) with a margin for stretch and overhang.
FILLED = {
    "disk": (0.70, 0.85),
    "ring": (0.38, 0.66),
    "half_disk": (0.45, 0.85),
    "crescent": (0.20, 0.60),
    "triangle": (0.35, 0.62),
    "square": (0.45, 1.00),
    "star": (0.25, 0.50),
    "cross": (0.30, 0.80),
    "heart": (0.45, 0.75),
    "arrow": (0.22, 0.65),
}


def pair(label, seed):
    """A picture and the silhouette in it: `render` draws the silhouette first."""
    picture = shapes.render(label, np.random.default_rng(seed))
    mask = shapes.silhouette(label, np.random.default_rng(seed))
    return np.asarray(picture, np.float32), np.asarray(mask)


def test_ten_classes():
    """The names and their order are part of the data on disk."""
    assert (
        *("disk", "ring", "half_disk", "crescent", "triangle"),
        *("square", "star", "cross", "heart", "arrow"),
    ) == shapes.CLASSES


def test_jpeg_depends_on_its_arguments_alone():
    """Same arguments, same bytes; any other split, index or seed, another picture."""
    assert shapes.jpeg(0, 7) == shapes.jpeg(0, 7)
    arguments = [(0, 7), (0, 17), (1, 7), (0, 7, 1)]
    assert len({shapes.jpeg(*each) for each in arguments}) == len(arguments)


def test_jpeg_is_a_256_pixel_colour_picture():
    """JPEG's magic number, size and mode."""
    data = shapes.jpeg(1, 3)
    picture = Image.open(io.BytesIO(data))
    assert data.startswith(b"\xff\xd8\xff") and data.endswith(b"\xff\xd9")
    assert (picture.size, picture.mode) == ((256, 256), "RGB")


@pytest.mark.parametrize("label", range(10), ids=shapes.CLASSES)
def test_silhouette_fills_what_its_class_should(label):
    """A shape is there, of the right size, and fills its box as its class does."""
    low, high = FILLED[shapes.CLASSES[label]]
    for seed in range(30):
        mask = np.asarray(shapes.silhouette(label, np.random.default_rng(seed))) > 127
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 0.2 * shapes.SIZE < max(height, width) <= 0.76 * shapes.SIZE
        assert low <= mask.sum() / (height * width) <= high


def test_palette_makes_the_shape_lighter():
    """Every shade of the shape is visibly lighter than every shade of the background."""
    for seed in range(200):
        background, shape = shapes.palette(np.random.default_rng(seed)) @ shapes.LUMA
        assert shape.min() - background.max() >= shapes.MIN_CONTRAST


@pytest.mark.parametrize("label", range(10), ids=shapes.CLASSES)
def test_shape_stands_out_from_its_background(label):
    """It is lighter on average in the picture too: textures, specks, blur and noise included."""
    for seed in range(5):
        picture, mask = pair(label, seed)
        luma = picture @ shapes.LUMA
        assert luma[mask > 250].mean() - luma[mask < 5].mean() > shapes.MIN_CONTRAST / 2


def test_builder_round_trip(tmp_path, monkeypatch):
    """What TFDS hands back are our own JPEG bytes, with balanced labels, in both splits."""
    monkeypatch.setattr(shapes.Shapes, "IMAGES", {"train": 20, "validation": 10})
    builder = shapes.Shapes(data_dir=tmp_path)
    builder.download_and_prepare()
    assert builder.info.features["label"].names == list(shapes.CLASSES)

    stored = builder.as_dataset(decoders={"image": tfds.decode.SkipDecoding()})
    for number, (name, images) in enumerate(shapes.Shapes.IMAGES.items()):
        assert builder.info.splits[name].num_examples == images
        examples = list(stored[name].as_numpy_iterator())
        assert {each["image"] for each in examples} == {
            shapes.jpeg(number, index) for index in range(images)
        }
        counts = collections.Counter(int(each["label"]) for each in examples)
        assert counts == dict.fromkeys(range(10), images // 10)

    image, label = next(iter(builder.as_dataset(split="train", as_supervised=True)))
    assert image.shape == (256, 256, 3) and image.dtype == "uint8"
    assert label.dtype == "int64"
