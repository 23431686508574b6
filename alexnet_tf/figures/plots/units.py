"""The images that excite single units most, and where."""

from __future__ import annotations

import dataclasses

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.activations import Activations
from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import (
    MIDDLE,
    RED,
    SLIDE,
    SMALL,
    in_style,
    new_figure,
    outline,
    show_image,
)
from alexnet_tf.figures.text import fit
from alexnet_tf.models.layer_summary import ReceptiveField, layer_summary
from alexnet_tf.system.errors import UserError

_UNITS, _IMAGES = 4, 8  # rows and columns


@dataclasses.dataclass(frozen=True)
class Excited:
    """What excites a unit.

    Attributes:
        unit: its number, from 0.
        which: int64 [n], places in the survey, the strongest first.
        responses: float32 [n].
        places: int64 [n, 2], row and column in the map; None of a fully connected layer's.
    """

    unit: int
    which: np.ndarray
    responses: np.ndarray
    places: np.ndarray | None


def check_unit(layer: str, unit: int, units: int) -> None:
    """Sees whether a layer has a unit.

    Raises:
        UserError: it has not.
    """
    if not 0 <= unit < units:
        raise UserError(f"Expected a unit of {layer}, 0 to {units - 1}. Received: --units={unit}")


def excite(survey: Activations, unit: int, number: int = _IMAGES) -> Excited:
    """The images with the largest responses of a unit.

    Args:
        survey: of images.
        unit: its number, from 0.
        number: of images.

    Raises:
        UserError: no such unit.
    """
    check_unit(survey.layer, unit, survey.responses.shape[1])
    which = np.argsort(-survey.responses[:, unit], kind="stable")[:number]
    places = None if survey.places is None else survey.places[which, unit]
    return Excited(unit, which, survey.responses[which, unit], places)


def most_telling(survey: Activations, number: int = _UNITS) -> list[int]:
    """Units that differ most between classes: each the best of its class, no class twice.

    A unit is measured by the mean of its responses to a class, less that to all images, in
    standard deviations. Where there are fewer classes than units are wanted, or none are known,
    those follow whose responses vary most.
    """
    spread = survey.responses.std(axis=0)
    found: list[int] = []
    labels = np.unique(survey.labels) if survey.labels is not None else []
    if len(labels) > 1:
        deviations = (survey.responses - survey.responses.mean(axis=0)) / np.maximum(spread, 1e-6)
        means = np.stack([deviations[survey.labels == label].mean(axis=0) for label in labels])
        served: set[int] = set()
        order = np.argsort(-means, axis=None, kind="stable")
        for label, unit in zip(*np.unravel_index(order, means.shape), strict=True):
            if label not in served and unit not in found:
                found.append(int(unit))
                served.add(label)
            if len(found) == min(number, len(labels)):
                break
    varied = (int(unit) for unit in np.argsort(-spread, kind="stable"))
    return (found + [unit for unit in varied if unit not in found])[:number]


@in_style
def draw_units(
    layer: str,
    excited: list[Excited],
    squares: np.ndarray,
    names: list[list[str]],
    field: ReceptiveField | None,
    crop: int,
    rectified: bool = True,
) -> Figure:
    """A row for each unit; of a map, what the unit saw of the image is framed.

    Args:
        layer: whose units they are.
        excited: of `excite`.
        squares: uint8 [units, n, S, S, 3].
        names: of the images' classes.
        field: of the layer's units; None of a fully connected layer's.
        crop: side of the centre view that the network saw.
        rectified: whether a unit that gives 0 or less sees nothing; it is said to be inactive.
    """
    figure = new_figure(f"The images that excite single units of {layer} most")
    cells = figure.subplots(len(excited), squares.shape[1], squeeze=False)
    margin = (squares.shape[2] - crop) // 2
    room = SLIDE[0] / squares.shape[1] - 0.25  # inches; the columns' own pads are .2
    for row, each, images, theirs in zip(cells, excited, squares, names, strict=True):
        for i, (axes, image, name) in enumerate(zip(row, images, theirs, strict=True)):
            show_image(axes, image[margin : margin + crop, margin : margin + crop])
            active = each.responses[i] > 0 or not rectified
            label = name if active else "inactive"
            style = "normal" if active else "italic"
            axes.set_xlabel(fit(label, room) if label else "", fontsize=SMALL, labelpad=3,
                            style=style)  # fmt: skip
            if field is not None and active:
                _draw_field(axes, field, each.places[i], crop)
        row[0].set_ylabel(f"unit {each.unit}", fontsize=MIDDLE, weight="bold")
    return figure


def _draw_field(axes: Axes, field: ReceptiveField, place: np.ndarray, crop: int) -> None:
    """Frames what a unit at a row and a column sees of a view, as far as it is no padding."""
    first = field.first + field.stride * place
    top, left = np.maximum(first, 0)
    bottom, right = np.minimum(first + field.size, crop)
    outline(axes, (top, left), (bottom - top, right - left), RED, 2.5, clip_on=False)


def picture(subject: FigureContext) -> Picture:
    """Of the units that were asked for, or of those that differ most between classes."""
    survey, layers = subject.survey, layer_summary(subject.variant, len(subject.classes))
    number = min(_IMAGES, len(survey.index))
    excited = [excite(survey, unit, number) for unit in subject.units or most_telling(survey)]
    squares = subject.squares(np.concatenate([each.which for each in excited]))
    squares = squares.reshape(len(excited), number, *squares.shape[1:])
    names = [subject.names(each.which) for each in excited]
    field = next(layer.field for layer in layers if layer.name == survey.layer)
    # tanh has no sleep, and the last layer no nonlinearity: 0 is nothing special to them.
    rectified = survey.layer != layers[-1].name and "relu" in subject.variant.activation
    differ = "vary most" if survey.labels is None else "differ most between classes"
    chosen = "that were asked for" if subject.units else f"that {differ}"
    where = " Framed: what the unit sees there." if field else ""
    return Picture(
        "units",
        f"What excites units of {survey.layer}",
        f"Units of {survey.layer} {chosen}, and of {len(survey.index):,} images those to which "
        f"each responds most, the strongest on the left.{where}",
        draw_units(
            survey.layer, excited, squares, names, field,
            subject.variant.preprocessing.crop_size, rectified,
        ),
        {
            "units": [
                {"unit": each.unit, "largest response": float(each.responses[0]), **_best(theirs)}
                for each, theirs in zip(excited, names, strict=True)
            ]
        },
    )  # fmt: skip


def _best(names: list[str]) -> dict[str, object]:
    """The class that most of some images are of, where classes are known."""
    if not all(names):
        return {}
    best = max(names, key=names.count)
    return {"class": best, "share of these images": names.count(best) / len(names)}
