"""Three operations, drawn with numbers: convolution, max pooling, response normalisation.

Convolution is the lecture's example (McCraith, 2016). Pooling (paper §3.4) and normalisation (§3.3)
are applied to a photograph's feature maps in a model's first layer.
"""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures import style
from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.registry import RenderedFigure, figure
from alexnet_tf.layers import GroupedConv2D, LocalResponseNormalization
from alexnet_tf.system.errors import UserError

# The lecture's matrices (McCraith, 2016), brightness 0 to 50.
CURVE_DETECTOR = np.float32([
    [0, 0, 0, 0, 0, 30, 0],
    [0, 0, 0, 0, 30, 0, 0],
    [0, 0, 0, 30, 0, 0, 0],
    [0, 0, 0, 30, 0, 0, 0],
    [0, 0, 0, 30, 0, 0, 0],
    [0, 0, 0, 30, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0],
])  # fmt: skip
CURVE = np.float32([
    [0, 0, 0, 0, 0, 0, 30],
    [0, 0, 0, 0, 50, 50, 50],
    [0, 0, 0, 20, 50, 0, 0],
    [0, 0, 0, 50, 50, 0, 0],
    [0, 0, 0, 50, 50, 0, 0],
    [0, 0, 0, 50, 50, 0, 0],
    [0, 0, 0, 50, 50, 0, 0],
])  # fmt: skip
NO_CURVE = np.float32([
    [0, 0, 0, 0, 0, 0, 0],
    [0, 40, 0, 0, 0, 0, 0],
    [40, 0, 40, 0, 0, 0, 0],
    [40, 20, 0, 0, 0, 0, 0],
    [0, 50, 0, 0, 0, 0, 0],
    [0, 0, 50, 0, 0, 0, 0],
    [25, 25, 0, 50, 0, 0, 0],
])  # fmt: skip
_FIELDS = ((1, 1), (1, 9))  # row and column of the curve and of the other pattern in the image
_COLOURS = (style.BLUE, style.ORANGE)
_CUT = 9  # pixels, the side of the part of a map that is shown in numbers
# Pooling windows with a stride of 2: side, colour and name.
_WINDOWS = ((3, style.BLUE, "overlapping"), (2, style.ORANGE, "not overlapping"))
_NAMED = 3  # maps that are named as damped most
_LEAST_DAMPING = 0.001  # share of a response; maps with less are not named


def worked_image() -> np.ndarray:
    """An image, float32 [9, 17], with the curve on the left and another pattern on the right."""
    image = np.zeros((9, 17), np.float32)
    for (row, column), part in zip(_FIELDS, (CURVE, NO_CURVE), strict=True):
        image[row : row + 7, column : column + 7] = part
    return image


def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The package's own convolution of an image [H, W] with a kernel [K, K], without padding."""
    side = len(kernel)
    layer = GroupedConv2D(filters=1, kernel_size=side, groups=1, padding="valid")
    layer.build((None, *image.shape, 1))
    layer.set_weights([kernel[..., None, None], np.zeros(1)])
    return layer(image[None, ..., None].astype(np.float32))[0, ..., 0].numpy()


def draw_convolution() -> Figure:
    """Draws image, filter, products in two receptive fields, their sums, and all responses."""
    image, responses = worked_image(), convolve(worked_image(), CURVE_DETECTOR)
    drawing = style.new_figure("A convolution: multiply place by place, and add up")
    left, right = drawing.subfigures(1, 2, width_ratios=(1, 2.3))
    above, below = left.subplots(2, 1, height_ratios=(9, 5))
    style.show_image(above, image, "image, and two of\nits receptive fields", cmap="gray")
    style.show_image(below, responses, "responses at all places\n(hundreds): the feature map")
    style.write_numbers(below, responses, lambda value: f"{value / 100:g}")
    for (row, column), colour in zip(_FIELDS, _COLOURS, strict=True):
        style.outline(above, (row, column), (7, 7), colour)
        style.outline(below, (row, column), (1, 1), colour)
    panels = right.subplots(2, 5, width_ratios=(7, 1, 7, 1, 7))
    for cells, (row, column), colour in zip(panels, _FIELDS, _COLOURS, strict=True):
        field = image[row : row + 7, column : column + 7]
        _draw_equation(cells, field, float(responses[row, column]), colour)
    panels[0, 0].set_title("receptive field")
    panels[0, 2].set_title("filter")
    panels[0, 4].set_title("products")
    return drawing


