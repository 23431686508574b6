"""Eight images with their five most probable classes (paper §6.1, figure 4, left)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import (
    BLUE,
    GREY,
    MIDDLE,
    ORANGE,
    SLIDE,
    SMALL,
    in_style,
    new_figure,
    show_image,
)
from alexnet_tf.figures.text import fit, width_of

_COLUMNS = 4
_GAP = 0.25  # inches between columns
_PAD = 0.06  # inches beside a bar's name


@in_style
def draw_predictions(
    squares: np.ndarray,
    guesses: np.ndarray,
    scores: np.ndarray,
    classes: tuple[str, ...],
    titles: list[str] | None = None,
    labels: np.ndarray | None = None,
) -> Figure:
    """Each image above bars of its guesses; the true class's is orange and marked.

    Args:
        squares: uint8 [n, S, S, 3], eight at most.
        guesses: int64 [n, k], the most probable first.
        scores: float32 [n, k], their probabilities.
        classes: names in label order.
        titles: above each image.
        labels: int64 [n], the true classes; None where they are not known, and none is marked.
    """
    columns = min(_COLUMNS, len(squares))
    rows = -(-len(squares) // columns)
    room = SLIDE[0] / columns - _GAP
    figure = new_figure("What the network takes them for")
    cells = figure.subplots(2 * rows, columns, height_ratios=(1.25, 1) * rows, squeeze=False)
    for axes in cells.flat[2 * columns * (rows - 1) :]:
        axes.set_visible(False)
    for i, square in enumerate(squares):
        row, column = divmod(i, columns)
        above, below = cells[2 * row : 2 * row + 2, column]
        above.set_visible(True)
        below.set_visible(True)
        show_image(above, square)
        if titles:
            above.set_title(fit(titles[i], room, MIDDLE, "bold"), weight="bold")
        names = [classes[guess] for guess in guesses[i]]
        hits = guesses[i] == labels[i] if labels is not None else np.zeros(len(names), bool)
        _draw_bars(below, names, scores[i], hits, room)
    return figure


def _draw_bars(
    axes: Axes, names: list[str], scores: np.ndarray, hits: np.ndarray, room: float
) -> None:
    """Bars [k] of scores with names; `room` is the length of a whole one in inches."""
    places = np.arange(len(names))
    axes.barh(places, scores, 0.85, color=np.where(hits, ORANGE, BLUE))
    axes.set_xlim(0, 1)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#F2F2F2")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    for place, name, score, hit in zip(places, names, scores, hits, strict=True):
        weight, tick = ("bold", "✓ ") if hit else ("normal", "")
        inside = score * room - 2 * _PAD
        outside = room - score * room - 2 * _PAD
        whole = width_of(tick + fit(name, room, weight=weight), weight=weight)
        within = outside < whole and inside > outside  # where there is no room right of the bar
        name = fit(name, (inside if within else outside) - width_of(tick, weight=weight), SMALL,
                   weight)  # fmt: skip
        text = axes.text(
            score - _PAD / room if within else score + _PAD / room, place, tick + name,
            fontsize=SMALL, va="center", ha="right" if within else "left", weight=weight,
            color="white" if within and not hit else "black",
        )  # fmt: skip
        text.set_in_layout(False)  # or the columns would make room for it
    axes.axvline(0, color=GREY)


def choose(subject: FigureContext) -> np.ndarray:
    """Places in the survey of eight images: of all, and below them of those guessed wrongly."""
    survey, shown = subject.survey, subject.shown
    if not subject.comparable:
        return shown
    wrong = np.flatnonzero(survey.guesses[:, 0] != survey.labels)
    wrong = np.setdiff1d(wrong, shown[::2])
    wrong = wrong[np.argsort(survey.labels[wrong], kind="stable")]
    if len(wrong) < _COLUMNS or len(shown) < 2 * _COLUMNS:
        return shown
    chosen = np.linspace(0, len(wrong) - 1, _COLUMNS).astype(int)
    return np.concatenate([shown[::2], wrong[chosen]])


def picture(subject: FigureContext) -> Picture:
    """Of images evenly spaced over the classes, not picked by hand."""
    survey, shown = subject.survey, choose(subject)
    k, labels = survey.guesses.shape[1], survey.labels[shown] if subject.comparable else None
    figure = draw_predictions(
        subject.squares(shown), survey.guesses[shown], survey.scores[shown], subject.classes,
        subject.names(shown), labels,
    )  # fmt: skip
    caption, numbers = _results(subject)
    numbers["shown"] = [
        {
            "image": int(survey.index[place]),
            "true class": truth,
            "guess": rank + 1,
            "class": subject.classes[survey.guesses[place, rank]],
            "probability": float(survey.scores[place, rank]),
        }
        for place, truth in zip(shown, subject.names(shown), strict=True)
        for rank in range(k)
    ]
    return Picture(
        "predictions", f"Images and their {k} most probable classes", caption, figure, numbers
    )


def _results(subject: FigureContext) -> tuple[str, dict]:
    """The caption, and the errors where they are known."""
    survey = subject.survey
    number, k = survey.guesses.shape
    spread = "The images are evenly spaced over what there is and not picked by hand"
    if not subject.comparable:
        why = (
            "It is not known which classes they are of." if subject.truths is None else
            "Above each its class in the dataset, which has other classes than the model, so that "
            "no guess can be right or wrong."
        )  # fmt: skip
        return f"{spread}. {why}", {"images": number}
    hits = survey.guesses == survey.labels[:, None]  # [N, k]
    caption = (
        f"Above each image its true class; the bar of the true class is orange and ticked. "
        f"{spread}; the lower row is of those that are guessed wrongly, where there are enough. Of "
        f"all {number:,} images looked at, the first guess is right for {hits[:, 0].mean():.1%}, "
        f"one of the first {k} for {hits.any(axis=1).mean():.1%}."
    )
    errors = 1 - hits[:, 0].mean(), 1 - hits.any(axis=1).mean()
    return caption, {
        "images": number,
        "top-1 error": float(errors[0]),
        f"top-{k} error": float(errors[1]),
    }
