"""A variant's architecture, drawn from its row (paper §3.5 and figure 2)."""

from __future__ import annotations

import math
import typing

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.registry import RenderedFigure, figure
from alexnet_tf.figures.style import BLACK, GREY, RED, SMALL, TOWERS, new_figure
from alexnet_tf.models.layer_summary import LayerSummary, layer_summary, num_towers
from alexnet_tf.models.spec import Variant

_INPUT_HEIGHT = 0.62  # of a tower's row
_SLANT = (0.32, 0.22)  # of a box's height: how far its depth goes to the right and up
_ARROW = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0}
_ARROWS = (_ARROW | {"color": GREY, "lw": 1.5}, _ARROW | {"color": RED, "lw": 2.5})
_ROWS = ("", "output", "kernels", "parameters", "multiply-adds")


def draw_architecture(variant: Variant, classes: int = 1000) -> Figure:
    """Draws a box for each layer and tower, lines for the connections, and a table below."""
    layers = layer_summary(variant, classes)
    towers = num_towers(variant)
    parameters, multiply_adds = _totals(layers)
    drawing = new_figure(
        f"{variant.name}: {parameters:,} parameters, {_short(multiply_adds)} multiply-adds an image"
    )
    axes = drawing.subplots()
    axes.set_axis_off()
    axes.set_xlim(-1.05, len(layers) + 0.55)
    axes.set_ylim(-1.75, towers + 0.1)
    side = layers[0].inputs[0]
    ends = [_draw_box(axes, _Box(-0.2, towers / 2, _INPUT_HEIGHT, 0.03, True), GREY)]
    axes.text(0, towers / 2 - 0.4, f"image\n{side} × {side} × 3", ha="center", va="top",
              fontsize=SMALL)  # fmt: skip
    for column, layer in enumerate(layers, start=1):
        last = column == len(layers)
        boxes = _boxes(layer, column, 1 if last else towers, towers, side)
        for to, box in enumerate(boxes):
            for origin, start in enumerate(ends):
                if layer.towers == 1 or origin == to:
                    crosses = len(ends) > 1 and (last or origin != to)
                    end = box.x - 0.03, box.y
                    axes.annotate("", end, start, arrowprops=_ARROWS[crosses], zorder=4)
        ends = [_draw_box(axes, box, TOWERS[i % len(TOWERS)]) for i, box in enumerate(boxes)]
    if towers > 1:
        for i in range(towers):
            colour = TOWERS[i % len(TOWERS)]
            axes.text(-1.05, towers - 0.3 - i, f"tower {i + 1}", color=colour, weight="bold")
        axes.text(-1.05, -0.12, "orange: connections between towers", fontsize=SMALL)
    _write_table(axes, layers)
    return drawing


class _Box(typing.NamedTuple):
    """The box of a tower in a layer: left edge, middle, height, length, whether it is deep."""

    x: float
    y: float
    height: float
    length: float
    deep: bool


def _boxes(layer: LayerSummary, column: int, number: int, rows: int, side: int) -> list[_Box]:
    """A box for each tower, the first on top; height shows map size, length the number of maps."""
    middles = [rows - 0.5 - i for i in range(number)] if number == rows else [rows / 2]
    units = layer.outputs[-1] / number
    if len(layer.outputs) == 3:
        height = _INPUT_HEIGHT * math.sqrt(layer.outputs[0] / side)
        length = 0.03 + 0.25 * math.sqrt(units / 384)
        return [_Box(column - 0.2, middle, height, length, True) for middle in middles]
    height = 0.15 + 0.5 * math.sqrt(units / 4096)
    return [_Box(column - 0.05, middle, height, 0.1, False) for middle in middles]


def _draw_box(axes: Axes, box: _Box, colour: str) -> tuple[float, float]:
    """Draws a box; returns the point where lines from it begin."""
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


def _write_table(axes: Axes, layers: tuple[LayerSummary, ...]) -> None:
    """One column for each layer, below its boxes."""
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


def _totals(layers: tuple[LayerSummary, ...]) -> tuple[int, int]:
    """Parameters and multiply-adds of all layers."""
    return sum(layer.parameters for layer in layers), sum(layer.multiply_adds for layer in layers)


@figure("architecture", needs="variant", order=50)
def render_architecture(context: FigureContext) -> RenderedFigure:
    """The architecture of the model's variant."""
    classes = len(context.class_names)
    layers, towers = layer_summary(context.variant, classes), num_towers(context.variant)
    meet = [layer.name for layer in layers[1:] if layer.towers == 1]
    split = (
        f"The maps are divided over {towers} towers, which the paper put on {towers} GPUs; "
        f"{', '.join(meet)} see the maps of all towers." if towers > 1
        else "There is one tower: every kernel sees all maps."
    )  # fmt: skip
    parameters, multiply_adds = _totals(layers)
    return RenderedFigure(
        "The architecture",
        f"`{context.variant.name}`: {context.variant.summary}. {split} A box's height shows the "
        f"size of the maps, its length their number. Output sizes are before pooling.",
        draw_architecture(context.variant, classes),
        {
            "parameters": parameters,
            "multiply-adds": multiply_adds,
            "layers": [
                {"layer": layer.name, "output": " × ".join(map(str, layer.outputs)),
                 "towers": layer.towers, "parameters": layer.parameters,
                 "multiply-adds": layer.multiply_adds}
                for layer in layers
            ],
        },
    )  # fmt: skip
