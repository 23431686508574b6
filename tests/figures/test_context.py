"""The inputs of figures: with labels, without labels, with labels of other classes."""

import csv
import dataclasses

import keras
import numpy as np
import pytest

from alexnet_tf.applications import AlexNet
from alexnet_tf.data.shapes import CLASSES, jpeg
from alexnet_tf.figures.context import FigureContext, FigureDataset, read_images
from alexnet_tf.figures.registry import render
from alexnet_tf.models.feature_extraction import feature_model
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError
from tests.figures.contexts import make_context, narrow, photos
from tests.figures.texts import find_faults

PHOTOS = photos(3)


@pytest.fixture(scope="module")
def tiny_model():
    return AlexNet("tiny", 10)


@pytest.fixture(scope="module")
def unlabelled():
    return make_context(labelled=False, photo=jpeg(1, 5))


def test_unknown_classes_are_left_out(unlabelled, tmp_path):
    figures = {name: render(name, unlabelled) for name in ("predictions", "neighbours", "units")}
    for rendered in figures.values():
        assert find_faults(rendered.figure) == []
    assert set(figures["predictions"].numbers) == {"images", "shown"}
    assert "not known" in figures["predictions"].caption
    assert set(figures["neighbours"].numbers) == {"images", "distances"}
    assert "have the most varied responses" in figures["units"].caption
    assert set(figures["units"].numbers["units"][0]) == {"unit", "largest response"}
    with pytest.raises(UserError, match="Expected images labelled .* Received: no labels"):
        render("confusions", unlabelled)
    render("projector", unlabelled).save(tmp_path)
    with open(tmp_path / "projector" / "metadata.tsv", newline="", encoding="utf-8") as file:
        assert next(csv.reader(file, delimiter="\t")) == ["first guess", "image"]


def test_your_photograph_is_the_first_query_and_labelled_as_such(context, unlabelled):
    for of in (unlabelled, dataclasses.replace(context, photo=jpeg(1, 5))):
        rendered = render("neighbours", of)
        distances = rendered.numbers["distances"]
        assert len(distances) == 5
        assert distances[0][0] == pytest.approx(0, abs=1e-2)  # it is the sixth image itself
        assert all(row[0] > 0.1 for row in distances[1:])
        labels = [axes.get_xlabel() for axes in rendered.figure.axes]
        assert labels[0] == "your photo" and labels.count("your photo") == 1
        assert "its class is unknown, so its neighbours are not marked" in rendered.caption
        assert not any(sign in label for label in labels[:8] for sign in "✓✗")  # the first row
    assert sum(sign in label for label in labels[8:] for sign in "✓✗") == 4 * 6
    assert "photograph" not in render("neighbours", context).caption


def test_a_dataset_of_other_classes(context):
    others = tuple(f"other {i}" for i in range(12))
    dataset = FigureDataset(context.dataset.split, others)
    elsewhere = dataclasses.replace(context, open_dataset=lambda: dataset)
    predictions = render("predictions", elsewhere)
    assert "top-1 error" not in predictions.numbers and "other classes" in predictions.caption
    assert predictions.numbers["shown"][0]["true class"] == "other 0"
    assert predictions.numbers["shown"][0]["class"] in CLASSES
    neighbours = render("neighbours", elsewhere).numbers
    same = render("neighbours", context).numbers
    assert neighbours == same and "precision@5, fc7" in same  # neighbours need no predictions
    with pytest.raises(UserError, match="the model's 10 classes.* Received: 12 others"):
        render("confusions", elsewhere)


def test_images_that_are_not_kept_are_read_again_once(context, monkeypatch):
    rows = np.array([7, 0, 23, 7])
    read = []

    def count(classifier, split, index):
        read.append(list(index))
        return read_images(classifier, split, index)

    monkeypatch.setattr("alexnet_tf.figures.context.read_images", count)
    lean = dataclasses.replace(context, image_memory=0)
    assert lean.activations.images is None
    for some in (rows, rows[:2]):
        np.testing.assert_array_equal(lean.images(some), context.images(some))
    assert read == [[0, 7, 23]]


def test_features_of_an_image_are_those_of_its_activations(context):
    features = context.features(context.images(np.array([4])))
    np.testing.assert_allclose(features[0], context.activations.features[4], rtol=1e-3, atol=1e-4)
    logits = context.model.get_layer("fc8")(context.model.get_layer("drop7")(features))
    inputs = context.inputs(context.images(np.array([4])))
    np.testing.assert_allclose(logits, context.model(inputs), rtol=1e-3, atol=1e-4)
    assert feature_model(context.model).output.shape[-1] == features.shape[1]