def _draw_equation(cells: np.ndarray, field: np.ndarray, response: float, colour: str) -> None:
    """One row: field × filter = products, and their sum."""
    for axes, values, largest in (
        (cells[0], field, 50),
        (cells[2], CURVE_DETECTOR, 30),
        (cells[4], field * CURVE_DETECTOR, 1500),
    ):
        style.show_image(axes, values, cmap="gray", vmin=0, vmax=largest)
        style.write_numbers(axes, values)
    style.frame(cells[0], colour)
    cells[4].set_xlabel(f"sum: {response:g}", fontsize=style.LARGE, weight="bold")
    for axes, sign in ((cells[1], "×"), (cells[3], "=")):
        axes.axis("off")
        axes.text(0.5, 0.5, sign, fontsize=style.LARGE, ha="center", va="center",
                  transform=axes.transAxes)  # fmt: skip


@figure("convolution", needs="variant", order=10)
def render_convolution(context: FigureContext) -> RenderedFigure:
    """The lecture's example; it is the same for every model."""
    del context
    responses = convolve(worked_image(), CURVE_DETECTOR)
    match, mismatch = (float(responses[place]) for place in _FIELDS)
    return RenderedFigure(
        "Convolution explained",
        f"A filter that detects a curve is laid on a curve (blue) and on another pattern (orange). "
        f"Each pixel is multiplied by the filter's number at its place, and the products are "
        f"added: {match:g} on the curve, {mismatch:g} on the other pattern. The sums at all places "
        f"form the feature map. (It is larger still where the filter lies on the middle of the "
        f"thick stroke: a filter also responds to patterns that it was not made for.) Computed by "
        f"this package's own convolution; the numbers are the lecture's (McCraith, 2016).",
        draw_convolution(),
        {"response on the curve": match, "response elsewhere": mismatch},
    )


def pool(feature_map: np.ndarray, size: int, stride: int = 2) -> np.ndarray:
    """Max pooling of float32 [H, W] without padding, by the layer that networks are built with."""
    layer = keras.layers.MaxPooling2D(size, stride)
    return layer(feature_map[None, ..., None])[0, ..., 0].numpy()


