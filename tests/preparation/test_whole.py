"""The command as a user has it: archives in, a dataset out, whatever happens in between."""

import hashlib
import io
import json
import subprocess
import tarfile
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from alexnet_tf.data.shapes import jpeg
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.statistics import Statistics, compute_statistics
from alexnet_tf.models.spec import Preprocessing
from tests import commands
from tests.preparation.pictures import encode, photo

SYNSETS = ("n01440764", "n01443537", "n01484850", "n01491361")
PER_CLASS = 24
ODD = {
    "cmyk": encode(photo(1).convert("CMYK")),
    "png": encode(photo(2), "PNG"),
    "grey": encode(photo(3).convert("L")),
    "pixel": encode(photo(4, 1, 1)),
    "wide": encode(photo(5, 20_000, 40)),
    "truncated": encode(photo(6))[:4000],
    "text": b"hello, world",
    "empty": b"",
}
SKIPPED = {"truncated": 1, "no image": 1, "empty": 1}


def add(archive, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Miniatures of ILSVRC's two archives, laid out as those are, and the labels' file."""
    folder = tmp_path_factory.mktemp("archives")
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as train:
        for number, synset in enumerate(SYNSETS):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for i in range(PER_CLASS):
                    add(archive, f"{synset}_{i}.JPEG", jpeg(0, number + 10 * i))
                for name, data in ODD.items() if number == 0 else ():
                    add(archive, f"{synset}_{name}.JPEG", data)
            add(train, f"{synset}.tar", inner.getvalue())
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as validation:
        for i in range(8):
            add(validation, f"ILSVRC2012_val_{i + 1:08d}.JPEG", jpeg(1, i % 4))
    (folder / "labels.txt").write_text("".join(f"{SYNSETS[i % 4]}\n" for i in range(8)))
    return folder


def arguments(archives, output, *more):
    return [
        *("--source=imagenet", f"--data_dir={archives}", f"--val_labels={archives / 'labels.txt'}"),
        *(f"--output={output}", "--shard_examples=10", "--max_skipped=0.05", *more),
    ]


def run(archives, output, *more):
    return commands.run("alexnet_tf.prepare", *arguments(archives, output, *more))


def tree(folder):
    """Name → hash of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def prepared(archives, tmp_path_factory):
    output = tmp_path_factory.mktemp("prepared") / "imagenet"
    done = run(archives, output)
    assert done.returncode == 0, done.stderr
    return output


@pytest.mark.slow
def test_tfds_reads_every_usable_picture_once_with_its_label(prepared):
    builder = tfds.builder_from_directory(prepared)
    assert tuple(builder.info.features["label"].names) == SYNSETS
    names = set()
    for example in tfds.as_numpy(builder.as_dataset(split="train")):
        name = example["file_name"].decode()
        assert name.split("_")[0] == SYNSETS[example["label"]]
        assert example["image"].shape == (256, 256, 3)
        names.add(name)
    usable = {f"{s}_{i}.JPEG" for s in SYNSETS for i in range(PER_CLASS)}
    usable |= {f"{SYNSETS[0]}_{name}.JPEG" for name in ODD if name not in SKIPPED | {"text": 1}}
    assert names == usable
    assert builder.info.splits["validation"].num_examples == 8


def test_pictures_that_are_squares_already_are_kept(prepared):
    decoders = {"image": tfds.decode.SkipDecoding()}
    examples = tfds.builder_from_directory(prepared).as_dataset(
        split="validation", decoders=decoders
    )
    encoded = {e["file_name"].decode(): e["image"] for e in tfds.as_numpy(examples)}
    for i in range(8):
        assert encoded[f"ILSVRC2012_val_{i + 1:08d}.JPEG"] == jpeg(1, i % 4)


def test_the_report_counts_what_was_odd_and_what_was_skipped(prepared):
    train = json.loads((prepared / "report.json").read_text())["prepared"]["train"]
    assert train["examples"] == 4 * PER_CLASS + len(ODD) - 3
    reasons = [reason for _, reason in train["skipped"]]
    assert {reason: reasons.count(reason) for reason in reasons} == SKIPPED
    for note in ("CMYK", "PNG", "grey", "enlarged"):
        assert note in json.dumps(train)


def test_statistics_are_those_of_the_decoded_pictures(prepared):
    brought = Statistics.load(str(prepared / "statistics.npz"))
    source = open_dataset(str(prepared))
    assert source.statistics == str(prepared / "statistics.npz")
    computed = compute_statistics(source.train, Preprocessing())
    for name in ("mean", "eigenvalues", "eigenvectors"):
        found, expected = getattr(brought, name), getattr(computed, name)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_a_network_is_trained_and_evaluated_on_it(prepared, tmp_path):
    """From archives to an error: every validation picture counts once, under its synset."""
    model_dir, result = tmp_path / "run", tmp_path / "result.json"
    done = commands.run(
        "alexnet_tf.train",
        *(f"--dataset={prepared}", "--variant=tiny", "--batch_size=8", "--steps=4"),
        *(f"--model_dir={model_dir}", "--noexport"),
    )
    assert done.returncode == 0, done.stderr
    done = commands.run(
        "alexnet_tf.evaluate", f"--model_dir={model_dir}", f"--json={result}", "--views=10"
    )
    assert done.returncode == 0, done.stderr
    counts = {row["class"]: row["images"] for row in json.loads(result.read_text())["per_class"]}
    assert counts == dict.fromkeys(SYNSETS, 2)


def test_shards_are_mixtures_of_all_classes(prepared):
    source = open_dataset(str(prepared))
    first = next(iter(source.train.in_order().batch(30)))
    _, labels = source.train.parse(first)
    assert len(set(labels.numpy())) == 4


@pytest.mark.slow
def test_killed_twice_and_run_again_it_makes_the_same_bytes(archives, prepared, tmp_path):
    output = tmp_path / "imagenet"
    for kill in range(2):
        process = subprocess.Popen(
            commands.command("alexnet_tf.prepare", *arguments(archives, output, "--workers=1")),
            cwd=commands.ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and len(list(output.glob("*tfrecord-*-of-*"))) < 2 + 3 * kill:
            time.sleep(0.005)
        process.kill()
        assert process.wait() == -9, "it was done before it could be killed"
    assert not (output / "dataset_info.json").exists()
    done = run(archives, output)
    assert done.returncode == 0, done.stderr
    assert tree(output) == tree(prepared)


@pytest.mark.slow
def test_a_complete_dataset_is_left_alone(archives, prepared):
    before = tree(prepared)
    done = run(archives, prepared)
    assert "nothing to do" in done.stdout
    assert tree(prepared) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags, words",
    [
        (["--source=nothing"], "--source=imagenet, folder or tfds:NAME"),
        (["--val_labels=/nowhere"], "/nowhere"),
    ],
)
def test_mistakes_are_answered_in_one_line(archives, tmp_path, flags, words):
    done = run(archives, tmp_path / "out", *flags)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_folder_of_pictures(tmp_path):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            folder = tmp_path / "in" / split / name
            folder.mkdir(parents=True)
            (folder / "a.jpg").write_bytes(encode(photo(len(name), 300, 260)))
    done = commands.run(
        "alexnet_tf.prepare",
        *("--source=folder", "--size=64"),
        *(f"--data_dir={tmp_path / 'in'}", f"--output={tmp_path / 'out'}"),
    )
    assert done.returncode == 0, done.stderr
    source = open_dataset(str(tmp_path / "out"))
    assert source.classes == ("cat", "dog")
    assert (source.train.examples, source.train.square_size) == (2, 64)
    assert Image.open(io.BytesIO(first_image(source.train))).size == (64, 64)


def first_image(split):
    images, _ = split.parse(next(iter(split.in_order().batch(1))))
    return images[0].numpy()
