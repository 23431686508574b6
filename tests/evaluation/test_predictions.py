"""Metrics and reports of six examples that can be counted by hand; published errors."""

import csv
import hashlib
import json

import numpy as np
import pytest

from alexnet_tf.data.dataset import make_split
from alexnet_tf.evaluation import published as published_module
from alexnet_tf.evaluation.predictions import Predictions
from alexnet_tf.evaluation.published import identify_images, published
from alexnet_tf.evaluation.report import Report

CLASSES = ("ant", "bee", "cow")
# ant, ant, ant taken for cow, bee taken for cow, unreadable bee, bee taken for cow; no cow at all.
PREDICTIONS = Predictions(
    labels=np.array([0, 0, 0, 1, 1, 1]),
    readable=np.array([True, True, True, True, False, True]),
    predicted=np.array([[0, 1], [0, 2], [2, 0], [2, 0], [0, 0], [2, 1]]),
    probabilities=np.array(
        [[0.9, 0.1], [0.5, 0.3], [0.6, 0.4], [0.8, 0.2], [0, 0], [0.7, 0.3]], "f"
    ),
    losses=np.array([0.1, 0.7, 0.9, 3.0, 99.0, 1.2], "f"),
    views=10,
)


def make_report(
    predictions=PREDICTIONS, classes=CLASSES, variants=("paper",), steps=(7,), split=None
):
    return Report(predictions, split, classes, "farm", "validation", variants, steps)


def test_unreadable_images_are_in_no_metric():
    result = PREDICTIONS.evaluation()
    assert (result.examples, result.unreadable, result.views) == (5, 1, 10)
    assert (result.top1_error, result.top5_error) == (3 / 5, 1 / 5)
    assert result.loss == pytest.approx((0.1 + 0.7 + 0.9 + 3.0 + 1.2) / 5)


def test_classes_and_confusions():
    assert PREDICTIONS.per_class_counts(3).tolist() == [[3, 2, 3], [2, 0, 1], [0, 0, 0]]
    assert PREDICTIONS.confusions() == [(1, 2, 2), (0, 2, 1)]


def test_text_begins_with_the_metrics_and_the_worst_classes():
    head, *lines = make_report().text(rows=10).splitlines()
    assert head.startswith("paper, step 7, farm validation: top-1 error 60.00%, top-5 error 20.00%")
    assert [line.split()[0] for line in lines[2:5]] == ["bee", "ant", "cow"]
    assert lines[2].split() == ["bee", "2", "100.0%", "50.0%"]
    assert lines[3].split() == ["ant", "3", "33.3%", "0.0%"]
    assert lines[4].split() == ["cow", "0", "-", "-"]
    assert lines[7].split() == ["bee", "2", "100.0%", "cow"]
    assert lines[8].split() == ["ant", "1", "33.3%", "cow"]
    assert len(make_report().text(rows=1).splitlines()) == 7
    averaged = make_report(variants=("paper", "tiny"), steps=(7, 1000))
    assert averaged.text(rows=0).startswith("paper+tiny, step 7+1,000, farm")
    assert len(averaged.text(rows=0).splitlines()) == 1


def test_json_is_complete():
    values = json.loads(make_report().as_json())
    assert values["top1_error"] == 0.6
    assert values["per_class"][2]["top1_error"] is None
    assert values["confusions"][0] == {"class": "bee", "taken_for": "cow", "images": 2}
    assert (values["variant"], values["step"], values["dataset"]) == ("paper", 7, "farm")
    assert (values["split"], values["published"]) == ("validation", [])
    averaged = json.loads(make_report(variants=("paper", "tiny"), steps=(7, 9)).as_json())
    assert (averaged["variant"], averaged["step"]) == ("paper+tiny", [7, 9])


@pytest.mark.parametrize("files", [True, False])
def test_csv_has_a_line_for_each_image(files, tmp_path):
    names = ["a.jpg", "b,c.jpg", "d.jpg", "e.jpg", "f.jpg", 'g"h.jpg']
    split = make_split(names, PREDICTIONS.labels.tolist(), "val", files)
    make_report(split=split).write_csv(tmp_path / "predictions.csv")
    header, *rows = csv.reader((tmp_path / "predictions.csv").open(newline=""))
    pairs = ["guess1", "probability1", "guess2", "probability2"]
    assert header == ["index", "image", "label", "correct", *pairs]
    assert [row[1] for row in rows] == (names if files else [f"val example {i}" for i in range(6)])
    assert [row[3] for row in rows] == ["1", "1", "0", "0", "", "0"]
    assert rows[2][4:] == ["cow", "0.600000024", "ant", "0.400000006"]
    assert rows[4][2:] == ["bee", "", "", "", "", ""]


