"""Preparations in this process: what a second run makes of what a first one left."""

import fcntl
import functools
import io
import itertools
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from alexnet_tf.data.sources import open_dataset, open_split
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.preparation import directory, metadata, workers
from alexnet_tf.preparation.plan import Settings
from alexnet_tf.preparation.run import prepare_dataset
from alexnet_tf.preparation.shards import make_shard
from alexnet_tf.preparation.sources import open_folders, open_tfds_source
from alexnet_tf.system import files
from alexnet_tf.system.errors import UserError
from tests import commands
from tests.preparation import crashing_images
from tests.preparation.pictures import encode, photo
from tests.tfds_files import write_tfds

SETTINGS = Settings(size=32, quality=90, shard_examples=8, seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("in")
    for split, count in (("train", 20), ("val", 6)):
        for index in range(count):
            file = root / split / "ab"[index % 2] / f"{index}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(photo(index, 60, 50)))
    return root


class InlinePool:
    """As `Pool`, in this process."""

    def __init__(self, workers):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def map(self, tasks, stop, advance):
        for task in tasks:
            yield task, make_shard(task)


class CrashError(Exception):
    pass


class CrashingPool(InlinePool):
    """Ends the run after two shards."""

    def map(self, tasks, stop, advance):
        yield from itertools.islice(super().map(tasks, stop, advance), 2)
        raise CrashError


def prepare(folder, output, max_skipped=0.0, settings=SETTINGS, new_pool=InlinePool):
    source = open_folders(str(folder))
    return prepare_dataset(source, str(output), settings, 1, max_skipped, new_pool)


def tree(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """A complete dataset, made by processes."""
    output = tmp_path_factory.mktemp("out") / "dataset"
    assert prepare(folder, output, new_pool=workers.Pool).images == 26
    return output


@pytest.fixture
def crashed(folder, tmp_path):
    """Stopped just after its second shard was finished."""
    output = tmp_path / "crashed"
    with pytest.raises(CrashError):
        prepare(folder, output, new_pool=CrashingPool)
    return output, [f"folder-train.tfrecord-0000{number}-of-00003" for number in (0, 1)]


def test_statistics_are_numpys_to_a_ten_thousandth(whole):
    builder = tfds.builder_from_directory(whole)
    examples = builder.as_dataset(split="train", decoders={"image": tfds.decode.SkipDecoding()})
    images = [Image.open(io.BytesIO(e["image"])) for e in tfds.as_numpy(examples)]
    pixels = np.stack([np.asarray(image) for image in images])
    statistics = Statistics.load(str(whole / "statistics.npz"))
    np.testing.assert_allclose(statistics.mean, pixels.mean(axis=0), rtol=1e-4)
    values, vectors = np.linalg.eigh(np.cov(pixels.reshape(-1, 3).T / 255, bias=True))
    np.testing.assert_allclose(statistics.eigenvalues, values[::-1], rtol=1e-4)
    alike = np.abs((statistics.eigenvectors * vectors[:, ::-1]).sum(axis=0))
    np.testing.assert_allclose(alike, 1, atol=1e-4)


def test_a_directory_of_any_name_is_written_and_read(folder, whole, tmp_path):
    output = tmp_path / "size[64],\\*?\n" / "dataset"
    prepare(folder, output)
    assert tree(output) == tree(whole)
    assert len(list(open_dataset(str(output)).train.in_order().as_numpy_iterator())) == 20
    with pytest.raises(UserError, match="path in UTF-8"):
        prepare(folder, tmp_path / "\udcff")


def test_only_what_is_missing_is_done_again(folder, whole, crashed):
    output, written = crashed
    times = {name: (output / name).stat().st_mtime_ns for name in written}
    assert prepare(folder, output).images == 26 - 7 - 6  # shards of 6, 7 and 7, and of 6
    assert {name: (output / name).stat().st_mtime_ns for name in written} == times
    assert tree(output) == tree(whole)


def test_damaged_and_half_written_shards_are_made_again(folder, whole, crashed):
    output, written = crashed
    data = bytearray((output / written[0]).read_bytes())
    data[len(data) // 2] ^= 1
    (output / written[0]).write_bytes(data)
    (output / written[1]).unlink()
    (output / "folder-train.tfrecord-00002-of-00003.partial").write_bytes(b"half")
    assert prepare(folder, output).images == 26
    assert tree(output) == tree(whole)


def test_nothing_outside_is_written_and_no_file_of_others_deleted(folder, whole, crashed):
    output, _ = crashed
    outside, mine = output.parent / "outside", output / "notes.partial"
    outside.write_text("mine")
    mine.write_text("mine")
    (output / ".writing-abc").symlink_to(output.parent)  # of a run that was killed
    for name in (
        *("features.json", "dataset_info.json", "label.labels.txt", "statistics.npz"),
        *("unfinished.npz.partial", "report.json", "report.txt.partial", "statistics.npz.partial"),
        *(f"folder-train.tfrecord-00002-of-00003{end}" for end in ("", ".partial")),
    ):
        (output / name).symlink_to(outside)
    prepare(folder, output)
    assert outside.read_text() == mine.read_text() == "mine"
    made = tree(output)
    assert made.keys() == {*tree(whole), "notes.partial"}
    same = tree(whole).keys() - {"report.json", "report.txt"}  # they count the files
    assert all(made[name] == (whole / name).read_bytes() for name in same)
    assert not any(path.is_symlink() for path in output.iterdir())


@pytest.mark.parametrize(
    "harm",
    [
        lambda arrays, text: arrays.update(counts=np.zeros((9, 9), np.int64)),
        lambda arrays, text: arrays.update(total=arrays["total"].astype("f")),
        lambda arrays, text: arrays.pop("pictures"),
        lambda arrays, text: text.update(entries={"../x": {}}),
        lambda arrays, text: text.update(identity=[]),
        lambda arrays, text: next(iter(text["entries"].values())).update(skipped="none"),
        lambda arrays, text: next(iter(text["entries"].values())).update(split="other"),
    ],
)
def test_a_ledger_of_wrong_types_is_one_line(folder, crashed, harm):
    path = crashed[0] / "unfinished.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    text = json.loads(arrays.pop("text").tobytes())
    harm(arrays, text)
    np.savez(path, text=np.frombuffer(json.dumps(text).encode(), np.uint8), **arrays)
    with pytest.raises(UserError, match="unfinished.npz is damaged"):
        prepare(folder, crashed[0])


def test_a_source_that_changed_meanwhile_is_noticed(folder, crashed):
    output, _ = crashed  # with all of its finished shards
    changed = folder / "train" / "a" / "0.jpg"
    before, state = changed.read_bytes(), changed.stat()
    try:
        changed.write_bytes(encode(photo(99, 60, 50)))
        with pytest.raises(UserError, match="was begun with other splits. train was"):
            prepare(folder, output)
    finally:
        changed.write_bytes(before)
        os.utime(changed, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert prepare(folder, output).images == 26 - 7 - 6


def test_a_lost_shard_that_comes_out_differently_is_noticed(folder, crashed):
    """As where a file was changed and given its old time and length again."""
    output, written = crashed
    (output / written[0]).unlink()
    files = {path: path.read_bytes() for path in (folder / "train").rglob("*.jpg")}
    states = {path: path.stat() for path in files}

    def write(path, data):
        path.write_bytes(data)
        os.utime(path, ns=(states[path].st_atime_ns, states[path].st_mtime_ns))

    try:
        for path, data in files.items():
            other = encode(photo(99, 60, 50), quality=50)
            write(path, other[: len(data)].ljust(len(data), b"\0"))
        with pytest.raises(UserError, match="source has changed"):
            prepare(folder, output)
        assert not (output / written[0]).exists()
    finally:
        for path, data in files.items():
            write(path, data)


def test_killed_while_it_began_it_begins_again(folder, whole, tmp_path):
    output = tmp_path / "output"
    output.mkdir()
    (output / "unfinished.npz.partial").write_bytes(b"half")
    assert prepare(folder, output).images == 26
    assert tree(output) == tree(whole)


def test_the_ledger_has_the_form_of_the_first_versions_journal(crashed):
    """So that a preparation that it began can be continued."""
    output, _ = crashed
    with np.load(output / "unfinished.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"text", "counts", "pictures", "total", "products"}
        text = json.loads(arrays["text"].tobytes())
        assert arrays["counts"].shape == (2, 2) and arrays["total"].shape == (32, 32, 3)
    assert text["entries"]["folder-train.tfrecord-00000-of-00003"].keys() == {
        "split", "examples", "bytes", "sha256", "notes", "skipped"
    }  # fmt: skip


@pytest.mark.parametrize("change", [lambda data: b"", lambda data: data[:99], lambda data: b"text"])
def test_a_damaged_ledger_is_one_line(folder, crashed, change):
    ledger = crashed[0] / "unfinished.npz"
    ledger.write_bytes(change(ledger.read_bytes()))
    with pytest.raises(UserError, match="unfinished.npz is damaged"):
        prepare(folder, crashed[0])


def test_lost_shards_of_a_finished_dataset_are_made_again(folder, whole, tmp_path, capsys):
    mine = tmp_path / "mine"
    shutil.copytree(whole, mine)
    first, second, *others = sorted(mine.glob("*-train.tfrecord*"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    times = {path: path.stat().st_mtime_ns for path in others}
    result = prepare(folder, mine)
    assert "are made again: 2" in capsys.readouterr().out
    assert result.images == 20 - sum(
        result.report["prepared"]["train"]["shards"][path.name]["examples"] for path in others
    )
    assert tree(mine) == tree(whole)
    assert {path: path.stat().st_mtime_ns for path in others} == times


@pytest.mark.parametrize(
    "name", ["statistics.npz", "features.json", "dataset_info.json", "label.*"]
)
def test_a_complete_dataset_is_checked_to_the_bit(folder, whole, name):
    assert prepare(folder, whole).images == 0
    file = next(whole.glob(name))
    good = file.read_bytes()
    try:
        file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(UserError, match=f"{file.name} in .* is missing or has changed"):
            prepare(folder, whole)
    finally:
        file.write_bytes(good)


def test_all_of_it_is_on_disk_before_the_ledger_goes(folder, tmp_path, monkeypatch):
    forced = set()
    for module in (files, metadata):
        monkeypatch.setattr(module, "fsync_path", lambda path: forced.add(pathlib.Path(path).name))
    monkeypatch.setattr(directory.Ledger, "remove", lambda ledger: before.update(forced))
    before = set()
    prepare(folder, tmp_path / "output")
    for path in (tmp_path / "output").iterdir():
        # What got its name by being renamed was forced under the other.
        assert before & {path.name, path.name + ".partial"}, path.name
    assert "output" in before


def test_an_image_that_ends_the_decoder_is_skipped_and_reported(folder, tmp_path):
    (folder / "val" / "a" / "deadly.jpg").write_bytes(crashing_images.DEADLY)
    pool = functools.partial(workers.Pool, make=crashing_images.work)
    try:
        report = prepare(folder, tmp_path / "output", max_skipped=0.2, new_pool=pool).report
    finally:
        (folder / "val" / "a" / "deadly.jpg").unlink()
    assert report["prepared"]["validation"]["skipped"] == [("a/deadly.jpg", workers.ENDS)]
    assert report["prepared"]["validation"]["examples"] == 6
    assert report["prepared"]["train"]["examples"] == 20


@pytest.mark.parametrize("done", [True, False])
def test_other_settings_are_refused(folder, whole, crashed, done):
    with pytest.raises(UserError, match="other settings. seed was none and is 7 now"):
        prepare(folder, whole if done else crashed[0], settings=Settings(32, 90, 8, 7))


def test_too_many_unusable_images_end_it_until_more_are_allowed(folder, tmp_path):
    for name in "xyz":
        (folder / "val" / "b" / f"{name}.jpg").write_bytes(b"text")
    try:
        message = (
            "3 of the 9 validation images cannot be used so far .3 no image.: b/..jpg, b/..jpg, "
            "b/..jpg. At most 30.00% may be unusable. .*--max_skipped"
        )
        for _ in range(2):  # with the shard to make, and with it made
            with pytest.raises(UserError, match=message):
                prepare(folder, tmp_path / "output", max_skipped=0.3)
        result = prepare(folder, tmp_path / "output", max_skipped=0.34)
    finally:
        for name in "xyz":
            (folder / "val" / "b" / f"{name}.jpg").unlink()
    assert result.images <= 9  # the others were made before
    assert result.report["prepared"]["validation"]["skipped"] == [
        ("b/x.jpg", "no image"), ("b/y.jpg", "no image"), ("b/z.jpg", "no image")
    ]  # fmt: skip


def test_a_directory_of_something_else_is_left_alone(folder, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="other files, e.g. thesis.txt"):
        prepare(folder, tmp_path)
    assert tree(tmp_path) == {"thesis.txt": b"mine"}


def test_two_runs_do_not_share_a_directory(folder, whole):
    descriptor = os.open(whole, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="in use by another process"):
            prepare(folder, whole)
    finally:
        os.close(descriptor)


def test_a_dataset_of_tfds_is_a_source(folder, tmp_path):
    prepare(folder, tmp_path / "folder" / "1.0.0")
    source = open_tfds_source("folder", str(tmp_path))
    assert source.classes == ("a", "b")
    result = prepare_dataset(source, str(tmp_path / "out"), SETTINGS, 2, 0.0)
    assert not list((tmp_path / "out").glob("*.partial"))
    assert result.report["prepared"]["train"]["notes"] == {"kept": 20}
    (first, second) = (
        {
            e["file_name"]: (e["label"], e["image"].tobytes())
            for e in tfds.as_numpy(tfds.builder_from_directory(path).as_dataset(split="train"))
        }
        for path in (tmp_path / "folder" / "1.0.0", tmp_path / "out")
    )
    assert first == second
    assert len(first) == 20


@pytest.mark.parametrize(
    ("labels", "wanted", "prepared", "left_out"),
    [
        ({"train": [0, 1, 2, 2]}, (), ["train"], ()),
        ({"test": [0, 1, 2, 2]}, (), ["test"], ()),
        ({"test": [0], "valid": [1], "train": [2]}, (), ["train", "valid"], ("test",)),
        ({"test": [0], "train": [2]}, ("test",), ["test"], ("train",)),
    ],
)
def test_splits_of_tfds_keep_their_names(tmp_path, labels, wanted, prepared, left_out):
    write_tfds(tmp_path / "made" / "1.0.0", shards=1, **labels)
    source = open_tfds_source("made", str(tmp_path), wanted)
    assert source.left_out == left_out
    output = tmp_path / "out"
    for _ in range(2):  # the second time nothing is left to do
        result = prepare_dataset(source, str(output), SETTINGS, 1, 0.0, InlinePool)
        assert list(result.report["prepared"]) == prepared
    assert (output / "statistics.npz").exists() == ("train" in prepared)
    name = prepared[-1]
    found = open_split(str(output), None, name).validation
    assert (found.name, found.examples) == (name, len(labels[name]))


@pytest.mark.parametrize("name", ["new\nline", "ends in space ", "\udc85", "a\u2028b"], ids=ascii)
def test_names_that_tfds_cannot_keep_are_refused_before_any_work(folder, tmp_path, name):
    shutil.copytree(folder, tmp_path / "in")
    (tmp_path / "in" / "train" / "b").rename(tmp_path / "in" / "train" / name)
    (tmp_path / "in" / "val" / "b").rename(tmp_path / "in" / "val" / name)
    with pytest.raises(UserError, match="names of classes in UTF-8"):
        prepare(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_shard_that_is_not_as_it_was_written_is_named(whole, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(whole, mine)
    shard = sorted(mine.glob("*train.tfrecord*"))[1]
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with pytest.raises(UserError, match=f"another {shard.name}"):
        open_dataset(str(mine))
    shard.unlink()
    with pytest.raises(UserError, match=f"no {shard.name}"):
        open_dataset(str(mine))
    middle = len(content) // 2
    shard.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    open_dataset(str(mine))  # as long as before: its records would be wrong
    for command in ("doctor", "train"):
        flags = (f"--dataset={mine}", "--variant=tiny32")
        if command == "train":
            flags += (f"--model_dir={tmp_path / 'run'}", "--batch_size=4", "--steps=4")
        else:
            flags += (f"--output={tmp_path / 'report'}",)
        done = commands.run(f"alexnet_tf.{command}", *flags)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        (line,) = (each for each in done.stderr.splitlines() if each.startswith("error: "))
        assert (shard.name if command == "doctor" else "dataset is damaged") in line
