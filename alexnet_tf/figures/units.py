"""The images that excite single units most, and where."""

from __future__ import annotations

import dataclasses

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from alexnet_tf.errors import UserError
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import RED, in_style, new_figure, shorten, show_image
from alexnet_tf.figures.subject import Subject
from alexnet_tf.figures.survey import Survey
from alexnet_tf.models.geometry import Field, geometry

_UNITS, _IMAGES = 4, 8  # rows and columns


@dataclasses.dataclass(frozen=True)
class Excited:
    """What excites a unit.

    Attributes:
        unit: its number, from 0.
        which: int64 [n], places in the survey, the strongest first.
        responses: float32 [n].
        places: int64 [n, 2], row and column in the map.
        best: the class that most of them are of.
        share: of them.
    """

    unit: int
    which: np.ndarray
    responses: np.ndarray
    places: np.ndarray
    best: int
    share: float


def excite(survey: Survey, unit: int, number: int = _IMAGES) -> Excited:
    """The images with the largest responses of a unit.

    Args:
        survey: of images.
        unit: its number, from 0.
        number: of images.

    Raises:
        UserError: no such unit.
    """
    units = survey.responses.shape[1]
    if not 0 <= unit < units:
        raise UserError(
            f"Expected a unit of {survey.layer}, 0 to {units - 1}. Received: --units={unit}"
        )
    which = np.argsort(-survey.responses[:, unit], kind="stable")[:number]
    counts = np.bincount(survey.labels[which])
    return Excited(
        unit, which, survey.responses[which, unit], survey.places[which, unit],
        int(counts.argmax()), float(counts.max() / len(which)),
    )  # fmt: skip


def most_telling(survey: Survey, number: int = _UNITS) -> list[int]:
    """Units that differ most between classes: each the best of its class, no class twice.

    A unit is measured by the mean of its responses to a class, less that to all images, in
    standard deviations.
    """
    spread = survey.responses.std(axis=0)
    deviations = (survey.responses - survey.responses.mean(axis=0)) / np.maximum(spread, 1e-6)
    labels = np.unique(survey.labels)
    means = np.stack([deviations[survey.labels == label].mean(axis=0) for label in labels])
    found: list[int] = []
    for label, unit in zip(
        *np.unravel_index(np.argsort(-means, axis=None), means.shape), strict=True
    ):
        if len(found) < number and unit not in found and np.isfinite(means[label]).any():
            found.append(int(unit))
            means[label] = -np.inf
    return found


@in_style
def draw_units(
    layer: str,
    excited: list[Excited],
    squares: np.ndarray,
    names: list[list[str]],
    field: Field | None,
    crop: int,
) -> Figure:
    """A row for each unit; of a map, what the unit saw of the image is framed.

    Args:
        layer: whose units they are.
        excited: of `excite`.
        squares: uint8 [units, n, S, S, 3].
        names: of the images' classes.
        field: of the layer's units; None of a fully connected layer's.
        crop: side of the centre view that the network saw.
    """
    figure = new_figure(f"The images that excite single units of {layer} most")
    cells = figure.subplots(len(excited), squares.shape[1], squeeze=False)
    margin = (squares.shape[2] - crop) // 2
    for row, each, images, theirs in zip(cells, excited, squares, names, strict=True):
        for i, (axes, image, name) in enumerate(zip(row, images, theirs, strict=True)):
            show_image(axes, image[margin : margin + crop, margin : margin + crop])
            axes.set_xlabel(shorten(name, 13), fontsize=12, labelpad=3)
            if field is not None:
                top, left = (field.first + field.stride * int(place) for place in each.places[i])
                ends = min(top + field.size, crop), min(left + field.size, crop)
                top, left = max(top, 0), max(left, 0)
                axes.add_patch(
                    Rectangle(
                        (left - 0.5, top - 0.5), ends[1] - left, ends[0] - top, fill=False,
                        edgecolor=RED, linewidth=2.5, clip_on=False,
                    )
                )  # fmt: skip
        row[0].set_ylabel(f"unit {each.unit}", fontsize=16, weight="bold")
    return figure


def picture(subject: Subject) -> Picture:
    """Of the units that were asked for, or of those that differ most between classes."""
    survey = subject.survey
    number = min(_IMAGES, len(survey.labels))
    excited = [excite(survey, unit, number) for unit in subject.units or most_telling(survey)]
    squares = subject.squares(np.concatenate([each.which for each in excited]))
    squares = squares.reshape(len(excited), number, *squares.shape[1:])
    names = [[subject.classes[label] for label in survey.labels[each.which]] for each in excited]
    layers = {layer.name: layer for layer in geometry(subject.variant, len(subject.classes))}
    field = layers[survey.layer].field
    chosen = "that were asked for" if subject.units else "that differ most between classes"
    where = " Framed: what the unit sees there." if field else ""
    return Picture(
        "units",
        f"What excites units of {survey.layer}",
        f"Units of {survey.layer} {chosen}, and of {len(survey.labels):,} images those to which "
        f"each responds most, the strongest on the left.{where}",
        draw_units(
            survey.layer, excited, squares, names, field, subject.variant.preprocessing.crop_size
        ),
        {
            f"unit {each.unit}": {
                "class": subject.classes[each.best],
                "share of these images": each.share,
                "largest response": float(each.responses[0]),
            }
            for each in excited
        },
    )