def liveliest_part(feature_map: np.ndarray, side: int) -> tuple[int, int]:
    """Row and column, both even, of the part, [side, side], with the largest variance.

    Pooling by 2 also begins at even positions, so the pooled part is a part of the pooled map.

    Raises:
        UserError: the map is smaller.
    """
    if min(feature_map.shape) < side:
        raise UserError(
            f"Expected a map of {side} × {side} or more, to cut a part from. Received: "
            f"{_size(feature_map)}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(feature_map, (side, side))
    spread = windows[::2, ::2].std(axis=(2, 3))
    return tuple(2 * int(place) for place in np.unravel_index(spread.argmax(), spread.shape))


def draw_pooling(feature_map: np.ndarray, title: str = "a feature map") -> Figure:
    """Draws a map, float32 [H, W], a part of it in numbers with windows, and both poolings.

    Raises:
        UserError: the map is smaller than the part.
    """
    row, column = liveliest_part(feature_map, _CUT)
    part = feature_map[row : row + _CUT, column : column + _CUT]
    scale = {"vmin": feature_map.min(), "vmax": feature_map.max()}
    form = ("{:.0f}" if np.abs(part).max() >= 10 else "{:.1f}").format
    drawing = style.new_figure("Max pooling keeps the largest response of each window")
    left, middle, right = drawing.subfigures(1, 3, width_ratios=(1, 1.35, 0.75))
    axes = left.subplots()
    style.show_image(axes, feature_map, f"{title}\n{_size(feature_map)}", **scale)
    style.outline(axes, (row, column), (_CUT, _CUT), style.RED)
    axes = middle.subplots()
    style.show_image(axes, part, "the framed part, and windows\nthat move by 2", **scale)
    style.write_numbers(axes, part, form, style.SMALL)
    _draw_windows(axes)
    for axes, (size, colour, name) in zip(right.subplots(2, 1), _WINDOWS, strict=True):
        pooled = pool(part, size)
        title = f"{size} × {size}: {name}\n(whole map: {_size(pool(feature_map, size))})"
        style.show_image(axes, pooled, title, **scale)
        axes.title.set(color=colour, weight="bold")
        style.write_numbers(axes, pooled, form, style.SMALL)
    return drawing


def _draw_windows(axes: Axes) -> None:
    """Two neighbouring windows of each kind, at opposite corners."""
    for size, colour, _ in _WINDOWS:
        start = 0 if size == 3 else 4
        for offset in (0, 2):
            inset = 0.06 if offset else 0  # so that both lines of a common edge can be seen
            width, line = size - 2 * inset, "--" if offset else "-"
            corner = start + inset, start + offset + inset
            style.outline(axes, corner, (width, width), colour, 4, linestyle=line)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]} × {image.shape[1]}"


@figure("max-pooling", needs="photo", order=20)
def render_pooling(context: FigureContext) -> RenderedFigure:
    """Pooling of the first layer's map that responds most to the photograph."""
    maps, layer = context.pool1_inputs
    strongest = int(maps.std(axis=(0, 1)).argmax())
    feature_map = maps[..., strongest]
    overlapping, apart = pool(feature_map, 3), pool(feature_map, 2)
    return RenderedFigure(
        "Max pooling",
        f"Left: one of the {maps.shape[-1]} feature maps that `{layer}` computes for the "
        f"photograph, map {strongest}. Middle: the framed part in numbers, with pooling windows. "
        f"Right: the largest number of each window. Windows of 3 × 3 that move by 2 overlap (paper "
        f"§3.4) and turn {_size(feature_map)} into {_size(overlapping)}; windows of 2 × 2 that "
        f"move by 2 do not overlap and give {_size(apart)}.",
        draw_pooling(feature_map, f"map {strongest} of {layer}"),
        {
            "map": strongest,
            "size": feature_map.shape,
            "overlapping": {"size": overlapping.shape, "mean": float(overlapping.mean())},
            "not overlapping": {"size": apart.shape, "mean": float(apart.mean())},
            "mean before": float(feature_map.mean()),
        },
    )


@dataclasses.dataclass(frozen=True)
class Normalization:
    """An image's responses before and after a normalisation layer.

    Attributes:
        before, after: float32 [H, W, maps].
        alone: the factor k ** -β for a small response with silent neighbours.
        row, column: the position with the strongest damping by neighbours.
    """

    before: np.ndarray
    after: np.ndarray
    alone: float
    row: int
    column: int

    @property
    def damping(self) -> np.ndarray:
        """Factors [maps] at that position; 1 without damping by neighbours or without response."""
        before, after = (x[self.row, self.column] for x in (self.before, self.after))
        responds = before != 0
        return np.where(responds, after / np.where(responds, before, 1) / self.alone, 1)

    @property
    def most_damped(self) -> list[int]:
        """The maps that are damped most, no two of them close to each other."""
        damping, chosen = self.damping, []
        for place in map(int, np.argsort(damping, kind="stable")):
            apart = all(abs(place - other) > len(damping) / 20 for other in chosen)
            if len(chosen) < _NAMED and apart and 1 - damping[place] >= _LEAST_DAMPING:
                chosen.append(place)
        return chosen


