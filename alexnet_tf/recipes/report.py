"""The report of `--recipe_report`: on which points the sources disagree, and which a run follows.

points.py has the points. Each source has a variant in `models/variants.py` and a flagfile in
`configs/`.
"""

from __future__ import annotations

import pathlib
import textwrap
from collections.abc import Callable, Iterator

from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import get_variant
from alexnet_tf.recipes.points import FIXED, NOT_SAID, NOTES, POINTS
from alexnet_tf.training.options import Options

# Source: its variant, and its flagfile in configs/.
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
    """The report as text.

    Args:
        recipe: the run's variant and options.
        sources: variant and options of each source, by its name.

    Returns:
        For each point what the run does and which sources do the same, then what the other sources
        do. Points on which the run and all sources agree are left out.
    """
    blocks = []
    for point, ours, theirs in compare(recipe, sources):
        if set(theirs.values()) != {ours}:
            blocks += _block(point, ours, theirs)
    head = f"Where the sources of AlexNet disagree, and what --variant={recipe[0].name} does\n"
    return "\n".join([head, *blocks])


def compare(
    recipe: Recipe, sources: dict[str, Recipe]
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Every point, with what the run does there and what each source does.

    If a source is silent on a point, its text is "not said; ours: ...".

    Args:
        recipe: the run's variant and options.
        sources: variant and options of each source, by its name.
    """
    for point, read in POINTS.items():
        theirs = {source: read(*values) for source, values in sources.items()}
        yield point, read(*recipe), _mark_unsaid(point, theirs)
    for point, fixed in FIXED.items():
        theirs = {source: fixed.others.get(source, fixed.ours) for source in sources}
        yield point, fixed.ours, _mark_unsaid(point, theirs)


def _mark_unsaid(point: str, theirs: dict[str, str]) -> dict[str, str]:
    return {
        source: f"not said; ours: {value}" if point in NOT_SAID.get(source, ()) else value
        for source, value in theirs.items()
    }


def _block(point: str, ours: str, theirs: dict[str, str]) -> list[str]:
    """The lines of one point; `theirs` is what each source does there."""
    names: dict[str, list[str]] = {}
    for source, value in theirs.items():
        names.setdefault(value, []).append(source)
    notes: dict[str, list[str]] = {}
    for source in theirs:
        if note := NOTES.get(source, {}).get(point):
            notes.setdefault(note, []).append(source)
    followed = names.pop(ours, [])
    lines = [f"{point}: {ours}  [{', '.join(followed) or 'none of the sources'}]"]
    lines += [f"    {', '.join(others)}: {value}" for value, others in names.items()]
    lines += [f"    ({', '.join(noted)}: {note})" for note, noted in notes.items()]
    return [
        textwrap.fill(line, _WIDTH, subsequent_indent=" " * (8 if line[0] == " " else 4))
        for line in lines
    ]


def read_sources(
    directory: pathlib.Path, read_flagfile: Callable[[pathlib.Path], Options]
) -> dict[str, Recipe]:
    """Variant and options of each source.

    Args:
        directory: holds the flagfiles.
        read_flagfile: reads one, from its path to options.
    """
    return {
        source: (get_variant(variant), read_flagfile(directory / file))
        for source, (variant, file) in SOURCES.items()
    }
