"""The images that excite single units most, with the receptive field of the response."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures import style
from alexnet_tf.figures.context import Activations, FigureContext
from alexnet_tf.figures.registry import RenderedFigure, figure
from alexnet_tf.figures.text import fit
from alexnet_tf.models.layer_summary import LayerSummary, layer_summary

_UNITS, _IMAGES = 4, 8  # rows and columns


def top_images(activations: Activations, unit: int, number: int = _IMAGES) -> np.ndarray:
    """Rows of the images with the largest responses of a unit, the largest first, int64 [n]."""
    return np.argsort(-activations.peaks[:, unit], kind="stable")[:number]


def most_telling(activations: Activations, number: int = _UNITS) -> list[int]:
    """Chooses units that differ most between classes: the best unit of each class, no class twice.

    A unit's score for a class is its mean response to the class minus its mean response to all
    images, in standard deviations. If there are not enough classes, the units with the most varied
    responses follow.
    """
    peaks, classes = activations.peaks, activations.labels
    spread = peaks.std(axis=0)
    found: list[int] = []
    labels = np.unique(classes) if classes is not None else []
    if len(labels) > 1:
        deviations = (peaks - peaks.mean(axis=0)) / np.maximum(spread, 1e-6)
        means = np.stack([deviations[classes == label].mean(axis=0) for label in labels])
        used: set[int] = set()
        order = np.argsort(-means, axis=None, kind="stable")
        for label, unit in zip(*np.unravel_index(order, means.shape), strict=True):
            if label not in used and unit not in found:
                found.append(int(unit))
                used.add(label)
            if len(found) == min(number, len(labels)):
                break
    varied = (int(unit) for unit in np.argsort(-spread, kind="stable"))
    return (found + [unit for unit in varied if unit not in found])[:number]


def draw_units(
    layer: LayerSummary, activations: Activations, tops: dict[int, np.ndarray],
    images: np.ndarray, names: list[list[str]], crop: int, rectified: bool = True,
) -> Figure:  # fmt: skip
    """Draws a row for each unit; if it has a map, the receptive field of its response is framed.

    Args:
        layer: with the units.
        activations: of the layer.
        tops: for each unit the rows of its images.
        images: uint8 [units, n, S, S, 3].
        names: of the images' classes.
        crop: side of the centre view that the network saw.
        rectified: whether a response of 0 or less means that the unit is inactive.
    """
    drawing = style.new_figure(f"The images that excite single units of {layer.name} most")
    cells = drawing.subplots(len(tops), images.shape[1], squeeze=False)
    margin = (images.shape[2] - crop) // 2
    room = style.SLIDE[0] / images.shape[1] - 0.25  # inches; the columns' padding is 0.2
    for line, (unit, rows), its_images, its_names in zip(
        cells, tops.items(), images, names, strict=True
    ):
        for axes, row, image, name in zip(line, rows, its_images, its_names, strict=True):
            style.show_image(axes, image[margin : margin + crop, margin : margin + crop])
            active = activations.peaks[row, unit] > 0 or not rectified
            label, slant = (name, "normal") if active else ("inactive", "italic")
            label = fit(label, room) if label else ""
            axes.set_xlabel(label, fontsize=style.SMALL, labelpad=3, style=slant)
            if layer.field is not None and active:
                _draw_field(axes, layer, activations.peak_positions[row, unit], crop)
        line[0].set_ylabel(f"unit {unit}", fontsize=style.MIDDLE, weight="bold")
    return drawing


def _draw_field(axes: Axes, layer: LayerSummary, position: np.ndarray, crop: int) -> None:
    """Frames the receptive field of a position in a map, without the padding."""
    first = layer.field.first + layer.field.stride * position
    top, left = np.maximum(first, 0)
    bottom, right = np.minimum(first + layer.field.size, crop)
    style.outline(axes, (top, left), (bottom - top, right - left), style.RED, 2.5, clip_on=False)


@figure("units", needs="images", order=120)
def render_units(context: FigureContext) -> RenderedFigure:
    """The units of the context, or those that differ most between classes."""
    activations = context.activations
    layers = layer_summary(context.variant, len(context.class_names))
    layer = next(layer for layer in layers if layer.name == context.layer)
    number = min(_IMAGES, len(activations.index))
    units = context.units or most_telling(activations)
    tops = {unit: top_images(activations, unit, number) for unit in units}
    images = context.images(np.concatenate(list(tops.values())))
    images = images.reshape(len(tops), number, *images.shape[1:])
    names = [context.true_names(rows) for rows in tops.values()]
    # 0 has no meaning for tanh, nor for the last layer, which has no nonlinearity.
    rectified = layer is not layers[-1] and "relu" in context.variant.activation
    if context.units:
        chosen = "were chosen by you"
    elif activations.labels is None:
        chosen = "have the most varied responses"
    else:
        chosen = "differ most between classes"
    field = (
        " The red frame is the unit's receptive field: the part of the image that it sees."
        if layer.field
        else ""
    )
    crop = context.variant.preprocessing.crop_size
    return RenderedFigure(
        f"What excites units of {layer.name}",
        f"Each row: a unit of {layer.name}, and the images, out of "
        f"{len(activations.index):,}, to which it responds most, the strongest response on the "
        f"left. These units {chosen}.{field}",
        draw_units(layer, activations, tops, images, names, crop, rectified),
        {
            "units": [
                {
                    "unit": unit,
                    "largest response": float(activations.peaks[rows[0], unit]),
                    **_best(its_names),
                }
                for (unit, rows), its_names in zip(tops.items(), names, strict=True)
            ]
        },
    )


def _best(names: list[str]) -> dict[str, object]:
    """The most frequent class of some images, if their classes are known."""
    if not all(names):
        return {}
    best = max(names, key=names.count)
    return {"class": best, "share of these images": names.count(best) / len(names)}