def normalize(layer: LocalResponseNormalization, before: np.ndarray) -> Normalization:
    """Applies a layer to an image's responses, float32 [H, W, maps]."""
    after = layer(before[None])[0].numpy()
    alone = layer.k**-layer.beta
    lost = alone * np.abs(before) - np.abs(after)  # because of the neighbours
    row, column, _ = np.unravel_index(lost.argmax(), lost.shape)
    return Normalization(before, after, alone, int(row), int(column))


def draw_normalization(done: Normalization) -> Figure:
    """Draws all maps at one position before and after, their damping, and the most damped map."""
    drawing = style.new_figure("Response normalisation: strong neighbours damp each other")
    left, right = drawing.subfigures(1, 2, width_ratios=(2.6, 1))
    above, below = left.subplots(2, 1, sharex=True)
    before, after = (x[done.row, done.column] for x in (done.before, done.after))
    maps = np.arange(len(before))
    above.bar(maps, before, color=style.GREY, width=0.85, label="before")
    above.bar(maps, after, color=style.BLUE, width=0.5, label="after")
    above.set_ylabel("response")
    above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    above.set_title(f"all maps at row {done.row}, column {done.column}", loc="left")
    _draw_damping(below, done)
    damped = int(done.damping.argmin())
    values = done.before[..., damped]  # the larger ones of the two
    scale = {"vmin": min(0, values.min()), "vmax": max(0, values.max())}
    panels = zip(right.subplots(2, 1), (done.before, done.after), ("before", "after"), strict=True)
    for axes, values, name in panels:
        style.show_image(axes, values[..., damped], f"map {damped} {name}", **scale)
        axes.plot(done.column, done.row, "o", ms=14, mfc="none", mec=style.RED, mew=2.5)
    return drawing


def _draw_damping(axes: Axes, done: Normalization) -> None:
    damping = done.damping
    axes.bar(np.arange(len(damping)), 1 - damping, color=style.RED, width=0.85)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    axes.set_ylabel("damped by neighbours")
    axes.set_xlabel("map")
    axes.set_xlim(-0.6, len(damping) - 0.4)
    axes.set_ylim(0, 1.25 * max(1e-6, float((1 - damping).max())))
    for place in done.most_damped:
        axes.annotate(f"{place}", (place, 1 - damping[place]), (0, 2), ha="center", va="bottom",
                      textcoords="offset points")  # fmt: skip


@figure("response-normalisation", needs="photo", order=30)
def render_normalization(context: FigureContext) -> RenderedFigure:
    """The model's first normalisation layer, or the paper's if the model has none."""
    kind = LocalResponseNormalization
    layer = next((each for each in context.model.layers if isinstance(each, kind)), None)
    if layer is None:
        layer, name = kind(), "the paper's normalisation (this network has none)"
        before = context.pool1_inputs[0]
    else:
        name, inputs = f"the layer `{layer.name}`", context.inputs(context.photo_image[None])
        before = keras.Model(context.model.inputs, layer.input)(inputs)[0].numpy()
    done = normalize(layer, before)
    most = ", ".join(f"{i} ({1 - done.damping[i]:.1%})" for i in done.most_damped)
    return RenderedFigure(
        "Response normalisation",
        f"The first layer's responses to the photograph before and after {name}. Left: all maps at "
        f"one place, the one where neighbouring maps damp the most. Every response is multiplied "
        f"by k^-β = {done.alone:.3f}, and strong neighbours damp it further (red). Right: the map "
        f"that is damped most, with that place circled. Damped most: "
        f"{f'maps {most}' if most else 'no map noticeably'}.",
        draw_normalization(done),
        {
            "place": [done.row, done.column],
            "factor without neighbours": done.alone,
            "damped most": {f"map {i}": float(1 - done.damping[i]) for i in done.most_damped},
            "damped on average": float(1 - done.damping.mean()),
        },
    )
