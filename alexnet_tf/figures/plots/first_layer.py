"""The kernels of the first layer by tower, and how oriented and coloured each is (paper §6.1)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.registry import RenderedFigure, figure
from alexnet_tf.figures.style import TOWERS, new_figure, show_image
from alexnet_tf.models.feature_extraction import layer_names
from alexnet_tf.models.layer_summary import num_towers
from alexnet_tf.visualize import grid, kernel_pictures

_GREY = np.ones(3) / np.sqrt(3)  # the direction in which R, G and B are equal
_MARKS = ("o", "s", "^", "D")
_SCALE = 8  # pixels for each pixel of a kernel
_GAP = _SCALE  # pixels between the towers' blocks


def colour_scores(kernels: np.ndarray) -> np.ndarray:
    """The share of a kernel's energy that is colour: 0 for a grey kernel, 1 for one without grey.

        1 - |k · (1, 1, 1) / √3|² / |k|²

    Args:
        kernels: float [K, K, 3, F], the third axis RGB or BGR.

    Returns:
        float [F], 0 to 1; 0 for a kernel of zeros.
    """
    energy = (kernels**2).sum(axis=(0, 1, 2))
    grey = (np.einsum("yxcf,c->yxf", kernels, _GREY) ** 2).sum(axis=(0, 1))
    return np.where(energy > 0, 1 - grey / np.maximum(energy, np.finfo(np.float32).tiny), 0)


def orientation_scores(kernels: np.ndarray) -> np.ndarray:
    """How strongly a kernel responds to one orientation: 1 for a grating, 0 for a blob.

    P is the power at frequency (r, θ), summed over the colours, without the mean:

        |Σ P · e^(2iθ)| / Σ P

    The angle is doubled because a wave and its opposite have the same orientation.

    Args:
        kernels: float [K, K, 3, F].

    Returns:
        float [F], 0 to 1; 0 for a constant kernel.
    """
    side = len(kernels)
    padded = (4 * side, 4 * side)  # finer frequencies separate directions better
    centred = kernels - kernels.mean(axis=(0, 1))
    power = (np.abs(np.fft.fft2(centred, padded, axes=(0, 1))) ** 2).sum(axis=2)  # [4K, 4K, F]
    y, x = np.meshgrid(*[np.fft.fftfreq(n) for n in padded], indexing="ij")
    power[np.hypot(x, y) > 0.5] = 0  # the corners exist in diagonal directions only
    doubled = np.exp(2j * np.arctan2(y, x))
    total = power.sum(axis=(0, 1))
    tiny = 1e-12 * (kernels**2).sum(axis=(0, 1, 2)) * side**2 + np.finfo(np.float32).tiny
    coherent = np.abs(np.einsum("yxf,yx->f", power, doubled))
    return np.where(total > tiny, coherent / np.maximum(total, tiny), 0)


def more_coloured(first: np.ndarray, second: np.ndarray) -> float:
    """The share of pairs, a kernel of each tower, in which the second tower's is more coloured.

    Args:
        first: colour scores of one tower's kernels.
        second: of the other tower's.

    Returns:
        0 to 1; ties count as half a pair; 0.5 if the towers do not differ.
    """
    difference = second[:, None] - first[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def draw_first_layer(kernels: np.ndarray, towers: int, channels: str) -> Figure:
    """Draws the kernels, [K, K, 3, F], by tower, and their scores for orientation and colour."""
    colours = [TOWERS[i % len(TOWERS)] for i in range(towers)]
    drawing = new_figure(f"The {kernels.shape[-1]} kernels of the first layer")
    left, right = drawing.subplots(1, 2, width_ratios=(1.35, 1))
    _draw_blocks(left, np.split(kernel_pictures(kernels, channels), towers), colours)
    scores = (np.split(score(kernels), towers) for score in (orientation_scores, colour_scores))
    for i, (x, y, colour) in enumerate(zip(*scores, colours, strict=True), start=1):
        label = f"tower {i}: mean colour {y.mean():.2f}" if towers > 1 else None
        mark = _MARKS[(i - 1) % len(_MARKS)]
        right.scatter(x, y, 60, colour, marker=mark, alpha=0.8, label=label)
    right.set_xlabel("oriented: blob 0, grating 1")
    right.set_ylabel("coloured: grey 0, colour only 1")
    right.set_xlim(-0.03, 1.03)
    right.set_ylim(-0.03, 1.03)
    if towers > 1:
        right.legend(loc="lower center", bbox_to_anchor=(0.5, 1))
    return drawing


def _draw_blocks(axes: Axes, towers: list[np.ndarray], colours: list[str]) -> None:
    """Each tower's kernels as rows of one image, with a thin gap and a label between towers."""
    columns = _columns(len(towers[0]), len(towers))
    blocks = [grid(part, columns=columns, scale=_SCALE) for part in towers]
    height, width, _ = blocks[0].shape
    gap = np.full((_GAP, width, 3), 255, np.uint8)
    show_image(axes, np.concatenate([part for block in blocks for part in (block, gap)][:-1]))
    for i, colour in enumerate(colours if len(towers) > 1 else ()):
        axes.text(
            -_GAP, i * (height + _GAP) + height / 2, f"tower {i + 1}", color=colour, weight="bold",
            rotation=90, ha="right", va="center",
        )  # fmt: skip


def _columns(kernels: int, towers: int) -> int:
    """Columns of a tower's block; 48 kernels make the 4 rows of 12 of the paper's figure 3."""
    wanted = (kernels * (2.5 if towers > 1 else 1.2)) ** 0.5  # fits the space of the slide
    return min(
        (n for n in range(1, kernels + 1) if kernels % n == 0), key=lambda n: abs(n - wanted)
    )


@figure("first-layer-kernels", needs="model", order=90)
def render_first_layer(context: FigureContext) -> RenderedFigure:
    """The model's kernels."""
    first = context.model.get_layer(layer_names(context.model)[0])
    kernels, towers = first.kernel.numpy(), num_towers(context.variant)
    oriented, coloured = orientation_scores(kernels), colour_scores(kernels)
    numbers = {"oriented, mean": float(oriented.mean()), "coloured, mean": float(coloured.mean())}
    caption = (
        "Left: the kernels as colours; grey is a weight of 0. Right: each kernel as a point. "
        "Oriented: how much of a kernel's power lies in one direction. Coloured: the share of its "
        "energy that is not grey. "
    )
    if towers == 2:
        first, second = np.split(coloured, 2)
        share = more_coloured(first, second)
        numbers["tower 2 more coloured than tower 1"] = share
        caption += (
            f"In the paper one tower's kernels are largely colour-agnostic, the kernels of the "
            f"other colour-specific (§6.1). Here the mean colour is {first.mean():.2f} in tower 1 "
            f"and {second.mean():.2f} in tower 2. For all pairs of one kernel from each tower, the "
            f"one of tower 2 is more coloured in {share:.0%}: 50 % means no difference, 0 % or "
            f"100 % a complete one."
        )
    numbers["kernels"] = [
        {"kernel": i, "tower": 1 + i * towers // len(oriented),
         "oriented": float(x), "coloured": float(y)}
        for i, (x, y) in enumerate(zip(oriented, coloured, strict=True))
    ]  # fmt: skip
    drawing = draw_first_layer(kernels, towers, context.variant.preprocessing.channels)
    return RenderedFigure("Kernels of the first layer", caption, drawing, numbers)
