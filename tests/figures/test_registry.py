"""Every figure of every variant is drawn, and its text can be read; a new one is easily added."""

import dataclasses
import json
import xml.etree.ElementTree as ElementTree

import keras
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from alexnet_tf.applications import AlexNet
from alexnet_tf.data.shapes import jpeg
from alexnet_tf.figures import plots, registry
from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.plots.predictions import draw_confusions
from alexnet_tf.figures.registry import RenderedFigure, all_figures, figure, find_figures, render
from alexnet_tf.figures.report import draw_report
from alexnet_tf.figures.style import DPI, SLIDE, STYLE, new_figure
from alexnet_tf.figures.text import plain
from alexnet_tf.models.variants import VARIANTS
from alexnet_tf.system.errors import UserError
from tests.figures.contexts import LONGEST, make_context, narrow
from tests.figures.texts import find_faults

NAMES = [name for name in all_figures() if name != "training"]  # which needs a run
OF_THE_VARIANT = ("architecture", "first-layer-kernels", "response-normalisation", "attention")
OF_CLASSES = ("predictions", "neighbours", "units", "attention", "confusions", "ten-views")
OF_IMAGES = ("predictions", "neighbours", "units", "attention", "nonlinearities", "projector")


def check(rendered):
    """Its words can be read, and its numbers are numbers."""
    assert find_faults(rendered.figure) == []
    json.dumps(rendered.numbers, allow_nan=False)


def words(rendered):
    return [text.get_text() for text in rendered.figure.findobj(Text)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_a_slide_whose_texts_do_not_overlap(context, name, tmp_path):
    rendered = render(name, context)
    assert rendered.name == name
    check(rendered)
    rendered.save(tmp_path)
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.size == (SLIDE[0] * DPI, SLIDE[1] * DPI)
        assert len(np.unique(np.asarray(image.convert("L")))) > 10  # something is drawn
        assert image.text["Description"] == rendered.caption
    ElementTree.parse(tmp_path / f"{name}.svg")
    assert rendered.caption in (tmp_path / f"{name}.txt").read_text(encoding="utf-8")
    assert json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")).keys() == (
        rendered.numbers.keys()
    )


@pytest.mark.slow
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "tiny"])
def test_every_figure_of_every_variant_is_drawn(variant):
    context = make_context(variant, images=8)
    for name in NAMES:
        rendered = render(name, context)
        json.dumps(rendered.numbers, allow_nan=False)
        if name in OF_THE_VARIANT:
            check(rendered)
    crops = render("crops", context).caption
    assert ("RandomResizedCrop" in crops) == (variant == "one_weird_trick")
    assert "training set" not in render("lighting", context).caption


