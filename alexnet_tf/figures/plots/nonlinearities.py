"""The nonlinearities, and the dead units of a model (paper §3.1)."""

from __future__ import annotations

import dataclasses
import typing

import keras
import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.registry import RenderedFigure, figure
from alexnet_tf.figures.style import BLUE, CYCLE, RED, SMALL, new_figure
from alexnet_tf.layers import NoisyReLU
from alexnet_tf.models.build import make_layer
from alexnet_tf.models.feature_extraction import is_nonlinearity
from alexnet_tf.models.spec import ACTIVATION, ActivationName
from alexnet_tf.models.variants import PAPER

NAMES = typing.get_args(ActivationName)
_IMAGES = 256  # for which units are measured
_BATCH = 32
# With a larger derivative a unit passes the gradient on. A unit that never does stops learning.
# The limit is twice a leaky ReLU's slope below 0, so that rounding does not decide.
_PASSES_ON = 0.02
_LINES = ("-", "--", ":", "-.", "-")


@dataclasses.dataclass(frozen=True)
class Activity:
    """The activity of a layer's units over some images.

    Attributes:
        name: of the layer.
        units: number of maps, or of units of a fully connected layer.
        dead: number of units that never passed on more than 2 % of the gradient, anywhere.
        active: share of all responses (units, positions and images) that passed on more.
    """

    name: str
    units: int
    dead: int
    active: float


def slopes(layer: keras.Layer, outputs: np.ndarray) -> np.ndarray:
    """The derivative of a nonlinearity (`feature_extraction.is_nonlinearity`), from its outputs."""
    if isinstance(layer, keras.layers.LeakyReLU):
        return np.where(outputs > 0, 1, layer.negative_slope)
    if isinstance(layer, (keras.layers.ReLU, NoisyReLU)):
        return np.where(outputs > 0, 1, 0)
    if layer.activation is keras.activations.tanh:
        return 1 - outputs**2
    return outputs * (1 - outputs)  # sigmoid


def measure_activity(model: keras.Model, inputs: tf.Tensor) -> list[Activity]:
    """Counts dead units and active responses, layer by layer, for inputs float32 [N, C, C, 3]."""
    layers = [layer for layer in model.layers if is_nonlinearity(layer)]
    inside = keras.Model(model.inputs, [layer.output for layer in layers])
    passes, shares = [np.False_] * len(layers), [[] for _ in layers]
    for start in range(0, len(inputs), _BATCH):
        # Keras returns a tensor if there is one layer; this makes it a list.
        outputs = tf.nest.flatten(inside(inputs[start : start + _BATCH], training=False))
        for i, (layer, output) in enumerate(zip(layers, outputs, strict=True)):
            passing = slopes(layer, output.numpy()) > _PASSES_ON  # [b, ..., units]
            passes[i] = passes[i] | passing.any(axis=tuple(range(passing.ndim - 1)))
            shares[i].append(passing.mean(axis=tuple(range(1, passing.ndim))))
    return [
        Activity(layer.name, len(alive), int((~alive).sum()), float(np.concatenate(share).mean()))
        for layer, alive, share in zip(layers, passes, shares, strict=True)
    ]


def draw_nonlinearities(activities: list[Activity]) -> Figure:
    """Draws the functions, and each layer's shares of dead units and active responses."""
    drawing = new_figure("Nonlinearities and dead units")
    left, right = drawing.subplots(1, 2)
    _draw_functions(left)
    places = np.arange(len(activities))
    dead = [each.dead / each.units for each in activities]
    active = [each.active for each in activities]
    right.barh(places - 0.2, active, 0.38, color=BLUE, label="responses that pass the gradient on")
    if any(dead):
        right.barh(places + 0.2, dead, 0.38, color=RED, hatch="//", label="dead units")
    for place, each in zip(places, activities, strict=True):
        count = f"{each.dead or 'none'} of {each.units} dead"
        right.text(each.dead / each.units + 0.02, place + 0.2, count, va="center", fontsize=SMALL)
        right.text(
            each.active + 0.02, place - 0.2, f"{each.active:.0%}", va="center", fontsize=SMALL
        )
    right.set_yticks(places, [each.name for each in activities])
    right.invert_yaxis()
    right.set_xlim(0, 1.15)
    right.set_xticks(np.linspace(0, 1, 6), [f"{x:.0%}" for x in np.linspace(0, 1, 6)])
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06))
    right.set_title("in this model")
    return drawing


def _draw_functions(axes: Axes) -> None:
    """Draws each function, as its layer computes it; of the noisy one also the 10 to 90 % range."""
    x = np.linspace(-3, 3, 241, dtype=np.float32)
    for name, colour, line in zip(NAMES, CYCLE, _LINES, strict=False):
        layer = make_layer(ACTIVATION, 0, dataclasses.replace(PAPER, activation=name))
        if isinstance(layer, NoisyReLU):
            draws = NoisyReLU(seed=0)(np.tile(x, (4000, 1)), training=True).numpy()
            low, high = np.quantile(draws, (0.1, 0.9), axis=0)
            axes.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
            axes.plot(x, draws.mean(axis=0), color=colour, linestyle=line, linewidth=2, label=name)
        else:
            width = 5 if name == "relu" else 2.5  # visible beneath the leaky one
            axes.plot(x, layer(x).numpy(), color=colour, linestyle=line, lw=width, label=name)
    axes.axhline(0, color="black", linewidth=0.8, zorder=0)
    axes.axvline(0, color="black", linewidth=0.8, zorder=0)
    axes.set_ylim(-2.2, 3)
    axes.set_xlabel("input")
    axes.set_ylabel("output")
    axes.legend(loc="lower right")
    axes.set_title("the functions (shaded: noise in training)")


@figure("nonlinearities", needs="images", order=40)
def render_nonlinearities(context: FigureContext) -> RenderedFigure:
    """The model's own layers, on images of its dataset."""
    number = min(_IMAGES, len(context.activations.index))
    rows = np.linspace(0, len(context.activations.index) - 1, number).astype(int)
    activities = measure_activity(context.model, context.inputs(context.images(rows)))
    dead = sum(each.dead for each in activities)
    return RenderedFigure(
        "Nonlinearities and dead units",
        f"Left: the nonlinearities of `--activation`; this model has {context.variant.activation}. "
        f"Right: for each layer, the share of responses that pass more than 2 % of the gradient on "
        f"(blue), and the units that do so for none of {number} images. Such dead units cannot "
        f"learn any more. Here {dead or 'none'} of "
        f"{sum(each.units for each in activities):,} units are dead; a map counts as one unit.",
        draw_nonlinearities(activities),
        {
            "layers": [
                {"layer": each.name, "units": each.units, "dead": each.dead,
                 "active responses": each.active}
                for each in activities
            ]
        },
    )  # fmt: skip
