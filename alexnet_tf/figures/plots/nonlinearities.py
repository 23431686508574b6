"""The nonlinearities, and the units of a model that theirs has put to sleep (paper §3.1)."""

from __future__ import annotations

import dataclasses
import typing

import keras
import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import BLUE, CYCLE, RED, SMALL, in_style, new_figure
from alexnet_tf.layers import NoisyReLU
from alexnet_tf.models.build import make_layer
from alexnet_tf.models.feature_extraction import is_nonlinearity
from alexnet_tf.models.spec import ACTIVATION, ActivationName
from alexnet_tf.models.variants import PAPER

NAMES = typing.get_args(ActivationName)
_IMAGES = 256  # that the units are shown
_BATCH = 32
# Of the gradient: a unit that never passes on more has stopped learning. Twice a leaky ReLU's slope
# below 0, so that it does not hang on rounding whether that counts.
_PASSES_ON = 0.02
_LINES = ("-", "--", ":", "-.", "-")


@dataclasses.dataclass(frozen=True)
class Activity:
    """Of the units of a layer, over some images.

    Attributes:
        name: of the layer.
        units: how many: maps, or units of a fully connected layer.
        dead: how many of them never passed on more than 2 % of the gradient, anywhere.
        active: share of all responses, of every unit, place and image, that did.
    """

    name: str
    units: int
    dead: int
    active: float


def slopes(layer: keras.Layer, outputs: np.ndarray) -> np.ndarray:
    """The derivative of a nonlinearity, from what it gave.

    Args:
        layer: one for which `inside.is_nonlinearity` holds.
        outputs: of it, any shape.
    """
    if isinstance(layer, keras.layers.LeakyReLU):
        return np.where(outputs > 0, 1, layer.negative_slope)
    if isinstance(layer, (keras.layers.ReLU, NoisyReLU)):
        return np.where(outputs > 0, 1, 0)
    if layer.activation is keras.activations.tanh:
        return 1 - outputs**2
    return outputs * (1 - outputs)  # sigmoid


def measure_activity(model: keras.Model, inputs: tf.Tensor) -> list[Activity]:
    """How many units are dead, and how many responses are active, layer by layer.

    Args:
        model: the network.
        inputs: float32 [N, C, C, 3], as it takes them.
    """
    layers = [layer for layer in model.layers if is_nonlinearity(layer)]
    inside = keras.Model(model.inputs, [layer.output for layer in layers])
    passes, shares = [np.False_] * len(layers), [[] for _ in layers]
    for start in range(0, len(inputs), _BATCH):
        # A list, also where there is one layer and Keras gives a tensor.
        outputs = tf.nest.flatten(inside(inputs[start : start + _BATCH], training=False))
        for i, (layer, output) in enumerate(zip(layers, outputs, strict=True)):
            passing = slopes(layer, output.numpy()) > _PASSES_ON  # [b, ..., units]
            passes[i] = passes[i] | passing.any(axis=tuple(range(passing.ndim - 1)))
            shares[i].append(passing.mean(axis=tuple(range(1, passing.ndim))))
    return [
        Activity(layer.name, len(alive), int((~alive).sum()), float(np.concatenate(share).mean()))
        for layer, alive, share in zip(layers, passes, shares, strict=True)
    ]


@in_style
def draw_nonlinearities(activities: list[Activity]) -> Figure:
    """The functions, and by layer the shares of dead units and of active responses.

    Args:
        activities: of `measure_activity`.
    """
    figure = new_figure("Nonlinearities, and what becomes of the units")
    left, right = figure.subplots(1, 2)
    _draw_functions(left)
    places = np.arange(len(activities))
    dead = [each.dead / each.units for each in activities]
    active = [each.active for each in activities]
    right.barh(places - 0.2, active, 0.38, color=BLUE, label="responses that pass a gradient on")
    right.barh(places + 0.2, dead, 0.38, color=RED, hatch="//", label="dead units")
    for place, each in zip(places, activities, strict=True):
        share = f"{each.dead} of {each.units}"
        right.text(each.dead / each.units + 0.02, place + 0.2, share, va="center", fontsize=SMALL)
        right.text(
            each.active + 0.02, place - 0.2, f"{each.active:.0%}", va="center", fontsize=SMALL
        )
    right.set_yticks(places, [each.name for each in activities])
    right.invert_yaxis()
    right.set_xlim(0, 1.15)
    right.set_xticks(np.linspace(0, 1, 6), [f"{x:.0%}" for x in np.linspace(0, 1, 6)])
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06))
    right.set_title("in this model")
    return figure


def _draw_functions(axes: Axes) -> None:
    """Each by the layer that networks are built with; of the noisy one what 8 in 10 draws give."""
    x = np.linspace(-3, 3, 241, dtype=np.float32)
    for name, colour, line in zip(NAMES, CYCLE, _LINES, strict=False):
        layer = make_layer(ACTIVATION, 0, dataclasses.replace(PAPER, activation=name))
        if isinstance(layer, NoisyReLU):
            draws = NoisyReLU(seed=0)(np.tile(x, (4000, 1)), training=True).numpy()
            low, high = np.quantile(draws, (0.1, 0.9), axis=0)
            axes.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
            axes.plot(x, draws.mean(axis=0), color=colour, linestyle=line, linewidth=2, label=name)
        else:
            width = 5 if name == "relu" else 2.5  # seen beneath the leaky one
            axes.plot(x, layer(x).numpy(), color=colour, linestyle=line, lw=width, label=name)
    axes.axhline(0, color="black", linewidth=0.8, zorder=0)
    axes.axvline(0, color="black", linewidth=0.8, zorder=0)
    axes.set_ylim(-2.2, 3)
    axes.set_xlabel("input")
    axes.set_ylabel("output")
    axes.legend(loc="lower right")
    axes.set_title("the functions (shaded: noise in training)")


def picture(subject: FigureContext) -> Picture:
    """Of the model's own layers, on images of its data."""
    number = min(_IMAGES, len(subject.survey.index))
    chosen = np.linspace(0, len(subject.survey.index) - 1, number).astype(int)
    activities = measure_activity(subject.model, subject.inputs(subject.squares(chosen)))
    dead = sum(each.dead for each in activities)
    return Picture(
        "nonlinearities",
        "Nonlinearities and dead units",
        f"Left: the nonlinearities that `--activation` offers; this model has "
        f"{subject.variant.activation}. Right: a unit is dead that on none of {number} images "
        f"passes on more than 2 % of the gradient: {dead} of "
        f"{sum(each.units for each in activities)} (a map counts as one unit).",
        draw_nonlinearities(activities),
        {
            "layers": [
                {
                    "layer": each.name,
                    "units": each.units,
                    "dead": each.dead,
                    "active responses": each.active,
                }
                for each in activities
            ]
        },
    )
