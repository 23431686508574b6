"""Tables of six examples that can be counted by hand."""

import csv
import io
import json

import numpy as np
import pytest

from alexnet_tf.data.dataset import make_split
from alexnet_tf.evaluation import report
from alexnet_tf.evaluation.predictions import Predictions
from alexnet_tf.evaluation.published import published

CLASSES = ("ant", "bee", "cow")
# ant, ant, ant taken for cow, bee taken for cow, unreadable bee, bee taken for cow; no cow at all.
PREDICTIONS = Predictions(
    labels=np.array([0, 0, 0, 1, 1, 1]),
    readable=np.array([True, True, True, True, False, True]),
    guesses=np.array([[0, 1], [0, 2], [2, 0], [2, 0], [0, 0], [2, 1]]),
    scores=np.array([[0.9, 0.1], [0.5, 0.3], [0.6, 0.4], [0.8, 0.2], [0, 0], [0.7, 0.3]], "f"),
    losses=np.array([0.1, 0.7, 0.9, 3.0, 99.0, 1.2], "f"),
    views=10,
)


def test_errors_leave_the_unreadable_out():
    result = PREDICTIONS.evaluation()
    assert (result.examples, result.unreadable, result.views) == (5, 1, 10)
    assert (result.top1_error, result.top5_error) == (3 / 5, 1 / 5)
    assert result.loss == pytest.approx((0.1 + 0.7 + 0.9 + 3.0 + 1.2) / 5)


def test_classes_and_confusions():
    assert PREDICTIONS.by_class(3).tolist() == [[3, 2, 3], [2, 0, 1], [0, 0, 0]]
    assert PREDICTIONS.confusions() == [(1, 2, 2), (0, 2, 1)]


def test_text_begins_with_the_worst():
    lines = report.as_text(PREDICTIONS, CLASSES, rows=10).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["bee", "ant", "cow"]
    assert lines[1].split() == ["bee", "2", "100.0%", "50.0%"]
    assert lines[2].split() == ["ant", "3", "33.3%", "0.0%"]
    assert lines[3].split() == ["cow", "0", "-", "-"]
    assert lines[6].split() == ["bee", "2", "100.0%", "cow"]
    assert lines[7].split() == ["ant", "1", "33.3%", "cow"]
    assert len(report.as_text(PREDICTIONS, CLASSES, rows=1).splitlines()) == 5


def test_json_is_complete():
    values = json.loads(json.dumps(report.as_dict(PREDICTIONS, CLASSES)))
    assert values["top1_error"] == 0.6
    assert values["per_class"][2]["top1_error"] is None
    assert values["confusions"][0] == {"class": "bee", "taken_for": "cow", "images": 2}


@pytest.mark.parametrize("files", [True, False])
def test_csv_has_a_line_for_each_image(files):
    names = ["a.jpg", "b,c.jpg", "d.jpg", "e.jpg", "f.jpg", 'g"h.jpg']
    split = make_split(names, PREDICTIONS.labels.tolist(), "val", files)
    text = io.StringIO()
    report.write_csv(text, PREDICTIONS, split, CLASSES)
    header, *rows = csv.reader(io.StringIO(text.getvalue()))
    assert header[:4] == ["index", "image", "label", "correct"]
    assert [row[1] for row in rows] == (names if files else [f"val example {i}" for i in range(6)])
    assert [row[3] for row in rows] == ["1", "1", "0", "0", "", "0"]
    assert rows[2][4:] == ["cow", "0.600000024", "ant", "0.400000006"]
    assert rows[4][2:] == ["bee", "", "", "", "", ""]


def test_published_figures_are_of_imagenet_only():
    images = np.ones(1000, int)
    synsets = tuple(f"n{number:08d}" for number in range(1000))
    assert any("40.7% and 18.2%" in str(line) for line in published("paper", synsets, images))
    assert any("42.9% and 19.8%" in str(line) for line in published("caffe", synsets, images))
    (caffenet,) = published("caffenet", synsets, images)  # 57.4 and 80.4 % right, as Caffe says
    assert "42.6% and 19.6%" in str(caffenet)
    assert caffenet.is_like(1, 1) and not caffenet.is_like(10, 1) and not caffenet.is_like(1, 2)
    (seven,) = (line for line in published("paper", synsets, images) if line.is_like(10, 7))
    assert "36.7% and 15.4%" in str(seven)
    assert [str(line)[:5] for line in published("slides", synsets, images)] == ["37.5%"]
    assert published("tiny", synsets, images) == ()
    assert (
        published("paper", CLASSES, images[:4])
        == published("paper", synsets[:999], images[:999])
        == ()
    )
    some = np.where(np.arange(1000) == 7, 0, 1)  # a class without an image
    assert published("paper", synsets, some) == ()
