"""Which classes are taken for which."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import BLUE, SMALL, in_style, new_figure, show_image
from alexnet_tf.figures.text import fit
from alexnet_tf.system.errors import UserError

_PAIRS = 12  # that are shown
_MATRIX = 12  # classes at most of which all pairs are shown
_NAME = 1.6  # inches of a class name


def count_pairs(labels: np.ndarray, guesses: np.ndarray, classes: int) -> np.ndarray:
    """How often each class, row, is taken for each, column: int64 [classes, classes].

    Args:
        labels: int64 [N].
        guesses: int64 [N].
        classes: how many; a few, for the table's sake.
    """
    return np.bincount(labels * classes + guesses, minlength=classes**2).reshape(classes, classes)


def most_confused(labels: np.ndarray, guesses: np.ndarray) -> list[tuple[int, int, int]]:
    """Pairs of different classes by how often they occur: (label, guess, images).

    Args:
        labels: int64 [N].
        guesses: int64 [N].
    """
    wrong = labels != guesses
    pairs, counts = np.unique(
        np.stack([labels[wrong], guesses[wrong]]), axis=1, return_counts=True
    )  # only those that there are: of 1,000 classes there could be a million
    order = np.argsort(-counts, kind="stable")
    return [(int(pairs[0, i]), int(pairs[1, i]), int(counts[i])) for i in order]


@in_style
def draw_confusions(labels: np.ndarray, guesses: np.ndarray, classes: tuple[str, ...]) -> Figure:
    """The pairs most often confused, and of twelve classes or fewer the whole table.

    Args:
        labels: int64 [N], the true classes.
        guesses: int64 [N].
        classes: names in label order.
    """
    figure = new_figure("What is taken for what")
    if len(classes) <= _MATRIX:
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _draw_matrix(left, count_pairs(labels, guesses, len(classes)), classes)
    else:
        right = figure.subplots()
    pairs = most_confused(labels, guesses)[:_PAIRS]
    names = [f"{fit(classes[a], _NAME)} → {fit(classes[b], _NAME)}" for a, b, _ in pairs]
    images = [count for _, _, count in pairs]
    right.barh(range(len(pairs)), images, color=BLUE)
    for place, count in enumerate(images):
        right.text(count, place, f" {count}", va="center")
    right.set_yticks(range(len(pairs)), names, fontsize=SMALL)
    right.invert_yaxis()
    right.set_xlim(0, 1.15 * max(images, default=1))
    right.set_xlabel("images")
    right.set_title("true class → first guess" if pairs else "no image is confused")
    return figure


def _draw_matrix(axes: Axes, counts: np.ndarray, classes: tuple[str, ...]) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    show_image(axes, shares, "share of each true class (row)", vmin=0, vmax=1)
    names = [fit(name, _NAME) for name in classes]
    places = range(len(classes))
    axes.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor", fontsize=SMALL)
    axes.set_yticks(places, names, fontsize=SMALL)
    axes.set_xlabel("first guess")
    for (row, column), share in np.ndenumerate(shares):
        if counts[row, column]:
            text = f"{100 * share:.0f}" if share >= 0.005 else "·"
            axes.text(column, row, text, fontsize=SMALL, ha="center", va="center",
                      color="black" if share > 0.5 else "white")  # fmt: skip


def picture(subject: FigureContext) -> Picture:
    """Of all images of the survey.

    Raises:
        UserError: it is not known what is right.
    """
    if not subject.comparable:
        theirs = "no labels" if subject.truths is None else f"{len(subject.truths)} others"
        raise UserError(
            f"Expected images labelled with the model's {len(subject.classes)} classes, to count "
            f"which are taken for which. Received: {theirs}"
        )
    labels, guesses, classes = subject.survey.labels, subject.survey.guesses[:, 0], subject.classes
    pairs = most_confused(labels, guesses)
    whole = len(classes) <= _MATRIX
    words = "Numbers in the table are per cent of the true class. " if whole else ""
    if pairs:
        words += f"The {min(_PAIRS, len(pairs))} most frequent pairs "
        words += "are on the right." if whole else "are shown."
    return Picture(
        "confusions",
        "What is taken for what",
        f"{sum(count for _, _, count in pairs):,} of {len(labels):,} images are taken for another "
        f"class. {words}",
        draw_confusions(labels, guesses, classes),
        {
            "pairs": [
                {"true class": classes[a], "first guess": classes[b], "images": count}
                for a, b, count in pairs[:_PAIRS]
            ]
        },
    )
