"""A variant's architecture, drawn from its row (paper §3.5 and figure 2)."""

from __future__ import annotations

import dataclasses
import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import (
    BLACK,
    GREY,
    RED,
    SMALL,
    TOWERS,
    in_style,
    new_figure,
)
from alexnet_tf.models.layer_summary import LayerSummary, layer_summary, num_towers
from alexnet_tf.models.spec import Variant

_TALLEST = 0.62  # of a row, the height of the input
_SLANT = (0.32, 0.22)  # of a height: how far its depth goes to the right and up
_ROWS = ("", "output", "kernels", "parameters", "multiply-adds")


@in_style
def draw_architecture(variant: Variant, classes: int = 1000) -> Figure:
    """Boxes for the layers by tower, lines for what sees what, and a table below.

    Args:
        variant: a row, of `variants.get_variant` or your own.
        classes: units of the last layer.
    """
    layers = layer_summary(variant, classes)
    towers = num_towers(variant)
    total = sum(each.parameters for each in layers), sum(each.multiply_adds for each in layers)
    figure = new_figure(
        f"{variant.name}: {total[0]:,} parameters, {_short(total[1])} multiply-adds an image"
    )
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(-1.05, len(layers) + 0.55)
    axes.set_ylim(-1.75, towers + 0.1)
    side = layers[0].inputs[0]
    ends = [_draw_box(axes, _Box(-0.2, towers / 2, _TALLEST, 0.03, True), GREY)]
    axes.text(0, towers / 2 - 0.4, f"image\n{side} × {side} × 3", ha="center", va="top",
              fontsize=SMALL)  # fmt: skip
    for column, layer in enumerate(layers, start=1):
        last = column == len(layers)
        boxes = _boxes(layer, column, 1 if last else towers, towers, side)
        for to, box in enumerate(boxes):
            for origin, start in enumerate(ends):
                if layer.towers == 1 or origin == to:
                    crosses = len(ends) > 1 and (last or origin != to)
                    _draw_line(axes, start, (box.x - 0.03, box.y), crosses)
        ends = [_draw_box(axes, box, TOWERS[i % len(TOWERS)]) for i, box in enumerate(boxes)]
    if towers > 1:
        for i in range(towers):
            colour = TOWERS[i % len(TOWERS)]
            axes.text(-1.05, towers - 0.3 - i, f"tower {i + 1}", color=colour, weight="bold")
        axes.text(-1.05, -0.12, "thick, red: the towers meet", fontsize=SMALL)
    _write_table(axes, layers)
    return figure


@dataclasses.dataclass(frozen=True)
class _Box:
    """Of one tower's part of a layer: left edge, middle, height, length, whether it has depth."""

    x: float
    y: float
    height: float
    length: float
    deep: bool


def _boxes(layer: LayerSummary, column: int, number: int, rows: int, side: int) -> list[_Box]:
    """One a tower, the first above; a box is as high as its maps, and as long as there are many."""
    middles = [rows - 0.5 - i for i in range(number)] if number == rows else [rows / 2]
    units = layer.outputs[-1] / number
    if len(layer.outputs) == 3:
        height = _TALLEST * math.sqrt(layer.outputs[0] / side)
        length = 0.03 + 0.25 * math.sqrt(units / 384)
        return [_Box(column - 0.2, middle, height, length, True) for middle in middles]
    height = 0.15 + 0.5 * math.sqrt(units / 4096)
    return [_Box(column - 0.05, middle, height, 0.1, False) for middle in middles]


def _draw_box(axes: Axes, box: _Box, colour: str) -> tuple[float, float]:
    """Draws it; returns where lines from it begin."""
    low, high = box.y - box.height / 2, box.y + box.height / 2
    left, right = box.x, box.x + box.length
    back, up = (box.height * part * box.deep for part in _SLANT)
    front = [(left, low), (right, low), (right, high), (left, high)]
    top = [(left, high), (right, high), (right + back, high + up), (left + back, high + up)]
    face = [(right, low), (right + back, low + up), (right + back, high + up), (right, high)]
    for corners, alpha in ((front, 0.95), (top, 0.65), (face, 0.4)):
        axes.add_patch(Polygon(corners, facecolor="white", edgecolor="none", zorder=3))
        axes.add_patch(
            Polygon(corners, facecolor=colour, alpha=alpha, edgecolor=BLACK, lw=0.8, zorder=3)
        )
    return right + back + 0.03, box.y


def _draw_line(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], crosses: bool
) -> None:
    """From one layer's box to the next one's; thick and red where towers meet."""
    axes.annotate(
        "", end, start,
        arrowprops={
            "arrowstyle": "-|>", "color": RED if crosses else GREY,
            "lw": 2.5 if crosses else 1.5, "shrinkA": 0, "shrinkB": 0,
        },
        zorder=4,
    )  # fmt: skip


def _write_table(axes: Axes, layers: tuple[LayerSummary, ...]) -> None:
    """One column a layer, below its boxes."""
    tops = (-0.3, -0.55, -0.92, -1.29, -1.54)
    for row, top in zip(_ROWS, tops, strict=True):
        axes.text(-1.05, top, row, fontsize=SMALL, va="top", style="italic")
    for column, layer in enumerate(layers, start=1):
        if layer.kernel:
            height, width, maps = layer.outputs
            output = f"{height} × {width}\n× {maps}"
            kernels = f"{layer.kernel} × {layer.kernel} × {layer.inputs[2] // layer.towers}"
            kernels += f"\nstride {layer.stride}" if layer.stride > 1 else ""
        else:
            output, kernels = f"{layer.outputs[0]:,}", "all inputs"
        cells = (layer.name, output, kernels, _short(layer.parameters), _short(layer.multiply_adds))
        for cell, top in zip(cells, tops, strict=True):
            weight = "bold" if cell == layer.name else "normal"
            axes.text(column, top, cell, fontsize=SMALL, ha="center", va="top", weight=weight)


def _short(number: int) -> str:
    """Three digits and a unit."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def picture(subject: FigureContext) -> Picture:
    """Of the model's variant."""
    classes = len(subject.classes)
    layers = layer_summary(subject.variant, classes)
    towers = num_towers(subject.variant)
    meet = [layer.name for layer in layers[1:] if layer.towers == 1]
    split = (
        f"{towers} towers, as on {towers} GPUs; they meet in {', '.join(meet)}." if towers > 1
        else "One tower: every kernel sees all maps."
    )  # fmt: skip
    return Picture(
        "architecture",
        "The architecture",
        f"`{subject.variant.name}`: {subject.variant.summary}. {split} Drawn from the "
        f"variant's row; outputs are those of the weights, before pooling.",
        draw_architecture(subject.variant, classes),
        {
            "parameters": sum(layer.parameters for layer in layers),
            "multiply-adds": sum(layer.multiply_adds for layer in layers),
            "layers": [
                {
                    "layer": layer.name,
                    "output": " × ".join(map(str, layer.outputs)),
                    "towers": layer.towers,
                    "parameters": layer.parameters,
                    "multiply-adds": layer.multiply_adds,
                }
                for layer in layers
            ],
        },
    )
