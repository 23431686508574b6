"""What pictures are drawn of: with labels, without, with those of other classes."""

import csv
import dataclasses

import keras
import numpy as np
import pytest

from alexnet_tf.data.shapes import CLASSES, jpeg
from alexnet_tf.figures import activations
from alexnet_tf.figures.context import Images
from alexnet_tf.figures.registry import FIGURES
from alexnet_tf.figures.untrained import subject_of
from alexnet_tf.models.build import AlexNet
from alexnet_tf.models.feature_extraction import feature_model
from alexnet_tf.system.errors import UserError
from tests.figures.contexts import make_subject, narrow
from tests.figures.texts import find_faults

PHOTOS = [jpeg(1, index) for index in range(3)]


@pytest.fixture(scope="module")
def unlabelled():
    return make_subject(labelled=False, photo=jpeg(1, 5))


def test_nothing_is_said_of_classes_that_are_not_known(unlabelled, tmp_path):
    pictures = {name: FIGURES[name](unlabelled) for name in ("predictions", "neighbours", "units")}
    for picture in pictures.values():
        assert find_faults(picture.figure) == []
    assert set(pictures["predictions"].numbers) == {"images", "shown"}
    assert "not known" in pictures["predictions"].caption
    assert set(pictures["neighbours"].numbers) == {"images", "distances"}
    assert "that vary most" in pictures["units"].caption
    assert set(pictures["units"].numbers["units"][0]) == {"unit", "largest response"}
    with pytest.raises(UserError, match="Expected images labelled .* Received: no labels"):
        FIGURES["confusions"](unlabelled)
    FIGURES["projector"](unlabelled).save(tmp_path)
    with open(tmp_path / "projector" / "metadata.tsv", newline="", encoding="utf-8") as file:
        assert next(csv.reader(file, delimiter="\t")) == ["first guess", "image"]


def test_a_photograph_of_ones_own_is_the_first_query(unlabelled):
    numbers = FIGURES["neighbours"](unlabelled).numbers
    assert len(numbers["distances"]) == 5
    assert numbers["distances"][0][0] == pytest.approx(0, abs=1e-2)  # it is the sixth image itself
    assert all(row[0] > 0.1 for row in numbers["distances"][1:])


def test_a_dataset_of_other_classes(subject):
    others = tuple(f"other {i}" for i in range(12))
    theirs = dataclasses.replace(
        subject, open_images=lambda: Images(subject.given.split, others)
    )  # fmt: skip
    predictions = FIGURES["predictions"](theirs)
    assert "top-1 error" not in predictions.numbers and "other classes" in predictions.caption
    assert predictions.numbers["shown"][0]["true class"] == "other 0"
    assert predictions.numbers["shown"][0]["class"] in CLASSES
    neighbours = FIGURES["neighbours"](theirs).numbers
    same = FIGURES["neighbours"](subject).numbers
    assert neighbours == same and "precision@5, fc7" in same  # it takes no guess to have neighbours
    with pytest.raises(UserError, match="the model's 10 classes.* Received: 12 others"):
        FIGURES["confusions"](theirs)


def test_squares_that_are_not_kept_are_fetched(subject, monkeypatch):
    which = np.array([7, 0, 23, 7])
    kept = subject.squares(which)
    monkeypatch.setattr(activations, "_MEMORY", 0)
    lean = dataclasses.replace(subject)
    assert lean.survey.squares is None
    np.testing.assert_array_equal(lean.squares(which), kept)
    assert set(lean._fetched) == {0, 7, 23}
    monkeypatch.setattr("alexnet_tf.figures.context.fetch_squares", None)  # once is enough
    np.testing.assert_array_equal(lean.squares(which[:2]), kept[:2])


def test_features_of_a_photograph_are_those_of_the_survey(subject):
    features = subject.features(subject.squares(np.array([4])))
    np.testing.assert_allclose(features[0], subject.survey.features[4], rtol=1e-3, atol=1e-4)
    logits = subject.model.get_layer("fc8")(subject.model.get_layer("drop7")(features))
    inputs = subject.inputs(subject.squares(np.array([4])))
    np.testing.assert_allclose(logits, subject.model(inputs), rtol=1e-3, atol=1e-4)
    assert feature_model(subject.model).output.shape[-1] == features.shape[1]


