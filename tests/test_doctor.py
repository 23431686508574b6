"""The doctor as a user meets it, on a folder with something wrong in it."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.data.census import look_alikes, take_census, twins
from alexnet_tf.data.shapes import CLASSES, jpeg
from alexnet_tf.data.split import make_split
from alexnet_tf.data.verdict import describe_classes, findings
from tests.commands import run
from tests.folders import write_folder


def again(encoded, **options):
    """The same picture, encoded again."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(encoded)).save(buffer, **options)
    return buffer.getvalue()


@pytest.fixture
def censuses():
    train = [jpeg(0, i) for i in range(30)]
    validation = [jpeg(1, i) for i in range(8)]
    validation[2] = train[7]
    validation[4] = again(train[11], format="jpeg", quality=85)
    validation[5] = again(train[17], format="png")
    validation[6] = train[13][:2000]
    splits = (
        make_split(train + train[:1], [i % 10 for i in range(31)], "train"),
        make_split(validation, list(range(8)), "val"),
    )
    return [take_census(split, 10) for split in splits]


def test_a_census_counts_what_is_there(censuses):
    train, validation = censuses
    assert train.labels.tolist() == [4] + [3] * 9
    assert validation.labels.tolist() == [1] * 8 + [0] * 2
    assert dict(validation.formats) == {"JPEG": 6, "PNG": 1}
    assert validation.unreadable == {"val example 6": "truncated"}
    assert (set(validation.widths), set(validation.heights)) == ({256}, {256})


def test_twins_are_found_and_others_are_not(censuses):
    exact = [("train example 7", "val example 2")]
    alike = [
        ("train example 11", "val example 4"),
        ("train example 17", "val example 5"),
        ("train example 7", "val example 2"),
    ]
    assert twins(*censuses) == exact
    assert look_alikes(*censuses) == alike


def test_the_verdict_names_every_fault(censuses):
    found = "\n".join(findings(*censuses, CLASSES))
    assert "1 val images cannot be read (12.50%)" in found
    assert "2 classes have no val images" in found
    assert "1 train images are copies of others" in found
    assert "3 validation images are in the training set too" in found
    assert len(found.splitlines()) == 4


@pytest.mark.parametrize(
    "classes, words",
    [
        (("n01440764", "n01443537"), "2 of ILSVRC-2012's synsets, sorted"),
        (("n01443537", "n01440764"), "not sorted"),
        (("n00000001", "n01440764"), "1 of them not in ILSVRC-2012"),
        (("cat", "dog"), "not synsets"),
    ],
)
def test_label_order_is_set_against_the_official_one(classes, words):
    assert words in describe_classes(classes)


def test_the_command_reports_and_draws(tmp_path):
    folder = write_folder(tmp_path / "images", train=3, val=1)
    ring = folder / "val" / "ring"
    shutil.copy(next((folder / "train" / "ring").iterdir()), ring / "twin.jpg")
    (ring / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    output = tmp_path / "report"
    done = run(
        "alexnet_tf.doctor",
        *("--dataset=folder", "--variant=tiny", f"--data_dir={folder}", f"--output={output}"),
    )
    assert done.returncode == 2, done.stderr
    assert f"unreadable: {ring / 'broken.jpg'}" in done.stdout
    assert "1 validation images are in the training set too" in done.stdout
    assert "mean colour, RGB in 0 to 255: " in done.stdout
    assert (output / "report.txt").read_text().strip() in done.stdout
    sheet = np.asarray(Image.open(output / "batch.png").convert("RGB"))
    assert sheet.shape[1] > 6 * 72
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 1000  # pictures, not blank frames
