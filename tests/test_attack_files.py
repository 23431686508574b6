"""Strangers' files, mutated: a small part of tools.attack_files, and that it notices faults."""

import dataclasses
import os
import re
import subprocess

import pytest

from alexnet_tf.system.errors import UserError
from tests import commands
from tools.attack import targets
from tools.attack.watch import Watch
from tools.attack_files import Attack

QUICK = [name for name, kind in targets.KINDS.items() if not kind.path.startswith("model/")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("attack")
    targets.make_originals(root, targets.KINDS["run card"])
    return root, Watch(root)


@pytest.mark.parametrize("name", QUICK)
def test_a_few_mutations_of_each_kind(folder, tmp_path, name):
    attack = Attack(targets.KINDS[name], *folder, tmp_path / "copy")
    for number in range(6):
        for command, outcome in attack.try_one(number, seed=1).items():
            assert not outcome.faults, (number, command)


def unpickle(stranger):
    (stranger.parent / "tmp" / "pickle").write_bytes(b"cposix\ngetpid\n)R.")
    import pickle

    pickle.loads((stranger.parent / "tmp" / "pickle").read_bytes())


def import_it(stranger):
    code = compile("x = 1", str(stranger / "stranger.py"), "exec")
    exec(code, {})


def refuse(stranger):
    raise UserError("a" * 3000)


def replace(stranger):
    os.rename(stranger / "stranger.py", stranger.parent / "outside" / "stranger.py")


def follow_a_link(stranger):
    (stranger / "link").symlink_to(stranger.parent / "outside" / "victim")
    (stranger / "link").write_text("attacked")


def start(stranger):
    subprocess.run(["true"], check=True)


@pytest.mark.parametrize(
    "harm, words",
    [
        (unpickle, "unpickles posix.getpid"),
        (import_it, "runs .*stranger.py"),
        (refuse, "a message of 3,000 characters"),
        (replace, "os.rename .*outside/stranger.py"),
        (follow_a_link, "writes .*outside/victim"),
        (start, "subprocess.Popen"),
        (lambda stranger: [][1], "IndexError in test_attack_files.py"),
        (lambda stranger: exec("import this"), "imports this"),
    ],
)
def test_harm_is_noticed(folder, tmp_path, harm, words):
    kind = dataclasses.replace(targets.KINDS["run card"], commands={"harm": harm})
    attack = Attack(kind, *folder, tmp_path / "copy")
    assert re.search(words, "\n".join(attack.try_one(0, seed=1)["harm"].faults))


@pytest.mark.slow
def test_mutated_graphs_and_labels():
    kinds = "--kinds=saved_model.pb,a model's labels"
    done = commands.run("tools.attack_files", "--mutations=8", "--seed=1", kinds)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^\| (.*?) \| .*? \| 8 \| \d \| \d \| 0 \|", done.stdout, re.MULTILINE)
    assert rows == ["saved_model.pb", "a model's labels"]
