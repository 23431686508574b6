"""On which points the sources of AlexNet disagree, and which of them a run follows.

The points are those of `recipe_points.py`. A source is its own row of `models/variants.py` and its
own flagfile in `configs/`.
"""

from __future__ import annotations

import pathlib
import textwrap
from collections.abc import Callable

from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import get_variant
from alexnet_tf.recipes.points import FIXED, POINTS
from alexnet_tf.training.options import Options

# Name of a source: its variant, and its flagfile in configs/.
SOURCES = {
    "paper": ("paper", "paper.flags"),
    "slides": ("slides", "paper.flags"),
    "original code": ("code2012", "code2012.flags"),
    "Caffe": ("caffe", "caffe.flags"),
    "torchvision": ("one_weird_trick", "one_weird_trick.flags"),
}
_WIDTH = 100  # columns
Recipe = tuple[Variant, Options]


def report(recipe: Recipe, sources: dict[str, Recipe]) -> str:
    """The report, to be printed.

    Args:
        recipe: the run's network and options.
        sources: the same of each source, by its name.

    Returns:
        For each point what the run does and which sources do the same, and under it what the
        others do. Points on which all sources and the run agree are left out.
    """
    blocks = []
    for name, read in POINTS.items():
        theirs = {source: read(*values) for source, values in sources.items()}
        blocks += _block(name, read(*recipe), theirs)
    for name, fixed in FIXED.items():
        theirs = {source: fixed.others.get(source, fixed.ours) for source in sources}
        blocks += _block(name, fixed.ours, theirs)
    head = f"Where the sources of AlexNet disagree, and what --variant={recipe[0].name} does\n"
    return "\n".join([head, *blocks])


def _block(name: str, ours: str, theirs: dict[str, str]) -> list[str]:
    """The lines of one point; `theirs` is what each source does there."""
    if set(theirs.values()) == {ours}:
        return []
    names: dict[str, list[str]] = {}
    for source, value in theirs.items():
        names.setdefault(value, []).append(source)
    followed = names.pop(ours, [])
    lines = [f"{name}: {ours}  [{', '.join(followed) or 'none of the sources'}]"]
    lines += [f"    {', '.join(others)}: {value}" for value, others in names.items()]
    return [
        textwrap.fill(line, _WIDTH, subsequent_indent=" " * (8 if line[0] == " " else 4))
        for line in lines
    ]


def read_sources(
    directory: pathlib.Path, read_flagfile: Callable[[pathlib.Path], Options]
) -> dict[str, Recipe]:
    """The recipes of the sources.

    Args:
        directory: of their flagfiles.
        read_flagfile: from such a file to its options.
    """
    return {
        source: (get_variant(variant), read_flagfile(directory / file))
        for source, (variant, file) in SOURCES.items()
    }
