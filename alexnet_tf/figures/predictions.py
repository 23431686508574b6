"""Eight images with their five most probable classes (paper §6.1, figure 4, left)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import BLUE, GREY, ORANGE, in_style, new_figure, shorten, show_image
from alexnet_tf.figures.subject import Subject


@in_style
def draw_predictions(
    squares: np.ndarray,
    labels: np.ndarray,
    guesses: np.ndarray,
    scores: np.ndarray,
    classes: tuple[str, ...],
) -> Figure:
    """Each image above bars of its guesses; the true class's is orange and marked.

    Args:
        squares: uint8 [n, S, S, 3], eight at most.
        labels: int64 [n], the true classes.
        guesses: int64 [n, k], the most probable first.
        scores: float32 [n, k], their probabilities.
        classes: names in label order.
    """
    columns = -(-len(squares) // 2)
    figure = new_figure("What the network takes them for")
    cells = figure.subplots(4, columns, height_ratios=(1.25, 1) * 2, squeeze=False)
    for axes in cells.flat:
        axes.set_visible(False)
    for i, square in enumerate(squares):
        above, below = (
            cells[i // columns * 2, i % columns],
            cells[i // columns * 2 + 1, i % columns],
        )
        above.set_visible(True)
        below.set_visible(True)
        show_image(above, square)
        above.set_title(shorten(classes[labels[i]], 22), weight="bold")
        _draw_bars(below, guesses[i], scores[i], int(labels[i]), classes)
    return figure


def _draw_bars(
    axes: Axes, guesses: np.ndarray, scores: np.ndarray, label: int, classes: tuple[str, ...]
) -> None:
    places = np.arange(len(guesses))
    right = guesses == label
    axes.barh(places, scores, 0.85, color=np.where(right, ORANGE, BLUE))
    axes.set_xlim(0, 1)
    axes.set_ylim(len(guesses) - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#F2F2F2")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    for place, guess, score, hit in zip(places, guesses, scores, right, strict=True):
        name = ("✓ " if hit else "") + shorten(classes[guess], 20)
        inside = score > 0.6
        axes.text(
            score - 0.02 if inside else score + 0.02, place, name, fontsize=12, va="center",
            ha="right" if inside else "left",
            color="black" if hit or not inside else "white", weight="bold" if hit else "normal",
        )  # fmt: skip
    axes.axvline(0, color=GREY)


def choose(subject: Subject) -> np.ndarray:
    """Places in the survey of eight images: of all, and below them of those guessed wrongly."""
    survey, shown = subject.survey, subject.shown
    wrong = np.flatnonzero(survey.guesses[:, 0] != survey.labels)
    wrong = np.setdiff1d(wrong, shown[::2])
    wrong = wrong[np.argsort(survey.labels[wrong], kind="stable")]
    if len(wrong) < 4:
        return shown
    return np.concatenate([shown[::2], wrong[np.linspace(0, len(wrong) - 1, 4).astype(int)]])


def picture(subject: Subject) -> Picture:
    """Of images evenly spaced over the classes, not picked by hand."""
    survey, shown = subject.survey, choose(subject)
    hits = survey.guesses == survey.labels[:, None]  # [N, k]
    return Picture(
        "predictions",
        "Eight images and their five most probable classes",
        f"Above each image its true class; the bar of the true class is orange and ticked. The "
        f"images are evenly spaced over the classes and not picked by hand; the lower row is of "
        f"those that are guessed wrongly, where there are enough. Of all {len(hits):,} "
        f"images looked at, the first guess is right for {hits[:, 0].mean():.1%}, one of the five "
        f"for {hits.any(axis=1).mean():.1%}.",
        draw_predictions(
            subject.squares(shown), survey.labels[shown], survey.guesses[shown],
            survey.scores[shown], subject.classes,
        ),
        {
            "images": len(hits),
            "top-1 error": float(1 - hits[:, 0].mean()),
            "top-5 error": float(1 - hits.any(axis=1).mean()),
        },
    )  # fmt: skip
