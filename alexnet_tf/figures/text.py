"""Class names as pictures can take them: cleaned, and cut to the room that there is."""

from __future__ import annotations

import bisect

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from alexnet_tf.figures.style import FAMILIES, SMALL, no_warning_of_glyphs

_LONGEST = 200  # letters that are measured at all
_HINTED = 1.03  # times: letters on pixels are a little wider than their outlines
_TO_PATH = TextToPath()


def clean(name: str) -> str:
    """A name without what cannot be drawn or written: control characters, halves of surrogates.

    An empty one becomes "?".
    """
    return " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "?"


def plain(name: str) -> str:
    """A class name without its synset and with spaces: "n02119789_kit_fox" is "kit fox"."""
    head, _, tail = name.replace(" ", "_", 1).partition("_")
    if tail and head[:1] == "n" and head[1:].isdecimal():
        name = tail
    return " ".join(name.replace("_", " ").split())


def width_of(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """How wide a line will be, in inches.

    Args:
        text: the line.
        size: of the letters, points.
        weight: "normal" or "bold".
    """
    font = FontProperties(family=FAMILIES, size=size, weight=weight)
    with no_warning_of_glyphs():
        points, _, _ = _TO_PATH.get_text_width_height_descent(text, font, ismath=False)
    return _HINTED * points / 72


def fit(name: str, room: float, size: float = SMALL, weight: str = "normal") -> str:
    """A class name, `plain`, with as many of its letters as there is room for.

    Args:
        name: of a class, or any line.
        room: inches.
        size: of the letters, points.
        weight: "normal" or "bold".
    """
    name = plain(name)
    if len(name) <= _LONGEST and width_of(name, size, weight) <= room:
        return name

    def width(letters: int) -> float:
        """Of so many of them."""
        return width_of(f"{name[:letters].rstrip()}…", size, weight)

    fitting = bisect.bisect_right(range(min(len(name), _LONGEST)), room, key=width)
    return f"{name[: max(0, fitting - 1)].rstrip()}…"