def test_numpy_labels_and_names_that_cannot_be_drawn():
    names = [*CLASSES[:9], "bell\x07 and \ud83d half"]
    context = FigureContext.from_model(AlexNet("tiny", 10), PHOTOS, np.array([0, 9, 9]), names)
    assert context.true_names(np.arange(3)) == ["disk", "bell and half", "bell and half"]
    assert render("predictions", context).numbers["images"] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"photos": [], "labels": [0]}, "a whole number for each of 0 photos"),
        ({"labels": [0, 1]}, "a whole number for each of 3 photos"),
        ({"labels": [0.0, 1.0, 2.0]}, "a whole number for each"),
        ({"labels": [0, 1, 10]}, "Expected labels from 0 to 9. Received: 10"),
        ({"labels": [-1, 1, 2]}, "Received: -1"),
        ({"classes": ["a", "b"]}, "Expected names of 10 classes. Received: 2"),
        ({"layer": "conv9"}, r"Expected a layer among conv1.*Received: conv9"),
        ({"units": (1, 2, 1)}, r"Expected 6 units at most, each once. Received: --units=1,2,1"),
        ({"units": range(7)}, "Expected 6 units at most"),
        ({"units": (1, 64)}, "0 to 63. Received: --units=64"),
    ],
)
def test_arguments_that_do_not_go_together(tiny_model, arguments, words):
    with pytest.raises(UserError, match=words):
        FigureContext.from_model(tiny_model, **{"photos": PHOTOS, **arguments})


def test_a_photo_that_is_no_image(context):
    with pytest.raises(UserError, match="Expected the photo to be a JPEG"):
        _ = dataclasses.replace(context, photo=b"no").photo_image


def test_without_photos_only_what_needs_them_fails(tiny_model):
    alone = FigureContext.from_model(tiny_model)
    for name in ("convolution", "architecture", "first-layer-kernels"):
        assert render(name, alone).name == name
    with pytest.raises(UserError, match="This figure needs images, and there are none"):
        render("predictions", alone)


def test_the_row_of_a_model_is_found_or_asked_for(tiny_model):
    model = tiny_model
    assert FigureContext.from_model(model, PHOTOS).variant.name == "tiny"
    tanh = dataclasses.replace(get_variant("tiny"), activation="tanh")
    assert FigureContext.from_model(AlexNet(tanh, 10), PHOTOS).variant == tanh
    own = dataclasses.replace(tanh, name="my_own")
    with pytest.raises(UserError, match="Expected variant=.*alexnet_my_own is not one of paper"):
        FigureContext.from_model(AlexNet(own, 10), PHOTOS)
    assert FigureContext.from_model(AlexNet(own, 10), PHOTOS, variant=own).variant == own
    with pytest.raises(UserError, match="of the variant single_gpu.* conv1 with 34,944 parameters"):
        FigureContext.from_model(AlexNet(narrow("single_gpu"), 10), PHOTOS)
    with pytest.raises(UserError, match="variant tiny with tanh.*with relu1"):
        FigureContext.from_model(model, PHOTOS, variant=tanh)
    with pytest.raises(UserError, match="include_top=True.*ends with pool5"):
        FigureContext.from_model(AlexNet("tiny", include_top=False), PHOTOS)


def test_a_network_without_a_first_pooling_or_with_small_maps():
    row = get_variant("tiny")
    first = dataclasses.replace(row.convs[0], post_ops=("activation",), stride=4)
    own = dataclasses.replace(row, name="own", convs=(first, *row.convs[1:]))
    context = FigureContext.from_model(AlexNet(own, 10), PHOTOS, variant=own)
    with pytest.raises(UserError, match="Expected a network that pools after conv1. Received: own"):
        render("max-pooling", context)
    small = dataclasses.replace(
        row, name="small", convs=(dataclasses.replace(row.convs[0], stride=8), *row.convs[1:2]),
        denses=row.denses,
    )  # fmt: skip
    context = FigureContext.from_model(AlexNet(small, 10), PHOTOS, variant=small, layer="conv2")
    with pytest.raises(UserError, match="Expected a map of 9 × 9 or more.* Received: 8 × 8"):
        render("max-pooling", context)


def test_figures_show_themselves_in_a_notebook(context):
    figure = render("architecture", context)
    for shown in (figure, figure.figure):
        assert shown._repr_png_().startswith(b"\x89PNG")
    assert isinstance(context.model, keras.Model)