def test_numpy_labels_and_names_that_cannot_be_drawn():
    names = [*CLASSES[:9], "bell\x07 and \ud83d half"]
    subject = subject_of(AlexNet("tiny", 10), PHOTOS, np.array([0, 9, 9]), names)
    assert subject.names(np.arange(3)) == ["disk", "bell and half", "bell and half"]
    assert FIGURES["predictions"](subject).numbers["images"] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"photos": []}, "Expected one photo or more. Received: none"),
        ({"labels": [0, 1]}, "a whole number for each of 3 photos"),
        ({"labels": [0.0, 1.0, 2.0]}, "a whole number for each"),
        ({"labels": [0, 1, 10]}, "Expected labels from 0 to 9. Received: 0 to 10"),
        ({"labels": [-1, 1, 2]}, "Received: -1 to 2"),
        ({"classes": ["a", "b"]}, "Expected names of 10 classes. Received: 2"),
        ({"layer": "conv9"}, r"Expected a layer among conv1.*Received: conv9"),
        ({"units": (1, 2, 1)}, r"Expected 6 units at most, each once. Received: --units=1,2,1"),
        ({"units": range(7)}, "Expected 6 units at most"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        subject_of(AlexNet("tiny", 10), **{"photos": PHOTOS, **arguments})


def test_units_and_photographs_that_there_are_not():
    with pytest.raises(UserError, match=r"0 to 63. Received: --units=64"):
        make_subject(units=(1, 64), images=2)
    with pytest.raises(UserError, match="Expected a JPEG"):
        _ = make_subject(images=2, photo=b"no").square


def test_the_row_of_a_model_is_found_or_asked_for():
    model = AlexNet("tiny", 10)
    assert subject_of(model, PHOTOS).variant.name == "tiny"
    tanh = dataclasses.replace(make_subject().variant, activation="tanh")
    assert subject_of(AlexNet(tanh, 10), PHOTOS).variant == tanh
    own = dataclasses.replace(tanh, name="my_own")
    with pytest.raises(UserError, match="Expected variant=.*alexnet_my_own is not one of paper"):
        subject_of(AlexNet(own, 10), PHOTOS)
    assert subject_of(AlexNet(own, 10), PHOTOS, variant=own).variant == own
    with pytest.raises(UserError, match="of the variant single_gpu.* conv1 with 34,944 parameters"):
        subject_of(AlexNet(narrow("single_gpu"), 10), PHOTOS)
    with pytest.raises(UserError, match="variant tiny with tanh.*with relu1"):
        subject_of(model, PHOTOS, variant=tanh)
    with pytest.raises(UserError, match="include_top=True.*ends with pool5"):
        subject_of(AlexNet("tiny", include_top=False), PHOTOS)


def test_a_network_without_a_first_pooling_or_with_small_maps():
    row = make_subject().variant
    first = dataclasses.replace(row.convs[0], then=("activation",), stride=4)
    own = dataclasses.replace(row, name="own", convs=(first, *row.convs[1:]))
    subject = subject_of(AlexNet(own, 10), PHOTOS, variant=own)
    with pytest.raises(UserError, match="Expected a network that pools after conv1. Received: own"):
        FIGURES["max-pooling"](subject)
    small = dataclasses.replace(
        row, name="small", convs=(dataclasses.replace(row.convs[0], stride=8), *row.convs[1:2]),
        denses=row.denses,
    )  # fmt: skip
    subject = subject_of(AlexNet(small, 10), PHOTOS, variant=small, layer="conv2")
    with pytest.raises(UserError, match="Expected a map of 9 × 9 or more.* Received: 8 × 8"):
        FIGURES["max-pooling"](subject)


def test_a_figure_and_a_picture_show_themselves_in_a_notebook(subject):
    picture = FIGURES["architecture"](subject)
    for shown in (picture, picture.figure):
        assert shown._repr_png_().startswith(b"\x89PNG")
    assert isinstance(subject.model, keras.Model)
