"""The doctor as a user meets it, on a folder with something wrong in it."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.data.contact_sheet import sample
from alexnet_tf.data.dataset import make_split
from alexnet_tf.data.shapes import CLASSES, jpeg
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.inspection import duplicates
from alexnet_tf.inspection.dataset_report import inspect_dataset
from alexnet_tf.inspection.dataset_stats import collect_stats
from alexnet_tf.inspection.duplicates import find_duplicates
from alexnet_tf.inspection.findings import describe_classes, find_faults
from alexnet_tf.models.variants import get_variant
from tests.commands import run
from tests.folders import write_folder
from tests.tfds_files import write_tfds


def again(encoded, **options):
    """The same picture, encoded again."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(encoded)).save(buffer, **options)
    return buffer.getvalue()


@pytest.fixture
def stats():
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
    return [collect_stats(split, 10) for split in splits]


def test_statistics_of_a_split(stats):
    train, validation = stats
    assert train.labels.tolist() == [4] + [3] * 9
    assert validation.labels.tolist() == [1] * 8 + [0] * 2
    assert dict(validation.formats) == {"JPEG": 6, "PNG": 1}
    assert validation.unreadable == {"val example 6": "truncated"}
    assert (set(validation.widths), set(validation.heights)) == ({256}, {256})


def test_duplicates_are_found_and_others_are_not(stats):
    exact = [("train example 7", "val example 2")]
    alike = [
        ("train example 11", "val example 4"),
        ("train example 17", "val example 5"),
    ]
    assert find_duplicates(*stats) == duplicates.Duplicates(exact, alike, relabelled=exact)


@pytest.mark.parametrize("pairs", [1, 7, 2**20])  # compared at a time
def test_similar_images_are_those_whose_hashes_differ_in_few_bits(pairs):
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, (300, 32), np.uint8)
    one[50:60] = 0xAB  # a band of equal bytes is as good as any other
    one[60:90, :20] = 0  # but not those of a sky
    other = one[::3].copy()
    flips = rng.integers(0, 60, len(other))
    for look, number in zip(other, flips, strict=True):
        bits = np.unpackbits(look)
        bits[rng.choice(256, number, replace=False)] ^= 1
        look[:] = np.packbits(bits)
    bits = np.bitwise_xor(one[:, None], other[None])
    near = np.unpackbits(bits, axis=2).sum(axis=2) <= 24  # [300, 100]
    shared = (one.view(np.uint16)[:, None] == other.view(np.uint16)[None]) & ~np.isin(
        one.view(np.uint16)[:, None], (0, 0xFFFF)
    )
    near &= shared.any(axis=2)
    expected = {j: int(near[:, j].argmax()) for j in range(100) if near[:, j].any()}
    assert len(expected) > 30
    assert duplicates.first_similar(one, other, pairs) == expected


def test_the_findings_name_every_fault(stats):
    found = "\n".join(find_faults(stats, find_duplicates(*stats), CLASSES))
    assert "1 val images cannot be read (12.50%)" in found
    assert "2 classes have no val images" in found
    assert "1 train images are copies of others" in found
    assert "1 validation images are also in the training set" in found
    assert "2 validation images look like images of the training set" in found
    assert "1 of these have different labels in the splits" in found
    assert len(found.splitlines()) == 6


def test_copies_with_other_labels_are_reported():
    images = [jpeg(0, i) for i in range(4)]
    train = make_split([*images, images[2], images[1], images[2]], [0, 1, 2, 3, 2, 1, 3], "train")
    validation = make_split([images[0], images[3]], [1, 3], "val")
    stats = [collect_stats(split, 4) for split in (train, validation)]
    pairs = find_duplicates(*stats)
    assert pairs.relabelled == [("train example 0", "val example 0")]
    found = "\n".join(find_faults(stats, pairs, CLASSES[:4]))
    assert "3 train images are copies of others" in found
    assert "1 train images are in several classes" in found
    assert "train example 2 and train example 6" in found
    assert "1 of these have different labels in the splits" in found


@pytest.mark.parametrize(
    "classes, words",
    [
        (("n01440764", "n01443537"), "2 of ILSVRC-2012's synsets, sorted"),
        (("n01443537", "n01440764"), "not sorted"),
        (("n00000001", "n01440764"), "1 of them not in ILSVRC-2012"),
        (("cat", "dog"), "not WordNet synsets"),
    ],
)
def test_label_order_is_compared_with_the_official_one(classes, words):
    assert words in describe_classes(classes)


