"""Every picture of every variant is drawn, and its words can be read."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.errors import UserError
from alexnet_tf.figures.catalogue import CATALOGUE
from alexnet_tf.figures.style import DOTS, SLIDE, new_figure, shorten
from alexnet_tf.models.variants import VARIANTS
from tests.figures.subjects import make_subject
from tests.figures.texts import find_faults

NAMES = [name for name in CATALOGUE if name != "training"]  # which needs a run


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_a_slide_whose_words_do_not_overlap(subject, name, tmp_path):
    picture = CATALOGUE[name](subject)
    assert picture.name == name
    assert find_faults(picture.figure) == []
    picture.save(tmp_path)
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.size == (SLIDE[0] * DOTS, SLIDE[1] * DOTS)
        assert len(np.unique(np.asarray(image.convert("L")))) > 10  # something is drawn
        assert image.text["Description"] == picture.caption
    ElementTree.parse(tmp_path / f"{name}.svg")
    assert picture.caption in (tmp_path / f"{name}.txt").read_text()
    assert picture.numbers == picture.numbers  # no NaN among them
    json.dumps(picture.numbers, allow_nan=False)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "tiny"])
def test_every_variant_can_be_looked_into(variant):
    subject = make_subject(variant, images=8)
    for name in NAMES:
        picture = CATALOGUE[name](subject)
        assert picture.caption and picture.figure


def test_the_same_picture_is_the_same_file(subject, tmp_path):
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        CATALOGUE["first-layer-kernels"](subject).save(folder)
    for suffix in ("png", "svg"):
        one, two = (tmp_path / n / f"first-layer-kernels.{suffix}" for n in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_model_without_a_run_has_no_curves(subject):
    with pytest.raises(UserError, match="Expected a run"):
        CATALOGUE["training"](subject)


def test_other_activations_and_one_image():
    with pytest.raises(UserError, match=r"Expected a layer among conv1.*Received: conv9"):
        make_subject(layer="conv9").survey.labels.sum()
    with pytest.raises(UserError, match=r"0 to 63. Received: --units=64"):
        CATALOGUE["units"](make_subject(units=(64,)))
    assert "Expected a JPEG" in str(
        pytest.raises(UserError, lambda: make_subject(photo=b"no").square).value
    )


def test_names_are_shortened_and_lose_their_synset():
    assert shorten("n02119789_kit_fox", 20) == "kit fox"
    assert shorten("nine_lives", 20) == "nine lives"
    assert shorten("n02119789", 20) == "n02119789"
    assert shorten("great white shark", 9) == "great wh…"


def test_texts_that_overlap_are_found():
    figure = new_figure("title")
    axes = figure.subplots()
    axes.text(0.5, 0.5, "one thing")
    axes.text(0.52, 0.5, "another")
    axes.text(0.2, 0.2, "far from both")
    figure.text(0.9, 0.9, "so long that it goes past the edge of the slide")
    faults = find_faults(figure)
    assert ("one thing", "another") in faults and len(faults) == 2
