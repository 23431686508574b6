"""A picture with its caption and its numbers, and how it is written."""

from __future__ import annotations

import dataclasses
import pathlib
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
    """

    name: str
    title: str
    caption: str
    figure: Figure
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)

    def save(self, folder: pathlib.Path) -> None:
        """Writes name.png, name.svg and the caption, name.txt; the caption is in the SVG as well.

        Args:
            folder: which exists.
        """
        stem = str(folder / self.name)
        about = {"Title": self.title, "Description": self.caption}
        with mpl.rc_context({"svg.hashsalt": "alexnet_tf", "svg.image_inline": True}):
            self.figure.savefig(f"{stem}.png", dpi=DOTS, metadata={**about, "Software": None})
            self.figure.savefig(f"{stem}.svg", metadata={**about, "Date": None, "Creator": None})
        pathlib.Path(f"{stem}.txt").write_text(f"{self.title}\n\n{self.caption}\n")
