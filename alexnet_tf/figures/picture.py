"""A picture with its caption and its numbers, and how it is written."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import pathlib
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from alexnet_tf.figures.style import DOTS


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        name: of its files.
        title: a line.
        caption: what is to be seen, in sentences.
        figure: the drawing.
        numbers: behind it; values that JSON has.
        beside: writes into a folder what else belongs with it.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)
    beside: Callable[[pathlib.Path], None] | None = None

    @functools.cached_property
    def png(self) -> bytes:
        """The drawing, 1920 pixels wide."""
        file = io.BytesIO()
        about = {"Title": self.title, "Description": self.caption, "Software": None}
        self.figure.savefig(file, format="png", dpi=DOTS, metadata=about)
        return file.getvalue()

    def _repr_png_(self) -> bytes:
        """What IPython asks for."""
        return self.png

    def save(self, folder: pathlib.Path) -> None:
        """Writes name.png, name.svg, the caption as name.txt and the numbers as name.json.

        The caption is in the SVG and the PNG as well.

        Args:
            folder: which exists.
        """
        (folder / f"{self.name}.png").write_bytes(self.png)
        about = {"Title": self.title, "Description": self.caption, "Date": None, "Creator": None}
        with mpl.rc_context({"svg.hashsalt": "alexnet_tf", "svg.image_inline": True}):
            self.figure.savefig(folder / f"{self.name}.svg", metadata=about)
        text = f"{self.title}\n\n{self.caption}\n"
        (folder / f"{self.name}.txt").write_text(text, encoding="utf-8")
        values = json.dumps(self.numbers, indent=1, ensure_ascii=False)
        (folder / f"{self.name}.json").write_text(values + "\n", encoding="utf-8")
        if self.beside is not None:
            self.beside(folder)
