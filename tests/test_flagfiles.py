"""Flagfiles and recipes: found from any directory, also in an installed package."""

import pathlib
import shutil
import subprocess
import sys

import pytest
from absl import flags

from alexnet_tf import flagfiles
from alexnet_tf.flags import define_options, read_flagfile, read_options
from tests.commands import ROOT, run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a folder of flagfiles in it."""
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "recipes"


def test_a_file_is_found_relative_to_the_one_that_names_it(folder):
    (folder / "base.flags").write_text("--seed=1\n--batch_size=8\n")
    (folder / "own.flags").write_text("# own\n// too\n\n  --flagfile=base.flags\n--seed=2\n")
    expected = ["--seed=1", "--batch_size=8", "--seed=2", "--xla"]
    for form in (["--flagfile=recipes/own.flags"], ["-flagfile", "recipes/own.flags"]):
        assert flagfiles.expand([*form, "--xla"]) == expected


def test_or_else_relative_to_the_working_directory(folder):
    (folder / "base.flags").write_text("--seed=1")
    (folder / "own.flags").write_text("--flagfile=recipes/base.flags")
    assert flagfiles.expand(["--flagfile=recipes/own.flags"]) == ["--seed=1"]


def test_a_byte_order_mark_is_skipped(folder):
    (folder / "own.flags").write_bytes(b"\xef\xbb\xbf--seed=7\r\n")
    assert read_flagfile(folder / "own.flags").seed == 7


@pytest.mark.parametrize(
    "line, expected",
    [
        ("--seed=1  # of the run", "--seed=1"),
        ("--seed=1\t// of the run", "--seed=1"),
        ("--xla  # faster", "--xla"),
        ("--data_dir=/sets/a#1", "--data_dir=/sets/a#1"),
        ("--data_dir=gs://bucket/a", "--data_dir=gs://bucket/a"),
        ('--data_dir="/my sets/a # 1"  # quoted', "--data_dir=/my sets/a # 1"),
        ("--data_dir='/my sets'", "--data_dir=/my sets"),
        ("--data_dir=/my sets/o'neil", "--data_dir=/my sets/o'neil"),
        ("--data_dir='a','b'", "--data_dir='a','b'"),
        ('"--seed=1"', "--seed=1"),
        ("--seed 1", "--seed=1"),
        ("--seed = 1", "--seed=1"),
        ('--augment=""', "--augment="),
        ("--augment=  # none", "--augment="),
    ],
)
def test_a_line_is_read_as_people_write_it(folder, line, expected):
    (folder / "own.flags").write_text(f"{line}\n")
    assert flagfiles.expand(["--flagfile=recipes/own.flags"]) == [expected]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_files_as_windows_writes_them_are_read(folder, encoding):
    (folder / "base.flags").write_bytes("--data_dir=Bücher\r\n\x1a".encode(encoding))
    own = "# mine\r\n--flagfile base.flags  # beside this one\r\n--seed=7\r\n"
    (folder / "own.flags").write_bytes(own.encode(encoding))
    assert read_flagfile("recipes/own.flags").data_dir == "Bücher"
    assert read_flagfile("recipes/own.flags").seed == 7


def test_a_file_that_names_itself_is_read_once(folder):
    (folder / "own.flags").write_text("--flagfile=own.flags\n--seed=1")
    assert flagfiles.expand(["--flagfile=recipes/own.flags"]) == ["--seed=1"]


def test_arguments_behind_the_flags_are_left_alone():
    for rest in (["--", "--flagfile=none"], ["word", "--flagfile=none"]):
        assert flagfiles.expand(["--seed=1", *rest]) == ["--seed=1", *rest]


@pytest.mark.parametrize("content", [None, b"\xff\xfe-"])
def test_a_file_that_cannot_be_read_is_named(folder, content):
    if content:
        (folder / "own.flags").write_bytes(content)
    with pytest.raises(flags.Error, match="own.flags: (No such file|not a text)"):
        flagfiles.expand(["--flagfile=recipes/own.flags"])
    with pytest.raises(flags.Error, match="no argument"):
        flagfiles.expand(["--flagfile"])


def test_a_recipe_is_a_flagfile_of_configs(folder):
    expected = flagfiles.expand([f"--flagfile={ROOT / 'configs' / 'paper.flags'}"])
    assert "--variant=paper" in expected and "--epochs=90" in expected
    for form in (["--recipe=paper"], ["--recipe", "paper"]):
        assert flagfiles.expand(form) == expected
    assert flagfiles.expand(["--recipe=paper"], with_recipes=False) == ["--recipe=paper"]


def test_an_unknown_recipe_gets_the_names_that_exist():
    with pytest.raises(flags.Error, match=r"recipe=nope.*<caffe\|cifar10\|.*paper\|shapes>"):
        flagfiles.expand(["--recipe=nope"])


def test_old_names_of_flags_and_augmentations_are_accepted():
    where = flags.FlagValues()
    define_options(where)
    where(["", "--steps_per_call=7", "--lighting_until=3", "--augment=crop,reflect,lighting"])
    options = read_options(where)
    assert (options.steps_per_execution, options.pca_noise_until) == (7, 3.0)
    assert options.augment == ("crop", "flip", "pca_noise")
    text = where.module_help(sys.modules["alexnet_tf.flags"]) + where.main_module_help()
    assert "steps_per_call" not in text


def test_the_installed_package_has_its_recipes(tmp_path):
    """As setup.py installs it: built into a folder, and used from another directory."""
    source = tmp_path / "source"
    for name in ("alexnet_tf", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "setup.py", "-q", "build", "--build-lib", str(tmp_path / "built")]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(source)
    assert (tmp_path / "built" / "alexnet_tf" / "configs" / "paper.flags").is_file()
    done = subprocess.run(
        [sys.executable, "-m", "alexnet_tf.train", "--recipe=caffe", "--recipe_report"],
        cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path / "built")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "--variant=caffe does" in done.stdout
    assert pathlib.Path(flagfiles.recipe_folder()) == ROOT / "configs"


def test_a_negated_flag_with_a_value_is_an_error_of_one_line():
    done = run("alexnet_tf.train", "--noexport=true")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: --noexport=true does not take an argument")
    assert done.stderr.count("\n") == 1
