"""Every picture of every variant is drawn, and its words can be read."""

import json
import xml.etree.ElementTree as ElementTree

import keras
import numpy as np
import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from alexnet_tf.figures.registry import FIGURES
from alexnet_tf.figures.style import DOTS, SLIDE, new_figure
from alexnet_tf.figures.untrained import untrained
from alexnet_tf.models.variants import VARIANTS, get_variant
from alexnet_tf.system.errors import UserError
from tests.figures.contexts import LONGEST, make_subject
from tests.figures.texts import find_faults

NAMES = [name for name in FIGURES if name != "training"]  # which needs a run
OF_THE_VARIANT = ("architecture", "first-layer-kernels", "response-normalisation", "attention")
OF_CLASSES = ("predictions", "neighbours", "units", "attention", "confusions", "ten-views")
OF_IMAGES = ("predictions", "neighbours", "units", "attention", "nonlinearities", "projector")


def check(picture):
    """Its words can be read, and its numbers are numbers."""
    assert find_faults(picture.figure) == []
    json.dumps(picture.numbers, allow_nan=False)


def words(picture):
    return [text.get_text() for text in picture.figure.findobj(Text)]


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_a_slide_whose_words_do_not_overlap(subject, name, tmp_path):
    picture = FIGURES[name](subject)
    assert picture.name == name
    check(picture)
    picture.save(tmp_path)
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.size == (SLIDE[0] * DOTS, SLIDE[1] * DOTS)
        assert len(np.unique(np.asarray(image.convert("L")))) > 10  # something is drawn
        assert image.text["Description"] == picture.caption
    ElementTree.parse(tmp_path / f"{name}.svg")
    assert picture.caption in (tmp_path / f"{name}.txt").read_text(encoding="utf-8")
    assert json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")).keys() == (
        picture.numbers.keys()
    )


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "tiny"])
def test_every_variant_can_be_looked_into(variant):
    subject = make_subject(variant, images=8)
    for name in NAMES:
        picture = FIGURES[name](subject)
        json.dumps(picture.numbers, allow_nan=False)
        if name in OF_THE_VARIANT:
            check(picture)
    crops = FIGURES["crops"](subject).caption
    assert ("RandomResizedCrop" in crops) == (variant == "one_weird_trick")
    assert "training set" not in FIGURES["lighting"](subject).caption


@pytest.mark.parametrize("number", [10, 12])
def test_imagenets_longest_names_can_be_read(number):
    subject = make_subject("paper", classes=LONGEST[:number])
    for name in OF_CLASSES if number == 10 else ["confusions"]:
        check(FIGURES[name](subject))
    assert any("…" in word for word in words(FIGURES["neighbours"](subject)))


@pytest.mark.parametrize(
    ("activation", "images", "gradient"),
    [
        ("tanh", 1, "plain gradients"),
        ("sigmoid", 2, "plain gradients"),
        ("leaky_relu", 3, "plain gradients"),
        ("noisy_relu", 5, "Guided gradients"),
    ],
)
def test_other_nonlinearities_and_few_images(activation, images, gradient):
    subject = make_subject(activation=activation, images=images)
    for name in OF_IMAGES:
        if (name, images) == ("neighbours", 1):
            with pytest.raises(UserError, match="Expected two images or more"):
                FIGURES[name](subject)
        else:
            check(FIGURES[name](subject))
    attention = FIGURES["attention"](subject)
    assert gradient in attention.caption and len(attention.numbers["images"]) == min(3, images)
    assert ("guided gradient\nof a unit" in words(attention)) == (activation == "noisy_relu")
    assert f"has {activation}." in FIGURES["nonlinearities"](subject).caption


def test_one_class():
    subject = make_subject(classes=("all there is",))
    for name in (*OF_IMAGES, "confusions", "ten-views"):
        check(FIGURES[name](subject))
    assert len(FIGURES["units"](subject).numbers["units"]) == 4
    assert "no image is confused" in words(FIGURES["confusions"](subject))
    assert "top-1 error" in FIGURES["predictions"](subject).numbers


def test_dead_units_are_counted_and_said_to_be_inactive():
    subject = make_subject(units=(0, 1, 2), images=9)
    conv5 = subject.model.get_layer("conv5")
    kernel, bias = conv5.get_weights()
    bias[:2] = -1e9
    conv5.set_weights([kernel, bias])
    layers = FIGURES["nonlinearities"](subject).numbers["layers"]
    assert next(layer for layer in layers if layer["layer"] == "relu5")["dead"] >= 2
    picture = FIGURES["units"](subject)
    check(picture)
    assert words(picture).count("inactive") == 16  # two rows of eight
    frames = [p for p in picture.figure.findobj(Rectangle) if p.get_edgecolor()[:3] == RED]
    assert len(frames) == 8


RED = (0xD5 / 255, 0x5E / 255, 0)


def test_attention_looks_at_the_units_that_were_asked_for():
    subject = make_subject(units=(7, 60))
    rows = FIGURES["attention"](subject).numbers["images"]
    assert [row["unit"] for row in rows] == [7, 60, 7]
    fully = FIGURES["attention"](make_subject(layer="fc6", units=(200,), images=3))
    assert [row["unit"] for row in fully.numbers["images"]] == [200] * 3


def test_what_needs_no_images_asks_for_none():
    subject = untrained(get_variant("tiny"), classes=10)
    for name in ("convolution", "architecture", "first-layer-kernels"):
        assert FIGURES[name](subject).name == name
    with pytest.raises(UserError, match="Received: a variant alone"):
        FIGURES["predictions"](subject)


def test_the_same_picture_is_the_same_file(subject, tmp_path):
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        keras.utils.set_random_seed(
            len(folder.name) + ord(folder.name[0])
        )  # noise is seeded apart from all else
        for name in ("first-layer-kernels", "nonlinearities"):
            FIGURES[name](subject).save(folder)
    for name in ("first-layer-kernels", "nonlinearities"):
        for suffix in ("png", "svg"):
            one, two = (tmp_path / n / f"{name}.{suffix}" for n in ("one", "two"))
            assert one.read_bytes() == two.read_bytes()


def test_a_model_without_a_run_has_no_curves(subject):
    with pytest.raises(UserError, match="Expected a run"):
        FIGURES["training"](subject)


def test_texts_that_overlap_are_found():
    figure = new_figure("title")
    axes = figure.subplots()
    axes.text(0.5, 0.5, "one thing")
    axes.text(0.52, 0.5, "another")
    axes.text(0.2, 0.2, "far from both")
    figure.text(0.9, 0.9, "so long that it goes past the edge of the slide")
    faults = find_faults(figure)
    assert ("one thing", "another") in faults and len(faults) == 2
