"""Max pooling of a real feature map, overlapping and not (paper §3.4)."""

from __future__ import annotations

import keras
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import (
    BLUE,
    ORANGE,
    RED,
    SMALL,
    in_style,
    new_figure,
    outline,
    show_image,
    write_numbers,
)
from alexnet_tf.system.errors import UserError

_CUT = 9  # side of the part that is shown in numbers
_WINDOWS = ((3, BLUE, "overlapping"), (2, ORANGE, "not overlapping"))  # side; stride is 2


def pool(feature_map: np.ndarray, size: int, stride: int = 2) -> np.ndarray:
    """Max pooling without padding, by the layer that the networks are built with.

    Args:
        feature_map: float32 [H, W].
        size: side of the window.
        stride: between windows.
    """
    layer = keras.layers.MaxPooling2D(size, stride)
    return layer(feature_map[None, ..., None])[0, ..., 0].numpy()


def liveliest_part(feature_map: np.ndarray, side: int) -> tuple[int, int]:
    """Row and column, both even, of the part, [side, side], whose values differ most.

    Windows of pooling by 2 begin there as well: what becomes of the part is part of what becomes
    of the map.

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


@in_style
def draw_pooling(feature_map: np.ndarray, title: str = "a feature map") -> Figure:
    """The map, a part of it in numbers with windows, and what both poolings make of the part.

    Args:
        feature_map: float32 [H, W], 9 pixels or more along either side.
        title: what it is.

    Raises:
        UserError: it is smaller.
    """
    row, column = liveliest_part(feature_map, _CUT)
    part = feature_map[row : row + _CUT, column : column + _CUT]
    scale = {"vmin": feature_map.min(), "vmax": feature_map.max()}
    form = ("{:.0f}" if np.abs(part).max() >= 10 else "{:.1f}").format
    figure = new_figure("Max pooling keeps the largest response of each window")
    left, middle, right = figure.subfigures(1, 3, width_ratios=(1, 1.35, 0.75))
    axes = left.subplots()
    show_image(axes, feature_map, f"{title}\n{_size(feature_map)}", **scale)
    outline(axes, (row, column), (_CUT, _CUT), RED)
    axes = middle.subplots()
    show_image(axes, part, "the framed part, and windows\nthat move by 2", **scale)
    write_numbers(axes, part, form, SMALL)
    _draw_windows(axes)
    for axes, (size, colour, name) in zip(right.subplots(2, 1), _WINDOWS, strict=True):
        pooled = pool(part, size)
        whole = _size(pool(feature_map, size))
        title = f"{size} × {size}: {name}\n(whole map: {whole})"
        show_image(axes, pooled, title, **scale)
        axes.title.set_color(colour)
        axes.title.set_weight("bold")
        write_numbers(axes, pooled, form, SMALL)
    return figure


def _draw_windows(axes: Axes) -> None:
    """Two neighbouring windows of each kind, at opposite corners."""
    for size, colour, _ in _WINDOWS:
        start = 0 if size == 3 else 4
        for offset in (0, 2):
            inset = 0.06 if offset else 0  # so that common edges are seen twice
            width, line = size - 2 * inset, "--" if offset else "-"
            corner = start + inset, start + offset + inset
            outline(axes, corner, (width, width), colour, 4, linestyle=line)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]} × {image.shape[1]}"


def picture(subject: FigureContext) -> Picture:
    """Of the map of the first layer that responds most to the photograph."""
    maps, layer = subject.conv1
    strongest = int(maps.std(axis=(0, 1)).argmax())
    feature_map = maps[..., strongest]
    overlapping, apart = pool(feature_map, 3), pool(feature_map, 2)
    return Picture(
        "max-pooling",
        "Max pooling",
        f"Map {strongest} (0 to {maps.shape[-1] - 1}) as `{layer}` gives it. Windows of 3 × 3 that "
        f"move by 2 overlap (paper §3.4): {_size(feature_map)} becomes {_size(overlapping)}. "
        f"Windows of 2 × 2 that move by 2 do not: {_size(apart)}.",
        draw_pooling(feature_map, f"map {strongest} of {layer}"),
        {
            "map": strongest,
            "size": feature_map.shape,
            "overlapping": {"size": overlapping.shape, "mean": float(overlapping.mean())},
            "not overlapping": {"size": apart.shape, "mean": float(apart.mean())},
            "mean before": float(feature_map.mean()),
        },
    )
