"""A figure with its caption and numbers, and the list of all figures.

A module in `plots/` adds a figure with one decorator:

    @figure("max-pooling", needs="photo", order=20)
    def render_pooling(context: FigureContext) -> RenderedFigure: ...
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import io
import json
import pathlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure

from alexnet_tf.figures import plots
from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.style import DPI, STYLE
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import write_atomically

Needs = Literal["variant", "model", "run", "photo", "images"]


@dataclasses.dataclass(frozen=True)
class RenderedFigure:
    """A drawn figure and the text and numbers that belong to it.

    Attributes:
        title: one line.
        caption: sentences that explain the drawing; code stands between backquotes.
        figure: the drawing.
        numbers: the numbers behind it, as JSON values.
        save_extra: writes further files into a folder, if there are any.
        name: of its files; set by `figure`.
    """

    title: str
    caption: str
    figure: Figure
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)
    save_extra: Callable[[pathlib.Path], None] | None = None
    name: str = ""

    @functools.cached_property
    def png(self) -> bytes:
        """The drawing, 1920 pixels wide."""
        file = io.BytesIO()
        metadata = {"Title": self.title, "Description": self.caption, "Software": None}
        self.figure.savefig(file, format="png", dpi=DPI, metadata=metadata)
        return file.getvalue()

    def _repr_png_(self) -> bytes:
        """IPython calls this to show the figure."""
        return self.png

    def save(self, folder: pathlib.Path) -> None:
        """Writes name.png, name.svg, the caption as name.txt and the numbers as name.json.

        The SVG and the PNG hold the caption as well.

        Args:
            folder: must exist.

        Raises:
            OSError: a file cannot be written.
        """
        metadata = {"Title": self.title, "Description": self.caption, "Date": None, "Creator": None}
        svg = io.BytesIO()
        with mpl.rc_context(STYLE):
            self.figure.savefig(svg, format="svg", metadata=metadata)
        text = f"{self.title}\n\n{self.caption}\n"
        values = json.dumps(self.numbers, indent=1, ensure_ascii=False) + "\n"
        contents = {"svg": svg.getvalue(), "txt": text, "json": values, "png": self.png}
        for suffix, content in contents.items():
            with write_atomically(folder / f"{self.name}.{suffix}") as file:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)
        if self.save_extra is not None:
            self.save_extra(folder)


@dataclasses.dataclass(frozen=True)
class FigureEntry:
    """A figure that can be drawn.

    Attributes:
        name: on the command line and of the files.
        render: draws it.
        needs: "variant": the variant's row. "model": trained weights. "run": TensorBoard logs.
            "photo": one photograph, or else an image of the dataset. "images": the dataset.
        order: position in the report; lower numbers come first.
    """

    name: str
    render: Callable[[FigureContext], RenderedFigure]
    needs: Needs
    order: float

    def needs_dataset(self, context: FigureContext) -> bool:
        """Whether the figure cannot be drawn without the dataset."""
        return self.needs == "images" or (self.needs == "photo" and context.photo is None)


FIGURES: dict[str, FigureEntry] = {}  # filled by `figure`; `all_figures` imports all plots first
Render = Callable[[FigureContext], RenderedFigure]


def figure(name: str, needs: Needs, order: float) -> Callable[[Render], Render]:
    """Registers the function below it as a figure; for the arguments see `FigureEntry`.

    Raises:
        ValueError: another function has that name already.
    """

    def register(render: Render) -> Render:
        """Adds the function to `FIGURES`."""

        @functools.wraps(render)
        def named(context: FigureContext) -> RenderedFigure:
            """Calls the function in the common style."""
            with mpl.rc_context(STYLE):
                return dataclasses.replace(render(context), name=name)

        if name in FIGURES and FIGURES[name].render.__module__ != render.__module__:
            raise ValueError(f"Two figures are named {name}, one in {render.__module__}")
        FIGURES[name] = FigureEntry(name, named, needs, order)
        return named

    return register


def all_figures() -> dict[str, FigureEntry]:
    """The figures of every module in `plots/` and any registered elsewhere, by name, in order."""
    for module in pkgutil.iter_modules(plots.__path__, f"{plots.__name__}."):
        importlib.import_module(module.name)
    return dict(sorted(FIGURES.items(), key=lambda item: item[1].order))


def find_figures(names: Sequence[str]) -> list[FigureEntry]:
    """Figures by their names.

    Raises:
        UserError: a name is unknown.
    """
    known = all_figures()
    if unknown := sorted(set(names) - set(known)):
        raise UserError(
            f"Expected figures among {', '.join(known)}. Received: {', '.join(unknown)}"
        )
    return [known[name] for name in names]


def render(name: str, context: FigureContext) -> RenderedFigure:
    """Draws one figure.

    Args:
        name: e.g. "attention".
        context: the model, and the images if the figure needs them.

    Raises:
        UserError: there is no such figure, or the context lacks something that it needs.
    """
    return find_figures([name])[0].render(context)