@pytest.mark.slow
def test_imagenets_longest_names_can_be_read():
    context = make_context(classes=LONGEST[:10])
    for name in OF_CLASSES:
        check(render(name, context))
    assert any("…" in word for word in words(render("neighbours", context)))
    labels = np.arange(24) % 12
    with mpl.rc_context(STYLE):  # twelve are the most for which the matrix is shown
        names = tuple(map(plain, LONGEST))
        assert find_faults(draw_confusions(labels, labels // 2, names)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "images", "gradient"),
    [
        ("tanh", 1, "The plain gradients"),
        ("sigmoid", 2, "The plain gradients"),
        ("leaky_relu", 3, "The plain gradients"),
        ("noisy_relu", 5, "Guided gradients"),
    ],
)
def test_other_nonlinearities_and_few_images(activation, images, gradient):
    context = make_context(activation=activation, images=images)
    for name in OF_IMAGES:
        if (name, images) == ("neighbours", 1):
            with pytest.raises(UserError, match="Expected two images or more"):
                render(name, context)
        else:
            check(render(name, context))
    attention = render("attention", context)
    assert gradient in attention.caption and len(attention.numbers["images"]) == min(3, images)
    assert ("guided gradient\nof a unit" in words(attention)) == (activation == "noisy_relu")
    assert f"has {activation}." in render("nonlinearities", context).caption


def test_one_class():
    context = make_context(classes=("all there is",))
    for name in (*OF_IMAGES, "confusions", "ten-views"):
        check(render(name, context))
    assert len(render("units", context).numbers["units"]) == 4
    assert "no image is confused" in words(render("confusions", context))
    assert "top-1 error" in render("predictions", context).numbers


def test_dead_units_are_counted_and_said_to_be_inactive():
    context = make_context(units=(0, 1, 2), images=9)
    conv5 = context.model.get_layer("conv5")
    kernel, bias = conv5.get_weights()
    bias[:2] = -1e9
    conv5.set_weights([kernel, bias])
    layers = render("nonlinearities", context).numbers["layers"]
    assert next(layer for layer in layers if layer["layer"] == "relu5")["dead"] >= 2
    rendered = render("units", context)
    check(rendered)
    assert words(rendered).count("inactive") == 16  # two rows of eight
    frames = [p for p in rendered.figure.findobj(Rectangle) if p.get_edgecolor()[:3] == RED]
    assert len(frames) == 8


RED = (0xD5 / 255, 0x5E / 255, 0)


def test_attention_looks_at_the_units_that_were_asked_for():
    context = make_context(units=(7, 60))
    rows = render("attention", context).numbers["images"]
    assert [row["unit"] for row in rows] == [7, 60, 7]
    fully = render("attention", make_context(layer="fc6", units=(200,), images=3))
    assert [row["unit"] for row in fully.numbers["images"]] == [200] * 3


def test_the_same_figure_is_the_same_file(context, tmp_path):
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        keras.utils.set_random_seed(
            len(folder.name) + ord(folder.name[0])
        )  # noise is seeded apart from all else
        for name in ("first-layer-kernels", "nonlinearities"):
            render(name, context).save(folder)
    for name in ("first-layer-kernels", "nonlinearities"):
        for suffix in ("png", "svg"):
            one, two = (tmp_path / n / f"{name}.{suffix}" for n in ("one", "two"))
            assert one.read_bytes() == two.read_bytes()


def test_a_model_without_a_run_has_no_curves(context):
    with pytest.raises(UserError, match="This figure needs a training run"):
        render("training", context)


def test_texts_that_overlap_are_found():
    figure = new_figure("title")
    axes = figure.subplots()
    axes.text(0.5, 0.5, "one thing")
    axes.text(0.52, 0.5, "another")
    axes.text(0.2, 0.2, "far from both")
    figure.text(0.9, 0.9, "so long that it goes past the edge of the slide")
    faults = find_faults(figure)
    assert ("one thing", "another") in faults and len(faults) == 2


NEW_FIGURE = """
from alexnet_tf.figures.registry import RenderedFigure, figure
from alexnet_tf.figures.style import new_figure

@figure("brightness", needs="photo", order=25)
def render_brightness(context):
    drawing = new_figure("How bright is it?")
    drawing.subplots().hist(context.photo_image.ravel())
    mean = float(context.photo_image.mean())
    return RenderedFigure("Brightness", f"The mean is {mean:.0f}.", drawing, {"mean": mean})
"""


def test_a_new_figure_is_one_module_with_one_decorator(context, monkeypatch, tmp_path):
    (tmp_path / "brightness.py").write_text(NEW_FIGURE)
    monkeypatch.setattr(plots, "__path__", [*plots.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "FIGURES", dict(registry.FIGURES))
    names = list(all_figures())
    assert names.index("max-pooling") + 1 == names.index("brightness")
    (drawn,), missing = draw_report(context, tmp_path, find_figures(["brightness"]))
    mean = context.photo_image.mean()
    assert missing == {} and drawn.caption == f"The mean is {mean:.0f}."
    assert (tmp_path / "brightness.png").stat().st_size > 0
    numbers = json.loads((tmp_path / "brightness.json").read_text())
    assert numbers == {"mean": pytest.approx(mean)}
    assert drawn.caption in (tmp_path / "index.html").read_text(encoding="utf-8")
    photo = dataclasses.replace(context, photo=jpeg(1, 0))
    (entry,) = find_figures(["brightness"])
    assert entry.needs_dataset(context) and not entry.needs_dataset(photo)


def test_two_figures_of_one_name_are_an_error():
    all_figures()
    with pytest.raises(ValueError, match="Two figures are named units"):
        figure("units", needs="images", order=0)(lambda context: RenderedFigure("", "", None))


def test_a_name_that_is_no_figure():
    with pytest.raises(UserError, match="Expected figures among convolution, .* Received: none"):
        find_figures(["units", "none"])


def test_an_svg_holds_text_and_no_bitmap(tmp_path):
    paper = FigureContext.from_model(AlexNet(narrow("paper"), 10), variant=narrow("paper"))
    render("architecture", paper).save(tmp_path)
    svg = (tmp_path / "architecture.svg").read_text(encoding="utf-8")
    assert "multiply-adds an image</text>" in svg and "<image" not in svg and "@font" not in svg
    assert "sans-serif" in svg and len(svg) < 60_000


def test_links_in_the_folder_are_replaced_and_not_followed(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "figures"
    outside.write_text("mine")
    folder.mkdir()
    for suffix in ("png", "svg", "txt", "json"):
        (folder / f"a.{suffix}").symlink_to(outside)
    RenderedFigure("A", "caption", new_figure("A"), name="a").save(folder)
    assert outside.read_text() == "mine"
    assert not any(path.is_symlink() for path in folder.iterdir())
