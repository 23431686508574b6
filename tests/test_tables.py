"""The tables in README.md and docs/ are those that the code gives."""

import re

import pytest

from alexnet_tf.applications import AlexNet
from alexnet_tf.system.errors import UserError
from tests import commands
from tests.commands import ROOT
from tools import tables


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("page", tables.pages(), ids=lambda page: page.name)
def test_pages_hold_the_tables_of_the_code(page):
    text = page.read_text(encoding="utf-8")
    assert tables.with_tables(text) == text, "run `python -m tools.tables --write`"


def test_marked_tables_are_replaced_and_nothing_else():
    page = "a\n<!-- table: folders -->\nold | row\n<!-- end -->\nb\n<!-- end -->\n"
    written = tables.with_tables(page)
    assert written.startswith("a\n<!-- table: folders -->\n| folder |")
    assert written.endswith("|\n<!-- end -->\nb\n<!-- end -->\n")
    assert "| `models/` | the network" in written and "old | row" not in written
    assert tables.with_tables(written) == written
    with pytest.raises(UserError, match="Expected tables among variants, .*Received: flag"):
        tables.with_tables(page.replace("folders", "flag"))


def test_the_table_of_variants_is_true():
    (tiny,) = re.findall(r"^\| `tiny` .*", tables.variants_table(), re.MULTILINE)
    parameters = [f"{AlexNet('tiny', classes=n).count_params():,}" for n in (1000, 10)]
    assert [cell.strip() for cell in tiny.split("|")][4:6] == parameters
    assert "| 724 M |" in tables.variants_table()  # multiply-adds of `paper`


@pytest.mark.parametrize(
    "name, row",
    [
        ("recipes", "| channels | RGB | RGB | RGB | BGR | RGB |"),
        ("recipes", "| order of images | not said; ours: shuffled in each epoch | not said; ours"),
        ("flags-train", "| `--cache` | `none` | "),
        ("flags-train", "runs/&lt;dataset>-&lt;variant> |"),
        (
            "flags-evaluate",
            "| `--checkpoint` | `newest` | best: with the lowest validation ",
        ),
    ],
)
def test_tables_hold_what_the_code_says(name, row):
    assert row in tables.TABLES[name]()


def test_flags_of_training_are_in_the_order_of_its_options():
    names = re.findall(r"`--(\w+)`", tables.TABLES["flags-train"]())
    assert names.index("momentum") < names.index("weight_decay") < names.index("export")


def test_the_command_prints_a_table():
    done = commands.run("tools.tables", "recipes")
    assert done.stdout.startswith("<!-- table: recipes -->\n|  | paper |"), done.stderr
    done = commands.run("tools.tables", "recipe")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Received: recipe" in done.stderr