def test_other_seeds_choose_other_images():
    split = make_split([jpeg(0, i) for i in range(60)], list(range(60)))
    labels = [[label for _, label in sample(split, 3, seed)] for seed in (0, 0, 1, 2)]
    assert labels[0] == labels[1]
    assert len({tuple(chosen) for chosen in labels}) == 3


def examine(tmp_path, *arguments):
    output = tmp_path / "report"
    done = run("alexnet_tf.doctor", f"--output={output}", *arguments)
    return done, output


@pytest.mark.slow
def test_the_command_reports_and_draws(tmp_path):
    folder = write_folder(tmp_path / "images", train=3, val=1)
    ring = folder / "val" / "ring"
    shutil.copy(next((folder / "train" / "ring").iterdir()), ring / "twin.jpg")
    (ring / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    (ring / "notes.txt").write_text("not an image")
    buffer = io.BytesIO()
    Image.open(io.BytesIO(jpeg(1, 3))).save(buffer, "WEBP")
    (ring / "webp.png").write_bytes(buffer.getvalue())  # which Pillow can read
    done, output = examine(tmp_path, "--dataset=folder", "--variant=tiny", f"--data_dir={folder}")
    assert done.returncode == 2, done.stderr
    assert f"unreadable: {ring / 'broken.jpg'}" in done.stdout
    assert "1 validation images are also in the training set" in done.stdout
    assert "mean colour, RGB in 0 to 255: " in done.stdout
    assert "val: 1 left out: 1 no images (ring/notes.txt)" in done.stdout
    assert "webp.png" not in done.stdout  # Pillow reads it in training, too
    assert "1 validation images cannot be read" in done.stdout
    assert (output / "report.txt").read_text().strip() in done.stdout
    report = json.loads((output / "report.json").read_text())
    assert report["train"]["classes"] == dict.fromkeys(sorted(CLASSES), 3)
    assert report["validation"]["classes"]["ring"] == 4
    assert report["validation"]["unreadable"] == {str(ring / "broken.jpg"): "no image"}
    assert [other for _, other in report["in_both"]["exact"]] == [str(ring / "twin.jpg")]
    sheet = np.asarray(Image.open(output / "batch.png").convert("RGB"))
    assert sheet.shape[1] > 6 * 72
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 1000  # pictures, not blank frames


@pytest.mark.slow
def test_a_dataset_of_other_squares_than_the_variants(tmp_path):
    folder = write_folder(tmp_path / "images", train=2, val=1)
    prepared = tmp_path / "prepared"
    arguments = ("--source=folder", "--size=72", f"--data_dir={folder}", f"--output={prepared}")
    assert run("alexnet_tf.prepare", *arguments).returncode == 0
    done, _ = examine(tmp_path, f"--dataset={prepared}", "--variant=tiny32")
    assert done.returncode in (0, 2), done.stderr
    assert "stored mean image: 72 pixels, not compared" in done.stdout
    done, _ = examine(tmp_path, f"--dataset={prepared}", "--variant=tiny")
    assert "stored mean image: differs by 0.00" in done.stdout


@pytest.mark.slow
def test_a_dataset_in_which_nothing_can_be_decoded(tmp_path):
    folder = write_folder(tmp_path / "images", train=1, val=1)
    for path in (folder / "train").rglob("*.jpg"):
        path.write_bytes(b"\xff\xd8\xff and no more")
    done, output = examine(tmp_path, "--dataset=folder", "--variant=tiny", f"--data_dir={folder}")
    assert done.returncode == 2, done.stderr
    assert "no training image of a sample could be decoded" in (output / "report.txt").read_text()


def test_a_dataset_without_a_training_set(tmp_path, capsys):
    data = write_tfds(tmp_path / "data", side=32, test=[0, 1, 2, 2])
    report = inspect_dataset(
        open_dataset(data, to_train=False), get_variant("tiny32").preprocessing
    )
    printed = capsys.readouterr().out
    assert "4 validation images (split test), 3 classes" in printed
    assert "in both splits" not in printed and report.sheet is None
    assert report.facts["test"]["classes"] == {"blue": 1, "green": 1, "red": 2}
    assert report.findings == []
    assert printed.strip().endswith("fit to evaluate on.")


@pytest.mark.slow
def test_what_is_held_out_is_named(tmp_path, capsys):
    data = write_tfds(tmp_path / "data", side=32, train=[0] * 20 + [1] * 20 + [2] * 20)
    report = inspect_dataset(open_dataset(data), get_variant("tiny32").preprocessing)
    assert report.facts["held-out"]["classes"] == {"blue": 2, "green": 2, "red": 2}
    assert "6 validation images (held out of train)" in capsys.readouterr().out
