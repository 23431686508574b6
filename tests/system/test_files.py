"""Files that are complete or absent, and locks that name their holder."""

import os
import subprocess
import sys

import numpy as np
import pytest

from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import atomic_rename, locked, reason_of, write_atomically
from tests.commands import ROOT


def test_a_file_has_its_name_only_when_it_is_complete(tmp_path):
    path = tmp_path / "numbers.npz"
    with write_atomically(path) as file:
        np.savez(file, numbers=[1, 2])
        assert os.listdir(tmp_path) == ["numbers.npz.partial"]
    assert np.load(path)["numbers"].tolist() == [1, 2]
    assert os.listdir(tmp_path) == ["numbers.npz"]


def test_after_an_error_the_earlier_file_is_left(tmp_path):
    path = tmp_path / "model.json"
    path.write_text("before")
    with pytest.raises(OSError, match="No space"), write_atomically(path) as file:
        file.write(b"half")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["model.json"]


def test_a_directory_can_be_renamed_too(tmp_path):
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / "file").write_text("text")
    atomic_rename(tmp_path / "new.partial", tmp_path / "new")
    assert (tmp_path / "new" / "file").read_text() == "text"


def test_a_lock_keeps_others_out_and_leaves_nothing_behind(tmp_path):
    with locked(tmp_path, "--output"):
        for _ in range(2):
            with pytest.raises(UserError) as refused, locked(tmp_path, "--output"):
                pass
        assert str(refused.value).startswith(f"{tmp_path} is in use by another process")
        assert str(refused.value).endswith("Choose another --output or stop it.")
    with locked(tmp_path, "--output"):
        assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="only Linux tells who has a lock")
def test_the_process_that_has_the_lock_is_named(tmp_path):
    code = (
        "import pathlib, sys; from alexnet_tf.system.files import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), ''): print('locked', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "locked\n"
        with (
            pytest.raises(UserError, match=rf"another process \(pid {process.pid}\)\. Choose"),
            locked(tmp_path, "--output"),
        ):
            pass
        process.communicate("\n")


def test_the_reason_is_in_the_words_of_the_system():
    assert reason_of(OSError(28, "No space left on device")) == "No space left on device"
    error = RuntimeError("append to events; No space left on device [Op:WriteScalar]\n at line 3")
    assert reason_of(error) == "No space left on device"
