"""Paths that users name: URLs, home directories, and what TensorFlow takes for patterns."""

import os
import pathlib

import pytest
import tensorflow as tf
from absl import flags as absl_flags

from alexnet_tf import app, flags
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.serving.saved_model import find_version, write_version
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.paths import local_path, tensorflow_path
from alexnet_tf.training.directory import ModelDirectory

ODD = ["lr[0.01]", "[", "a\\b", "b*?c", "{a,b}", "new\nline", "größe", "\udcff\udcfe", "100%", " "]


@pytest.mark.parametrize("name", ODD)
def test_tensorflow_writes_and_reads_below_any_name(tmp_path, name):
    folder = tmp_path / name / "inner"
    folder.mkdir(parents=True)
    with tensorflow_path(folder) as path:
        tf.train.Checkpoint(a=tf.Variable(3.0)).write(os.path.join(path, "variables"))
    assert (folder / "variables.index").exists()
    restored = tf.train.Checkpoint(a=tf.Variable(0.0))
    with tensorflow_path(folder) as path:
        restored.read(os.path.join(path, "variables")).assert_consumed()
    assert restored.a.numpy() == 3


def test_other_names_are_left_as_they_are(tmp_path):
    with tensorflow_path(tmp_path / "runs, größe=1") as path:
        assert path == str(tmp_path / "runs, größe=1")


URLS = [
    "gs://bucket/run",
    "s3://bucket",
    "hdfs://host/run",
    "file:///run",
    "https://host/run",
    "gs:/b",
]


@pytest.mark.parametrize(
    "url", [*URLS, pathlib.Path("gs://bucket/run"), "", "a\0b", "~nobody-here/a"]
)
def test_what_is_no_path_of_this_machine_is_refused(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    for use in (
        local_path,
        ModelDirectory,
        find_version,
        lambda url: write_version(url, lambda folder: None),
        lambda url: open_dataset("folder", url),
    ):
        with pytest.raises(UserError):
            use(url)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["loop", "loop/x", "a" * 256, "x/" * 3000])
def test_paths_that_the_system_refuses_are_one_short_line(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    os.symlink("loop", "loop")
    with pytest.raises(UserError, match="--output to be a path that can be opened") as refused:
        local_path(path, "--output")
    assert len(str(refused.value)) < 400


def test_an_error_of_the_system_is_one_line(capsys):
    def main(argv):
        os.listdir("/no/such\n/place")

    with pytest.raises(SystemExit) as ended:
        app._guarded(main, ["program"], lambda: False)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: /no/such\\n/place: No such file or directory\n"


def test_home_directories(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert local_path("~/runs") == pathlib.Path("/home/me/runs")
    assert local_path("./~x").expanduser() == pathlib.Path.cwd() / "~x"
    assert local_path("../a b") == pathlib.Path("../a b")
    assert local_path("C:/x") == pathlib.Path("C:/x")  # a directory called C:


def parsed(text):
    where = absl_flags.FlagValues()
    flags.define_paths("model_dir", None, "", flag_values=where)
    where(["program", f"--model_dir={text}"])
    return where.model_dir


def test_commas_in_names_of_directories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("lr=0.1,wd=0", "one", "two", "a,b,c", "b", '"quoted"', "end,", "x ,y"):
        os.mkdir(name)
    assert parsed("lr=0.1,wd=0") == ["lr=0.1,wd=0"]
    assert parsed("one,two") == ["one", "two"]
    assert parsed("one, two") == ["one", "two"]
    assert parsed("one,lr=0.1,wd=0,two") == ["one", "lr=0.1,wd=0", "two"]
    assert parsed("a,b,c,b") == ["a,b,c", "b"]
    assert parsed('"lr=0.1,wd=0",one') == ["lr=0.1,wd=0", "one"]  # as CSV, as before
    assert parsed('"quoted"') == ['"quoted"']
    assert parsed("end,") == ["end,"]
    assert parsed("x ,y,one") == ["x ,y", "one"]
    assert parsed("no,where") == ["no", "where"]
    assert parsed("") == []
