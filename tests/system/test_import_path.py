"""Modules in the working directory are not imported, unless the package itself is there."""

import os
import pathlib
import subprocess
import sys

import pytest

import alexnet_tf
from alexnet_tf.system.import_path import leave_out_working_directory
from tests.folders import write_folder

CLONE = pathlib.Path(alexnet_tf.__file__).parents[1]
# Modules of Python, of dependencies, and one that dependencies import if it is there.
NAMES = ("json", "random", "socket", "pickle", "multiprocessing", "absl", "numpy", "wandb")


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A working directory where each of these modules leaves a trace."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(3)"
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": "", **environment},
        text=True,
        capture_output=True,
        check=False,
    )


def test_a_program_imports_nothing_from_there(hostile):
    for module in (("-m", "alexnet_tf.launch"), ("-malexnet_tf.launch",)):
        done = run(*module, "--help", cwd=hostile, PYTHONPATH=str(CLONE))
        assert done.returncode == 0, done.stderr
    assert not (hostile / "ran").exists()


@pytest.mark.slow
def test_neither_do_the_processes_of_a_preparation(hostile):
    folder = write_folder(hostile / "images", train=1, val=1)
    arguments = ("-m", "alexnet_tf.prepare", "--source=folder", f"--data_dir={folder}", "--size=32")
    done = run(*arguments, "--output=out", "--workers=2", cwd=hostile, PYTHONPATH=str(CLONE))
    assert done.returncode == 0, done.stderr
    assert not (hostile / "ran").exists()
    # Where the package is in the working directory, the processes find it.
    done = run(*arguments, f"--output={hostile / 'again'}", cwd=CLONE)
    assert done.returncode == 0, done.stderr


def test_a_script_keeps_its_path(monkeypatch):
    """Only `python -m alexnet_tf...` changes it."""
    for argv, orig in (
        (["script.py"], ["python", "script.py"]),
        (["-m"], ["python", "-m", "mine"]),
    ):
        monkeypatch.setattr(sys, "argv", argv)
        monkeypatch.setattr(sys, "orig_argv", orig)
        before = [os.getcwd(), *sys.path]
        monkeypatch.setattr(sys, "path", list(before))
        leave_out_working_directory()
        assert sys.path == before
