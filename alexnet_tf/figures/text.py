"""Class names as figures can show them: cleaned, and cut to the available width."""

from __future__ import annotations

import bisect

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from alexnet_tf.figures.style import FAMILIES, SMALL, ignore_missing_glyphs

_LONGEST = 200  # characters; longer names are cut before they are measured
_HINTING = 1.03  # letters on pixels are a little wider than their outlines
_TO_PATH = TextToPath()


def clean(name: str) -> str:
    """A name without characters that cannot be drawn or written: control characters, surrogates.

    An empty name becomes "?".
    """
    return " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "?"


def plain(name: str) -> str:
    """A class name without its synset and with spaces: "n02119789_kit_fox" becomes "kit fox"."""
    head, _, tail = name.replace(" ", "_", 1).partition("_")
    if tail and head[:1] == "n" and head[1:].isdecimal():
        name = tail
    return " ".join(name.replace("_", " ").split())


def text_width(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """The width of a line in inches.

    Args:
        text: the line.
        size: of the letters, in points.
        weight: "normal" or "bold".
    """
    font = FontProperties(family=FAMILIES, size=size, weight=weight)
    with ignore_missing_glyphs():
        points, _, _ = _TO_PATH.get_text_width_height_descent(text, font, ismath=False)
    return _HINTING * points / 72


def fit(name: str, width: float, size: float = SMALL, weight: str = "normal") -> str:
    """A class name, made `plain`, with "…" in place of the letters that do not fit.

    Args:
        name: of a class, or any line.
        width: available, in inches.
        size: of the letters, in points.
        weight: "normal" or "bold".
    """
    name = plain(name)
    if len(name) <= _LONGEST and text_width(name, size, weight) <= width:
        return name

    def cut_width(letters: int) -> float:
        """The width of the first letters and the ellipsis."""
        return text_width(f"{name[:letters].rstrip()}…", size, weight)

    fitting = bisect.bisect_right(range(min(len(name), _LONGEST)), width, key=cut_width)
    return f"{name[: max(0, fitting - 1)].rstrip()}…"