def test_names_are_text_in_spreadsheets_and_on_terminals_and_exact_in_json(tmp_path):
    names = ("=1+1", "\x1b[31mbee", "\u202ecow")
    files = ["-1.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg"]
    split = make_split(files, PREDICTIONS.labels.tolist(), "val", files=True)
    report = make_report(classes=names, split=split)
    report.write_csv(tmp_path / "predictions.csv")
    _, *rows = csv.reader((tmp_path / "predictions.csv").open(newline=""))
    cells = {cell for row in rows for cell in row}
    assert {"'=1+1", "'-1.jpg", names[1]} <= cells and "=1+1" not in cells
    text = report.text(rows=9)
    assert all(line.isprintable() for line in text.splitlines())
    assert r"\x1b[31mbee" in text and r"\u202ecow" in text
    found = json.loads(report.as_json())
    assert tuple(row["class"] for row in found["per_class"]) == names


SYNSETS = tuple(f"n{number:08d}" for number in range(1000))  # none of ILSVRC-2012's
FIFTY = np.full(1000, 50)


def test_published_errors_are_those_of_the_sources():
    def of(variant):
        return [str(line) for line in published(variant, SYNSETS, FIFTY)]

    assert of("paper") == [
        "40.7% and 18.2% (ILSVRC-2012 validation, 10 views; paper, table 2)",
        "38.1% and 16.4% (ILSVRC-2012 validation, 5 models, 10 views; paper, table 2)",
        "36.7% and 15.4% (ILSVRC-2012 validation, 7 models, 10 views; "
        "paper, table 2; two of them trained on more images)",
        "37.5% and 17.0% (ILSVRC-2010 test, 10 views; paper, table 1)",
        "39.0% and 18.3% (ILSVRC-2010 test, centre crop; paper, footnote 5)",
    ]
    assert of("slides") == ["37.5% and 17.0% (ILSVRC-2010 test, 10 views; paper, table 1)"]
    assert of("code2012")[0].endswith("run 145; validation, ten views: inferred)")
    assert of("caffe") == [
        "42.9% and 19.8% (ILSVRC-2012 validation, centre crop; Caffe, models/bvlc_alexnet, "
        "iteration 360,000)"
    ]
    (caffenet,) = of("caffenet")  # 57.4 and 80.4 % right, as Caffe says
    assert "42.6% and 19.6%" in caffenet and "iteration 310,000" in caffenet
    assert of("tiny") == []


def test_published_errors_are_shown_for_imagenet_only():
    assert published("paper", CLASSES, FIFTY[:3]) == ()
    assert published("paper", SYNSETS[:999], FIFTY[:999]) == ()
    some = np.where(np.arange(1000) == 7, 0, 50)  # a class without an image
    assert published("paper", SYNSETS, some) == ()


def test_imagenets_sets_are_known_by_their_synsets_and_numbers_of_images(monkeypatch):
    assert identify_images(SYNSETS, 3 * FIFTY) == "ILSVRC-2010 test"
    assert identify_images(SYNSETS, FIFTY) is None  # might be the validation set of 2010
    lines = "".join(f"{synset}\n" for synset in SYNSETS).encode()
    monkeypatch.setattr(published_module, "_SYNSETS_2012", hashlib.sha256(lines).hexdigest())
    assert identify_images(SYNSETS, FIFTY) == "ILSVRC-2012 validation"
    assert identify_images(SYNSETS[::-1], FIFTY) == "ILSVRC-2012 validation"  # in any order
    assert identify_images(SYNSETS, 3 * FIFTY) is None
    assert identify_images(CLASSES, FIFTY[:3]) is None


@pytest.mark.parametrize(
    "images_of_each, views, variants, head, comparable",
    [
        (150, 10, ("paper",), "published: 37.5%", 1),
        (150, 1, ("paper",), "published: 39.0%", 1),
        (150, 10, ("paper",) * 2, "published, but for other images and models: 40.7%", 0),
        (50, 10, ("paper",), "published, but for other images: 40.7%", 0),
        (1, 1, ("paper",), "published, but for other images and views: 40.7%", 0),
    ],
)
def test_errors_are_comparable_for_the_same_images_views_and_models(
    images_of_each, views, variants, head, comparable
):
    labels = np.repeat(np.arange(1000), images_of_each)
    predictions = Predictions(
        labels=labels, readable=np.arange(len(labels)) > 0, predicted=labels[:, None],
        probabilities=np.ones((len(labels), 1), "f"), losses=np.zeros(len(labels), "f"),
        views=views,
    )  # fmt: skip
    if images_of_each == 1:
        predictions.readable[0] = True
    report = make_report(predictions, SYNSETS, variants, (1,) * len(variants))
    assert report.text(rows=0).splitlines()[1].startswith(head)
    values = json.loads(report.as_json())["published"]
    assert sum(line["comparable"] for line in values) == comparable
    keys = {"top1_error", "top5_error", "images", "views", "models", "source", "comparable"}
    assert len(values) == 5 and all(line.keys() == keys for line in values)


def test_different_variants_have_no_published_error():
    labels = np.arange(1000)
    ones = np.ones(1000, "f")
    predictions = Predictions(labels, ones > 0, labels[:, None], ones[:, None], ones, views=1)
    report = make_report(predictions, SYNSETS, ("paper", "caffe"), (1, 1))
    assert report.published() == []
