"""Markdown tables of the documentation, made from the code.

python -m tools.tables                      prints every table
python -m tools.tables variants recipes     prints some of them
python -m tools.tables --write              puts them into README.md, BUILD.md and docs/*.md

In a page, a table stands between `<!-- table: NAME -->` and `<!-- end -->`. tests/test_tables.py
checks that it equals the output of this tool.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from xml.etree import ElementTree

from absl import flags as absl_flags

import alexnet_tf
from alexnet_tf import app, flags
from alexnet_tf.models.layer_summary import layer_summary
from alexnet_tf.models.variants import VARIANTS, get_variant
from alexnet_tf.recipes.points import NOTES
from alexnet_tf.recipes.report import SOURCES, compare, read_sources
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.options import Options

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "alexnet_tf"
_FLAGS = absl_flags.FLAGS
_MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(argv: list[str]) -> None:
    """Prints or writes the tables."""
    if unknown := sorted(set(argv) - set(TABLES)):
        raise UserError(f"Expected tables among {', '.join(TABLES)}. Received: {unknown[0]}")
    if _FLAGS.write:
        if argv:
            raise UserError(f"Expected --write without names of tables. Received: {argv[0]}")
        for page in pages():
            text = page.read_text(encoding="utf-8")
            page.write_text(with_tables(text), encoding="utf-8")
        return
    for name in argv or TABLES:
        print(f"<!-- table: {name} -->\n{TABLES[name]()}<!-- end -->\n")


def pages() -> list[pathlib.Path]:
    """The pages that may hold tables."""
    return [ROOT / "README.md", ROOT / "BUILD.md", *sorted((ROOT / "docs").glob("*.md"))]


def with_tables(text: str) -> str:
    """Returns a page with all marked tables replaced.

    Raises:
        UserError: a marker names an unknown table.
    """

    def replace(match: re.Match) -> str:
        """One table between its markers."""
        if match[2] not in TABLES:
            raise UserError(f"Expected tables among {', '.join(TABLES)}. Received: {match[2]}")
        return f"{match[1]}{TABLES[match[2]]()}{match[3]}"

    return _MARKED.sub(replace, text)


def _table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
    rows = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(_cell(value) for value in row)} |\n" for row in rows)


def _cell(value: object) -> str:
    """Escapes text for a table: the separator of cells, and HTML outside of code."""
    text = str(value).replace("|", "\\|")
    pieces = text.split("`")  # every second one is code
    pieces[::2] = [piece.replace("<", "&lt;") for piece in pieces[::2]]
    return "`".join(pieces)


def variants_table() -> str:
    """Name, summary, input and cost of every variant."""
    rows = []
    for name, variant in VARIANTS.items():
        thousand, ten = layer_summary(variant), layer_summary(variant, classes=10)
        size = variant.preprocessing.crop_size
        rows.append(
            [f"`{name}`", variant.summary, f"{size}×{size}×3"]
            + [f"{sum(layer.parameters for layer in layers):,}" for layers in (thousand, ten)]
            + [f"{sum(layer.multiply_adds for layer in thousand) / 1e6:,.0f} M"]
        )
    parameters = [f"parameters, {classes} classes" for classes in ("1,000", "10")]
    return _table(["variant", "what it is", "input", *parameters, "multiply-adds"], rows)


def recipes_table() -> str:
    """The points on which the sources disagree, with a column for each source."""
    sources = read_sources(ROOT / "configs", flags.read_flagfile)
    recipe = (get_variant("paper"), Options())
    rows = []
    for point, _, theirs in compare(recipe, sources):
        cells = []
        for source, value in theirs.items():
            note = NOTES.get(source, {}).get(point)
            cells.append(f"{value} ({note})" if note else value)
        if len({*cells}) > 1:
            rows.append([point, *cells])
    return _table(["", *SOURCES], rows)


def folders_table() -> str:
    """The folders of the package, from the map in `alexnet_tf.__doc__`."""
    rows = []
    for folder, holds in re.findall(r"^    (\w+/) +(.+)$", alexnet_tf.__doc__, re.MULTILINE):
        files = [file for file in (PACKAGE / folder).rglob("*.py") if file.name != "__init__.py"]
        lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
        # Rounded, so that the table does not change with every commit.
        rows.append([f"`{folder}`", holds, len(files), f"{round(lines, -2):,}"])
    return _table(["folder", "what it holds", "files", "lines, about"], rows)


def flags_table(module: str) -> str:
    """The flags of an entry point, as its --help has them.

    Training's flags come in the order of `Options`, in the groups that its fields name.

    Args:
        module: its name, such as "alexnet_tf.train".
    """
    done = subprocess.run(
        [sys.executable, "-m", module, "--helpxml"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    # Other flags than key flags are absl's own.
    found = [flag for flag in ElementTree.fromstring(done.stdout) if flag.find("key") is not None]
    order = {field.name: index for index, field in enumerate(dataclasses.fields(Options))}
    found.sort(key=lambda flag: order.get(flag.findtext("name"), len(order)))  # absl: by name
    rows = []
    for flag in found:
        name, default, meaning = map(flag.findtext, ("name", "default", "meaning"))
        meaning = re.sub(r"^<[^>]*>: ", "", meaning)  # absl's list of the values of an enum
        values = [f"`{value.text}`" for value in flag.findall("enum_value")]
        meaning = f"{meaning}: {', '.join(values)}" if values else meaning
        rows.append([f"`--{name}`", f"`{default}`" if default else "", meaning])
    return _table(["flag", "default", "meaning"], rows)


_ENTRY_POINTS = ("train", "evaluate", "predict", "export", "prepare", "doctor", "serve", "client",
                 "launch", "figures")  # fmt: skip
TABLES: dict[str, Callable[[], str]] = {
    "variants": variants_table,
    "recipes": recipes_table,
    "folders": folders_table,
    **{
        f"flags-{name}": lambda name=name: flags_table(f"alexnet_tf.{name}")
        for name in _ENTRY_POINTS
    },
}


if __name__ == "__main__":
    absl_flags.DEFINE_bool("write", False, "write the tables into the pages that mark them")
    app.run(main, needs_tensorflow=lambda: False)
