"""Which classes are taken for which."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import BLUE, in_style, new_figure, shorten, show_image
from alexnet_tf.figures.subject import Subject

_PAIRS = 12  # that are shown
_MATRIX = 20  # classes at most of which all pairs are shown


def count_pairs(labels: np.ndarray, guesses: np.ndarray, classes: int) -> np.ndarray:
    """How often each class, row, is taken for each, column: int64 [classes, classes].

    Args:
        labels: int64 [N].
        guesses: int64 [N].
        classes: how many.
    """
    return np.bincount(labels * classes + guesses, minlength=classes**2).reshape(classes, classes)


@in_style
def draw_confusions(counts: np.ndarray, classes: tuple[str, ...]) -> Figure:
    """The pairs most often confused, and of twenty classes or fewer the whole table.

    Args:
        counts: of `count_pairs`.
        classes: names in label order.
    """
    figure = new_figure("What is taken for what")
    if len(classes) <= _MATRIX:
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _draw_matrix(left, counts, classes)
    else:
        right = figure.subplots()
    pairs = most_confused(counts)[:_PAIRS]
    names = [f"{shorten(classes[a], 18)} → {shorten(classes[b], 18)}" for a, b, _ in pairs]
    images = [count for _, _, count in pairs]
    right.barh(range(len(pairs)), images, color=BLUE)
    for place, count in enumerate(images):
        right.text(count, place, f" {count}", va="center")
    right.set_yticks(range(len(pairs)), names)
    right.invert_yaxis()
    right.set_xlim(0, 1.15 * max(images, default=1))
    right.set_xlabel("images")
    right.set_title("true class → first guess" if pairs else "no image is confused")
    return figure


def _draw_matrix(axes: Axes, counts: np.ndarray, classes: tuple[str, ...]) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    show_image(axes, shares, "share of each true class (row)", vmin=0, vmax=1)
    names = [shorten(name, 12) for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), names)
    axes.set_xlabel("first guess")
    size = 12 if len(classes) <= 10 else 8
    for (row, column), share in np.ndenumerate(shares):
        if counts[row, column]:
            text = f"{100 * share:.0f}" if share >= 0.005 else "·"
            axes.text(column, row, text, fontsize=size, ha="center", va="center",
                      color="black" if share > 0.5 else "white")  # fmt: skip


def most_confused(counts: np.ndarray) -> list[tuple[int, int, int]]:
    """Pairs of different classes by how often they occur: (label, guess, images)."""
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")
    pairs = [divmod(int(i), len(counts)) for i in order[: np.count_nonzero(wrong)]]
    return [(label, guess, int(wrong[label, guess])) for label, guess in pairs]


def picture(subject: Subject) -> Picture:
    """Of all images of the survey."""
    survey, classes = subject.survey, subject.classes
    counts = count_pairs(survey.labels, survey.guesses[:, 0], len(classes))
    pairs = most_confused(counts)
    wrong = sum(count for _, _, count in pairs)
    return Picture(
        "confusions",
        "What is taken for what",
        f"{wrong:,} of {len(survey.labels):,} images are taken for another class. "
        + (
            "Numbers in the table are per cent of the true class. "
            if len(classes) <= _MATRIX
            else ""
        )
        + f"The {min(_PAIRS, len(pairs))} most frequent pairs are on the right.",
        draw_confusions(counts, classes),
        {f"{classes[a]} → {classes[b]}": count for a, b, count in pairs[:_PAIRS]},
    )
