"""Odd files, paths, environments and layouts, by every command: a part of `tools.odd_inputs`."""

import os
import signal

import numpy as np
import pytest

from alexnet_tf.data.class_folders import class_names, list_images
from alexnet_tf.system.errors import UserError
from tests import commands
from tools.odd_inputs import COMMANDS, Combination, draw, judge
from tools.odd_things import ENVIRONMENTS, PATHS, files, layouts


@pytest.fixture(scope="module")
def odd_files(tmp_path_factory):
    """Name to a folder with a folder of a class that holds the file."""
    root = tmp_path_factory.mktemp("odd")
    folders = {name: root / str(number) for number, name in enumerate(files())}
    for name, make in files().items():
        (folders[name] / "class").mkdir(parents=True)
        make(folders[name] / "class")
    yield folders
    for folder in root.rglob("closed"):
        folder.chmod(0o700)


def test_every_odd_file_is_used_or_counted(odd_files):
    assert len(odd_files) > 100
    for name, folder in odd_files.items():
        inside = os.listdir(folder / "class")
        if name == "none" or (folder / "class" / inside[0]).is_dir():
            continue  # nothing to count
        try:
            found = list_images(folder, ("class",))
        except UserError:
            continue
        except PermissionError:
            assert name == "unreadable"
            continue
        assert len(found.names) + len(found.left_out) == 1, name


@pytest.mark.parametrize("layout", list(layouts()))
def test_every_layout_has_classes_or_a_reason(tmp_path, layout):
    layouts()[layout](tmp_path)
    for folder in (tmp_path, tmp_path / "train", tmp_path / "val"):
        try:
            assert class_names(folder)
        except UserError as error:
            assert "Expected" in str(error) and "\n" not in str(error)


def test_combinations_depend_on_the_seed_alone_and_hold_every_value():
    drawn = draw(300, np.random.default_rng(3))
    assert drawn[:20] == draw(20, np.random.default_rng(3))
    assert drawn[:20] != draw(20, np.random.default_rng(4))
    every = (COMMANDS, files(), PATHS, ENVIRONMENTS, layouts())
    fields = ("command", "file", "path", "environment", "layout")
    for field, values in zip(fields, every, strict=True):
        missing = set(values) - {getattr(each, field) for each in drawn}
        assert len(missing) < 0.2 * len(values), field
    assert len({pair for each in drawn for pair in each.pairs()}) > 0.7 * 300 * 10


PLAIN = Combination("prepare", "webp", "plain", "plain", "train, val")


@pytest.mark.parametrize(
    "code, stdout, stderr, result",
    [
        (0, "train:      9 images in 1 shards\n", "", "done"),
        (0, "train:      6 images in 1 shards\n", "", "fault: silent"),
        (0, "train:      6 images in 1 shards\n", "d: 3 left out: 3 no images\n", "done"),
        (1, "", "error: what to do\n", "one line"),
        (1, "", "", "fault: exit code 1 without a reason"),
        (1, "", "Traceback (most recent call last):\n  File\n", "fault: trace"),
        (0, "9 images\n", "E0000 00:00:1 2 jpeg_mem.cc:331] Premature\n", "fault: foreign line"),
        (0, "9 images\n\x1b[31m", "", "fault: control characters"),
        (-signal.SIGABRT, "", "", "fault: signal 6"),
        (None, "", "", "fault: time-out"),
    ],
)
def test_faults_are_told_from_answers(code, stdout, stderr, result):
    assert judge(PLAIN, code, stdout, stderr) == result


@pytest.mark.slow
def test_some_combinations_have_no_fault():
    done = commands.run("tools.odd_inputs", "--count=8", "--seed=11")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 combinations, 0 faults" in done.stdout
