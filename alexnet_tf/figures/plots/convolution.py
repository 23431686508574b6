"""Convolution explained: the lecture's curve detector on a curve, and where there is none."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import (
    BLUE,
    LARGE,
    ORANGE,
    frame,
    in_style,
    new_figure,
    outline,
    show_image,
    write_numbers,
)
from alexnet_tf.layers import GroupedConv2D

# The lecture's matrices (McCraith, 2016), brightness 0 to 50.
CURVE_DETECTOR = np.array(
    [
        [0, 0, 0, 0, 0, 30, 0],
        [0, 0, 0, 0, 30, 0, 0],
        [0, 0, 0, 30, 0, 0, 0],
        [0, 0, 0, 30, 0, 0, 0],
        [0, 0, 0, 30, 0, 0, 0],
        [0, 0, 0, 30, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    np.float32,
)
CURVE = np.array(
    [
        [0, 0, 0, 0, 0, 0, 30],
        [0, 0, 0, 0, 50, 50, 50],
        [0, 0, 0, 20, 50, 0, 0],
        [0, 0, 0, 50, 50, 0, 0],
        [0, 0, 0, 50, 50, 0, 0],
        [0, 0, 0, 50, 50, 0, 0],
        [0, 0, 0, 50, 50, 0, 0],
    ],
    np.float32,
)
NO_CURVE = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 40, 0, 0, 0, 0, 0],
        [40, 0, 40, 0, 0, 0, 0],
        [40, 20, 0, 0, 0, 0, 0],
        [0, 50, 0, 0, 0, 0, 0],
        [0, 0, 50, 0, 0, 0, 0],
        [25, 25, 0, 50, 0, 0, 0],
    ],
    np.float32,
)
_PLACES = ((1, 1), (1, 9))  # row and column of the two in the image
_COLOURS = (BLUE, ORANGE)


def worked_image() -> np.ndarray:
    """An image, float32 [9, 17], with the curve on the left and none on the right."""
    image = np.zeros((9, 17), np.float32)
    for (row, column), part in zip(_PLACES, (CURVE, NO_CURVE), strict=True):
        image[row : row + 7, column : column + 7] = part
    return image


def respond(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """What the package's own convolution makes of an image, without padding.

    Args:
        image: float [H, W].
        kernel: float [K, K].

    Returns:
        float32 [H - K + 1, W - K + 1].
    """
    side = len(kernel)
    layer = GroupedConv2D(filters=1, kernel_size=side, groups=1, padding="valid")
    layer.build((None, *image.shape, 1))
    layer.set_weights([kernel[..., None, None], np.zeros(1)])
    return layer(image[None, ..., None].astype(np.float32))[0, ..., 0].numpy()


@in_style
def draw_convolution() -> Figure:
    """The image, the filter, the products in two receptive fields, their sums, all responses."""
    image, responses = worked_image(), respond(worked_image(), CURVE_DETECTOR)
    figure = new_figure("A convolution: multiply place by place, and add up")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.3))
    above, below = left.subplots(2, 1, height_ratios=(9, 5))
    show_image(above, image, "image, and two of\nits receptive fields", cmap="gray")
    show_image(below, responses, "responses at all places\n(hundreds): the feature map")
    write_numbers(below, responses, lambda value: f"{value / 100:g}")
    for (row, column), colour in zip(_PLACES, _COLOURS, strict=True):
        outline(above, (row, column), (7, 7), colour)
        outline(below, (row, column), (1, 1), colour)
    panels = right.subplots(2, 5, width_ratios=(7, 1, 7, 1, 7))
    for cells, (row, column), colour in zip(panels, _PLACES, _COLOURS, strict=True):
        field = image[row : row + 7, column : column + 7]
        _draw_equation(cells, field, float(responses[row, column]), colour)
    panels[0, 0].set_title("receptive field")
    panels[0, 2].set_title("filter")
    panels[0, 4].set_title("products")
    return figure


def _draw_equation(cells: np.ndarray, field: np.ndarray, response: float, colour: str) -> None:
    """One row: field × filter = products, and their sum."""
    for axes, values, largest in (
        (cells[0], field, 50),
        (cells[2], CURVE_DETECTOR, 30),
        (cells[4], field * CURVE_DETECTOR, 1500),
    ):
        show_image(axes, values, cmap="gray", vmin=0, vmax=largest)
        write_numbers(axes, values)
    frame(cells[0], colour)
    cells[4].set_xlabel(f"sum: {response:g}", fontsize=LARGE, weight="bold")
    for axes, sign in ((cells[1], "×"), (cells[3], "=")):
        _write_sign(axes, sign)


def _write_sign(axes: Axes, sign: str) -> None:
    axes.axis("off")
    axes.text(0.5, 0.5, sign, fontsize=LARGE, ha="center", va="center", transform=axes.transAxes)


def picture(subject: FigureContext) -> Picture:
    """The same for every model."""
    del subject
    responses = respond(worked_image(), CURVE_DETECTOR)
    match, mismatch = (float(responses[place]) for place in _PLACES)
    return Picture(
        "convolution",
        "Convolution explained",
        f"A filter that detects a curve, laid on a curve (blue) and on something else (orange). "
        f"The products add up to {match:g} on the curve and to {mismatch:g} elsewhere; done at "
        f"every place, that is a feature map. (It is larger still where the filter lies on the "
        f"middle of the thick stroke: a filter answers to more than it was made for.) Computed "
        f"by this package's own convolution; the numbers are the lecture's (McCraith, 2016).",
        draw_convolution(),
        {"response on the curve": match, "response elsewhere": mismatch},
    )
