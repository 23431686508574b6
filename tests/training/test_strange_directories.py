"""Run directories that were cut short by a power cut, or that a stranger has made."""

import contextlib
import dataclasses
import hashlib
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError
from alexnet_tf.training import run
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.metadata import RunMetadata
from alexnet_tf.training.options import Options
from tests.training.short_runs import options

METADATA = RunMetadata(
    "tiny", "relu", ("a", "b"), "shapes", None, dataclasses.asdict(Options()), examples=4
)
STATISTICS = Statistics(np.ones((72, 72, 3), "f"), np.ones(3, "f"), np.eye(3, dtype="f"))


def save(directory, step, keep=3):
    directory.checkpoints.save(tf.train.Checkpoint(a=tf.Variable(1.0)), step, None, keep)


def begin(path, metadata=METADATA, statistics=lambda: STATISTICS):
    directory = ModelDirectory(path)
    with directory.lock():
        directory.begin(metadata, statistics)
    return directory


@pytest.fixture
def directory(tmp_path):
    directory = begin(tmp_path / "run")
    save(directory, 1)
    return directory


def not_again():
    raise AssertionError("the statistics are computed again")


@contextlib.contextmanager
def forced(monkeypatch):
    """Yields the numbers of all files and directories that are forced to disk."""
    found, real = set(), os.fsync
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: (found.add(os.fstat(fd).st_ino), real(fd)))
        yield found


HARMS = {
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[:300]),
    "missing": lambda path: path.unlink(),
    "other types": lambda path: path.write_text('{"variant": [], "classes": 3}'),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
}


@pytest.mark.parametrize("name", ["model.json", "statistics.npz"])
@pytest.mark.parametrize("harm", HARMS)
def test_a_lost_file_is_restored_from_a_checkpoint(directory, capsys, name, harm):
    before = (directory.path / name).read_bytes()
    HARMS[harm](directory.path / name)
    assert directory.read_metadata() == dataclasses.replace(
        METADATA, options=json.loads(json.dumps(METADATA.options))
    )
    capsys.readouterr()
    begin(directory.path, statistics=not_again)
    printed = capsys.readouterr()
    (line,) = (printed.err + printed.out).splitlines()
    assert str(directory.path / name) in line and "Using the copy in" in line
    assert (directory.path / name).read_bytes() == before


@pytest.mark.slow
def test_a_run_with_an_empty_card_goes_on(folder, tmp_path, capsys):
    run.train(options(folder, tmp_path, steps=1))
    (tmp_path / "model.json").write_bytes(b"")
    (tmp_path / "statistics.npz").write_bytes(b"")
    assert ModelDirectory(tmp_path).load()[2].step == 1
    assert run.train(options(folder, tmp_path, steps=2)).step == 2
    assert "Resuming after step 1" in capsys.readouterr().out


def test_the_files_are_on_disk_and_written_only_when_they_change(tmp_path, monkeypatch):
    path = tmp_path / "runs" / "one"
    with forced(monkeypatch) as found:
        directory = begin(path)
        save(directory, 1)
    for each in (path, path.parent, tmp_path, *path.rglob("*")):
        assert each.stat().st_ino in found, each
    before = {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in path.glob("*.*")}
    begin(path, statistics=not_again)
    assert before == {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in before}
    options = {**METADATA.options, "epochs": 99.0}
    begin(path, dataclasses.replace(METADATA, options=options), not_again)
    assert directory.read_metadata().options["epochs"] == 99


def test_links_under_temporary_names_are_not_followed(tmp_path):
    outside, path = tmp_path / "outside", tmp_path / "run"
    path.mkdir()
    outside.write_text("mine")
    for name in ("model.json", "statistics.npz"):
        stem, _, suffix = name.partition(".")
        for link in (name, f"{name}.partial", f"{stem}.partial.{suffix}", f"{name}.partial.npz"):
            (path / link).symlink_to(outside)
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "00000001.partial").symlink_to(tmp_path / "folder")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "variables.index").write_text("mine")
    directory = begin(path)
    (path / "checkpoints" / "00000000").symlink_to(tmp_path / "folder")
    for step in (1, 2):
        save(directory, step, keep=1)
    assert outside.read_text() == "mine"
    assert (tmp_path / "folder" / "variables.index").read_text() == "mine"
    assert directory.checkpoints.newest(set_aside=True).step == 2
    assert not (path / "model.json").is_symlink()


def test_only_checkpoints_are_deleted_where_a_link_leads(tmp_path):
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "run"
    mine = ("notes.partial", "old.damaged", "20240101/photo", "20240102.partial/photo")
    mine += ("00000003.damaged", "00000001.partial.txt", "00000004/variables and photo/photo", "x")
    for name in mine:
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        (elsewhere / name).write_text("mine")
    (elsewhere / "00000004" / "photo").write_text("mine")
    (elsewhere / "00000007.partial").mkdir()
    (elsewhere / "00000007.partial" / "variables.index").write_text("of a run that was killed")
    path.mkdir()
    (path / "checkpoints").symlink_to(elsewhere)
    directory = begin(path)
    for step in (5, 6):
        save(directory, step, keep=1)
        assert directory.checkpoints.newest(set_aside=True).step == step
    assert all((elsewhere / name).read_text() == "mine" for name in mine)
    assert not (elsewhere / "00000007.partial").exists()
    assert not (elsewhere / "00000005").exists()
    with directory.lock(), pytest.raises(UserError, match="in use"):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "checkpoints").symlink_to(elsewhere)
        begin(tmp_path / "other")


