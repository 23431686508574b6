"""The kernels of the first layer by tower, and how oriented and coloured each is (paper §6.1)."""

from __future__ import annotations

import keras
import numpy as np
from matplotlib.figure import Figure

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import TOWERS, in_style, new_figure, show_image
from alexnet_tf.models.feature_extraction import layer_names, variant_of
from alexnet_tf.models.layer_summary import num_towers
from alexnet_tf.models.spec import Variant
from alexnet_tf.visualize import grid, kernel_pictures

_GREY = np.ones(3) / np.sqrt(3)  # the direction in which R, G and B are equal
_MARKS = ("o", "s", "^", "D")


def colour_scores(kernels: np.ndarray) -> np.ndarray:
    """The share of a kernel's energy that is colour: 0 for a grey one, 1 for one without grey.

        1 - |k · (1, 1, 1) / √3|² / |k|²

    Args:
        kernels: float [K, K, 3, F], the third axis RGB or BGR.

    Returns:
        float [F], 0 to 1; 0 of a kernel that is 0.
    """
    energy = (kernels**2).sum(axis=(0, 1, 2))
    grey = (np.einsum("yxcf,c->yxf", kernels, _GREY) ** 2).sum(axis=(0, 1))
    return np.where(energy > 0, 1 - grey / np.maximum(energy, np.finfo(np.float32).tiny), 0)


def orientation_scores(kernels: np.ndarray) -> np.ndarray:
    """How much a kernel answers to one orientation: 1 for a grating, 0 for a blob.

    With P the power at frequency (r, θ), summed over the colours and without the mean:

        |Σ P · e^(2iθ)| / Σ P

    Twice the angle, because a wave and the same wave the other way round are one orientation.

    Args:
        kernels: float [K, K, 3, F].

    Returns:
        float [F], 0 to 1; 0 of a kernel that is constant.
    """
    side = len(kernels)
    padded = (4 * side, 4 * side)  # finer frequencies, so that directions are told apart better
    centred = kernels - kernels.mean(axis=(0, 1))
    power = (np.abs(np.fft.fft2(centred, padded, axes=(0, 1))) ** 2).sum(axis=2)  # [4K, 4K, F]
    y, x = np.meshgrid(*[np.fft.fftfreq(n) for n in padded], indexing="ij")
    power[np.hypot(x, y) > 0.5] = 0  # the corners, which exist in diagonal directions only
    doubled = np.exp(2j * np.arctan2(y, x))
    total = power.sum(axis=(0, 1))
    tiny = 1e-12 * (kernels**2).sum(axis=(0, 1, 2)) * side**2 + np.finfo(np.float32).tiny
    coherent = np.abs(np.einsum("yxf,yx->f", power, doubled))
    return np.where(total > tiny, coherent / np.maximum(total, tiny), 0)


def more_coloured(first: np.ndarray, second: np.ndarray) -> float:
    """How often a kernel of one tower is more coloured than one of the other.

    Args:
        first: scores of its kernels.
        second: of the other's.

    Returns:
        The share of pairs in which the second's score is higher, ties counted half: .5 if the
        towers do not differ, 1 if every kernel of the second is more coloured than all of the
        first.
    """
    difference = second[:, None] - first[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


@in_style
def draw_first_layer(model: keras.Model, variant: Variant | None = None) -> Figure:
    """The kernels of each tower, and each as a point: how oriented, how coloured.

    Args:
        model: of `alexnet_tf.AlexNet`.
        variant: what it was built from, if that is a row of your own.

    Raises:
        UserError: it is not known what the model was built from.
    """
    variant = variant_of(model, variant)
    kernels, towers = first_kernels(model), num_towers(variant)
    colours = [TOWERS[i % len(TOWERS)] for i in range(towers)]
    figure = new_figure(f"The {kernels.shape[-1]} kernels of the first layer")
    left, right = figure.subfigures(1, 2, width_ratios=(1.35, 1))
    pictures = np.split(kernel_pictures(kernels, variant.preprocessing.channels), towers)
    panels = np.atleast_1d(left.subplots(towers, 1))
    for i, (axes, part, colour) in enumerate(zip(panels, pictures, colours, strict=True), start=1):
        title = f"tower {i}" if towers > 1 else ""
        show_image(axes, grid(part, columns=_columns(len(part), towers), scale=8), title)
        axes.title.set(color=colour, weight="bold")
    axes = right.subplots()
    scores = (np.split(score(kernels), towers) for score in (orientation_scores, colour_scores))
    for i, (x, y, colour) in enumerate(zip(*scores, colours, strict=True), start=1):
        label = f"tower {i}: mean colour {y.mean():.2f}" if towers > 1 else None
        mark = _MARKS[(i - 1) % len(_MARKS)]
        axes.scatter(x, y, 60, colour, marker=mark, alpha=0.8, label=label)
    axes.set_xlabel("oriented: blob 0, grating 1")
    axes.set_ylabel("coloured: grey 0, colour only 1")
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    if towers > 1:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure


def _columns(kernels: int, towers: int) -> int:
    """Of a tower's picture; 48 make the 4 rows of 12 of the paper's figure 3."""
    wanted = (kernels * (2.5 if towers > 1 else 1.2)) ** 0.5  # by the room that there is
    return min(
        (n for n in range(1, kernels + 1) if kernels % n == 0), key=lambda n: abs(n - wanted)
    )


def first_kernels(model: keras.Model) -> np.ndarray:
    """Of the first layer with weights, [K, K, 3, F]."""
    return model.get_layer(layer_names(model)[0]).kernel.numpy()


def picture(subject: FigureContext) -> Picture:
    """Of the model's kernels."""
    kernels, towers = first_kernels(subject.model), num_towers(subject.variant)
    oriented, coloured = orientation_scores(kernels), colour_scores(kernels)
    numbers = {"oriented, mean": float(oriented.mean()), "coloured, mean": float(coloured.mean())}
    caption = (
        "Grey is a weight of 0. Oriented: how much of a kernel's power lies in one direction. "
        "Coloured: the share of its energy that is not grey. "
    )
    if towers == 2:
        first, second = np.split(coloured, 2)
        share = more_coloured(first, second)
        numbers["tower 2 more coloured than tower 1"] = share
        caption += (
            f"The paper found one tower largely colour-agnostic, the other colour-specific "
            f"(§6.1). Here the mean is {first.mean():.2f} in tower 1 and {second.mean():.2f} in "
            f"tower 2, and of all pairs of a kernel of each, tower 2's is the more coloured in "
            f"{share:.0%} (50 % would be no difference, 0 % or 100 % the paper's finding in full)."
        )
    numbers["kernels"] = [
        {
            "kernel": i,
            "tower": 1 + i * towers // len(oriented),
            "oriented": float(x),
            "coloured": float(y),
        }
        for i, (x, y) in enumerate(zip(oriented, coloured, strict=True))
    ]
    return Picture(
        "first-layer-kernels",
        "Kernels of the first layer",
        caption,
        draw_first_layer(subject.model, subject.variant),
        numbers,
    )
