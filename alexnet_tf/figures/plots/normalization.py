"""Response normalisation of a real first layer, before and after (paper §3.3)."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import BLUE, GREY, RED, in_style, new_figure, show_image
from alexnet_tf.layers import LocalResponseNormalization

_NAMED = 3  # maps that are said to be damped most
_NOTICED = 0.001  # of a response: less is not worth a name


@dataclasses.dataclass(frozen=True)
class Normalization:
    """What a layer did to an image's responses.

    Attributes:
        before, after: float32 [H, W, maps].
        alone: what the layer multiplies a response by whose neighbours are silent, and which is
            small itself: k ** -β.
        row, column: where the neighbours damped most.
    """

    before: np.ndarray
    after: np.ndarray
    alone: float
    row: int
    column: int

    @property
    def damping(self) -> np.ndarray:
        """[maps], at that place: 1 where the neighbours did nothing, less where they damped.

        1 as well where there was no response that they could have damped.
        """
        before, after = (x[self.row, self.column] for x in (self.before, self.after))
        there = before != 0
        return np.where(there, after / np.where(there, before, 1) / self.alone, 1)

    @property
    def named(self) -> list[int]:
        """The maps that were damped most and are no close neighbours of each other."""
        damping, chosen = self.damping, []
        for place in map(int, np.argsort(damping, kind="stable")):
            apart = all(abs(place - other) > len(damping) / 20 for other in chosen)
            if len(chosen) < _NAMED and apart and 1 - damping[place] >= _NOTICED:
                chosen.append(place)
        return chosen


def normalize(layer: LocalResponseNormalization, before: np.ndarray) -> Normalization:
    """Applies a layer to an image's responses.

    Args:
        layer: whichever.
        before: float32 [H, W, maps].
    """
    after = layer(before[None])[0].numpy()
    alone = layer.k**-layer.beta
    lost = alone * np.abs(before) - np.abs(after)  # to the neighbours
    row, column, _ = np.unravel_index(lost.argmax(), lost.shape)
    return Normalization(before, after, alone, int(row), int(column))


@in_style
def draw_normalization(done: Normalization) -> Figure:
    """All maps at one place before and after, how much each was damped, and the map hit most."""
    figure = new_figure("Response normalisation: strong neighbours damp each other")
    left, right = figure.subfigures(1, 2, width_ratios=(2.6, 1))
    above, below = left.subplots(2, 1, sharex=True)
    before, after = (x[done.row, done.column] for x in (done.before, done.after))
    maps = np.arange(len(before))
    above.bar(maps, before, color=GREY, width=0.85, label="before")
    above.bar(maps, after, color=BLUE, width=0.5, label="after")
    above.set_ylabel("response")
    above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    place = f"all maps at row {done.row}, column {done.column}"
    above.set_title(place, loc="left")
    _draw_damping(below, done)
    damped = int(done.damping.argmin())
    first, second = right.subplots(2, 1)
    seen = done.before[..., damped]  # the larger ones of the two
    scale = {"vmin": min(0, seen.min()), "vmax": max(0, seen.max())}
    for axes, values, name in ((first, done.before, "before"), (second, done.after, "after")):
        show_image(axes, values[..., damped], f"map {damped} {name}", **scale)
        axes.plot(done.column, done.row, "o", ms=14, mfc="none", mec=RED, mew=2.5)
    return figure


def _draw_damping(axes: Axes, done: Normalization) -> None:
    damping = done.damping
    axes.bar(np.arange(len(damping)), 1 - damping, color=RED, width=0.85)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    axes.set_ylabel("damped by neighbours")
    axes.set_xlabel("map")
    axes.set_xlim(-0.6, len(damping) - 0.4)
    axes.set_ylim(0, 1.25 * max(1e-6, float((1 - damping).max())))
    for place in done.named:
        axes.annotate(
            f"{place}", (place, 1 - damping[place]), (0, 2),
            textcoords="offset points", ha="center", va="bottom",
        )  # fmt: skip


def picture(subject: FigureContext) -> Picture:
    """Of the model's own first normalisation, or the paper's where it has none."""
    kind = LocalResponseNormalization
    layer = next((each for each in subject.model.layers if isinstance(each, kind)), None)
    if layer is None:
        layer, whose = kind(), "The paper's normalisation (this network has none)"
        before = subject.conv1[0]
    else:
        whose = f"`{layer.name}`"
        inputs = subject.inputs(subject.square[None])
        before = keras.Model(subject.model.inputs, layer.input)(inputs)[0].numpy()
    done = normalize(layer, before)
    named = ", ".join(f"{i} ({1 - done.damping[i]:.1%})" for i in done.named)
    return Picture(
        "response-normalisation",
        "Response normalisation",
        f"{whose} on the photograph, at the place where neighbours took most away. Whatever its "
        f"neighbours do, a response is multiplied by k^-β = {done.alone:.3f}; strong neighbours "
        f"damp it further. Damped most: {f'maps {named}' if named else 'none worth a number'}.",
        draw_normalization(done),
        {
            "place": [done.row, done.column],
            "factor without neighbours": done.alone,
            "damped most": {f"map {i}": float(1 - done.damping[i]) for i in done.named},
            "damped on average": float(1 - done.damping.mean()),
        },
    )