STRANGE = {
    "pipe": lambda path: os.mkfifo(path),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "directory": lambda path: path.mkdir(),
    "deep": lambda path: path.write_text("[" * 100_000),
    "huge": lambda path: path.write_text('{"variant": "' + "x" * 2**25),
    "link to nowhere": lambda path: path.symlink_to("nowhere"),
    "loop": lambda path: path.symlink_to(path.name),
}
CARD = dataclasses.asdict(METADATA)
WRONG_CARDS = {
    "many classes": {**CARD, "classes": ["a"] * 3_000_000},
    "too many classes": {**CARD, "classes": ["a"] * 100_001},
    "no class": {**CARD, "classes": []},
    "class": {**CARD, "classes": ["a", {}]},
    "examples": {**CARD, "examples": -3},
    "option": {**CARD, "options": {"learning_rate": "fast"}},
    "options": {**CARD, "options": [1]},
    "list": [],
    "zero byte": {**CARD, "data_dir": "a\0b"},
    "augmentations": {**CARD, "options": {"augment": True}},
    "an augmentation": {**CARD, "options": {"augment": [{}]}},
    "digest": {**CARD, "data_digest": 12},
    "split": {**CARD, "validation_split": ["val"]},
    "arguments": {**CARD, "arguments": {"loss argument": {}}},
}


def loads(directory):
    """Loads it, and returns the message."""
    with pytest.raises(UserError) as refused:
        directory.load()
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


@pytest.mark.parametrize("name", ["model.json", "statistics.npz"])
@pytest.mark.parametrize("kind", STRANGE)
def test_files_that_are_no_files_are_refused(directory, name, kind):
    for copy in directory.checkpoints.path.glob("*/*.*"):
        if copy.name == name:
            copy.unlink()
    (directory.path / name).unlink()
    STRANGE[kind](directory.path / name)
    assert name in loads(directory) or "checkpoint" in loads(directory)


@pytest.mark.parametrize("kind", WRONG_CARDS)
def test_cards_of_wrong_types_or_sizes_are_refused(tmp_path, kind):
    (tmp_path / "model.json").write_text(json.dumps(WRONG_CARDS[kind]))
    assert "model.json" in loads(ModelDirectory(tmp_path))


def rewrite(checkpoint, change):
    """Writes another manifest, with a checksum that is right."""
    path = checkpoint / "manifest.json"
    values = json.loads(path.read_text().partition("\n")[2])
    change(values)
    content = json.dumps(values)
    digest = hashlib.sha256(content.encode()).hexdigest()
    path.write_text(f"{digest}\n{content}")


MANIFESTS = {
    "no files": lambda values: values.update(files={}),
    "one file": lambda values: values["files"].pop("variables.data-00000-of-00001"),
    "a path": lambda values: values["files"].update({"../../model.json": {}}),
    "a size": lambda values: values["files"]["variables.index"].update(bytes="10"),
    "types": lambda values: values.update(files=[]),
    "step": lambda values: values["facts"].update(step="1"),
    "another step": lambda values: values["facts"].update(step=2),
    "error": lambda values: values["facts"].update(error=[]),
    "deep": lambda values: values["facts"].update(error=json.loads("[" * 80 + "]" * 80)),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_manifests_that_lie_are_refused(directory, kind):
    rewrite(directory.checkpoints.path / "00000001", MANIFESTS[kind])
    with pytest.raises(UserError, match="are damaged"):
        directory.checkpoints.newest()
    assert directory.checkpoints.best() is None


@pytest.mark.parametrize("kind", ["pipe", "device", "directory", "link to nowhere", "loop"])
@pytest.mark.parametrize("name", ["manifest.json", "variables.index"])
def test_checkpoints_of_other_files_are_refused(directory, name, kind):
    path = directory.checkpoints.path / "00000001" / name
    path.unlink()
    STRANGE[kind](path)
    with pytest.raises(UserError, match="are damaged"):
        directory.checkpoints.newest()


def arrays(**changes):
    return {**dataclasses.asdict(STATISTICS), **changes}


@pytest.mark.parametrize(
    "write",
    [
        lambda path: np.savez_compressed(path, **arrays(mean=np.zeros((2400, 2400, 3), "f"))),
        lambda path: np.savez(path, **arrays(mean=np.array([["a"]], object))),
        lambda path: np.savez(path, **arrays(mean=np.float32(3))),
        lambda path: np.savez(path, **arrays(mean=np.full((72, 72, 3), "x"))),
        lambda path: np.savez(path, **arrays(mean=np.ones((72, 72, 3), "D"))),
        lambda path: np.savez(path, **arrays(eigenvalues=np.full(3, np.inf, "f"))),
        lambda path: np.savez(path, **arrays(mean=np.ones((9, 9, 3), "f"))),
        lambda path: np.savez(path, mean=np.ones((72, 72, 3), "f")),
    ],
    ids=["inflates", "pickle", "scalar", "text", "complex", "infinite", "another size", "few"],
)
def test_statistics_that_lie_are_refused(directory, write):
    with (directory.path / "statistics.npz").open("wb") as file:
        write(file)
    with pytest.raises(UserError):
        Preprocessor(
            get_variant("tiny").preprocessing, Statistics.load(str(directory.statistics_path))
        )
