"""A model's predictions: eight images (paper §6.1, figure 4, left), and the confused classes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet_tf.figures import style
from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.registry import RenderedFigure, figure
from alexnet_tf.figures.text import fit, text_width
from alexnet_tf.system.errors import UserError

_COLUMNS = 4
_GAP = 0.25  # inches between columns
_PAD = 0.06  # inches beside a bar's name
_PAIRS = 12  # confused pairs that are shown
_MATRIX = 12  # the most classes for which the whole matrix is shown
_NAME = 1.6  # inches, a class name beside the matrix


def draw_predictions(
    images: np.ndarray, predictions: np.ndarray, probabilities: np.ndarray,
    classes: tuple[str, ...], titles: list[str], labels: np.ndarray | None,
) -> Figure:  # fmt: skip
    """Draws each image above bars of its most probable classes; the true class is orange.

    Images are uint8 [n, S, S, 3], eight at most; predictions and probabilities are [n, k], the most
    probable class first; labels are int64 [n], or None if unknown.
    """
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    room = style.SLIDE[0] / columns - _GAP
    drawing = style.new_figure("What the network predicts")
    cells = drawing.subplots(2 * rows, columns, height_ratios=(1.25, 1) * rows, squeeze=False)
    for axes in cells.flat[2 * columns * (rows - 1) :]:
        axes.set_visible(False)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        above, below = cells[2 * row : 2 * row + 2, column]
        above.set_visible(True)
        below.set_visible(True)
        style.show_image(above, image)
        if titles[i]:
            above.set_title(fit(titles[i], room, style.MIDDLE, "bold"), weight="bold")
        names = [classes[prediction] for prediction in predictions[i]]
        correct = predictions[i] == labels[i] if labels is not None else np.zeros(len(names), bool)
        _draw_bars(below, names, probabilities[i], correct, room)
    return drawing


def _draw_bars(
    axes: Axes, names: list[str], probabilities: np.ndarray, correct: np.ndarray, room: float
) -> None:
    """Draws bars [k] of probabilities with names; a bar for 1 is `room` inches long."""
    places = np.arange(len(names))
    axes.barh(places, probabilities, 0.85, color=np.where(correct, style.ORANGE, style.BLUE))
    axes.set_xlim(0, 1)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#F2F2F2")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    for place, name, end, hit in zip(places, names, probabilities, correct, strict=True):
        weight, tick = ("bold", "✓ ") if hit else ("normal", "")
        inside = end * room - 2 * _PAD
        outside = room - end * room - 2 * _PAD
        whole = text_width(tick + fit(name, room, weight=weight), weight=weight)
        within = outside < whole and inside > outside  # there is no room right of the bar
        available = (inside if within else outside) - text_width(tick, weight=weight)
        text = axes.text(
            end - _PAD / room if within else end + _PAD / room, place,
            tick + fit(name, available, style.SMALL, weight), fontsize=style.SMALL, weight=weight,
            va="center", ha="right" if within else "left",
            color="white" if within and not hit else "black",
        )  # fmt: skip
        text.set_in_layout(False)  # or the columns would make room for it
    axes.axvline(0, color=style.GREY)


def choose(context: FigureContext) -> np.ndarray:
    """Chooses the rows of eight images: four of the sample, then four with a wrong prediction."""
    activations, sample = context.activations, context.sample
    if not context.labels_are_classes:
        return sample
    wrong = np.flatnonzero(activations.predictions[:, 0] != activations.labels)
    wrong = np.setdiff1d(wrong, sample[::2])
    wrong = wrong[np.argsort(activations.labels[wrong], kind="stable")]
    if len(wrong) < _COLUMNS or len(sample) < 2 * _COLUMNS:
        return sample
    chosen = np.linspace(0, len(wrong) - 1, _COLUMNS).astype(int)
    return np.concatenate([sample[::2], wrong[chosen]])


@figure("predictions", needs="images", order=100)
def render_predictions(context: FigureContext) -> RenderedFigure:
    """Images that are evenly spaced over the classes, not chosen by hand."""
    activations, rows = context.activations, choose(context)
    k = activations.predictions.shape[1]
    names = context.true_names(rows)
    drawing = draw_predictions(
        context.images(rows), activations.predictions[rows], activations.probabilities[rows],
        context.class_names, names,
        activations.labels[rows] if context.labels_are_classes else None,
    )  # fmt: skip
    caption, numbers = _results(context)
    numbers["shown"] = [
        {
            "image": int(activations.index[row]),
            "true class": name,
            "guess": rank + 1,
            "class": context.class_names[activations.predictions[row, rank]],
            "probability": float(activations.probabilities[row, rank]),
        }
        for row, name in zip(rows, names, strict=True)
        for rank in range(k)
    ]
    title = f"Images and their {k} most probable classes"
    return RenderedFigure(title, caption, drawing, numbers)


def _results(context: FigureContext) -> tuple[str, dict]:
    """The caption, and the errors if they are known."""
    predictions, labels = context.activations.predictions, context.activations.labels
    number, k = predictions.shape
    bars = f"Below each image: its {k} most probable classes; a longer bar is more probable."
    chosen = "The images are evenly spaced over the dataset, not chosen by hand"
    if not context.labels_are_classes:
        why = (
            "Their true classes are not known." if context.label_names is None else
            "Above each image: its class in the dataset. The dataset has other classes than the "
            "model, so no prediction can be right or wrong."
        )  # fmt: skip
        return f"{bars} {chosen}. {why}", {"images": number}
    correct = predictions == labels[:, None]  # [N, k]
    top1, topk = correct[:, 0].mean(), correct.any(axis=1).mean()
    caption = (
        f"{bars} Above it: its true class, which is orange and ticked among the bars. {chosen}; "
        f"the lower row shows wrong predictions if there are enough. Of all {number:,} images, "
        f"{top1:.1%} are predicted correctly, and for {topk:.1%} the true class is among the first "
        f"{k}."
    )
    return caption, {
        "images": number,
        "top-1 error": float(1 - top1),
        f"top-{k} error": float(1 - topk),
    }


def count_pairs(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts predictions of each class (column) for each true class (row): [classes, classes].

    Labels and predictions are int64 [N].
    """
    pairs = labels * classes + predictions
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def most_confused(labels: np.ndarray, predictions: np.ndarray) -> list[tuple[int, int, int]]:
    """Pairs of different classes, the most frequent first: (label, prediction, images)."""
    wrong = labels != predictions
    pairs, counts = np.unique(
        np.stack([labels[wrong], predictions[wrong]]), axis=1, return_counts=True
    )  # a matrix of 1,000 classes would have a million pairs
    order = np.argsort(-counts, kind="stable")
    return [(int(pairs[0, i]), int(pairs[1, i]), int(counts[i])) for i in order]


def draw_confusions(
    labels: np.ndarray, predictions: np.ndarray, classes: tuple[str, ...]
) -> Figure:
    """Draws the most frequent confusions, and for twelve classes or fewer the whole matrix."""
    drawing = style.new_figure("Which classes are confused")
    if len(classes) <= _MATRIX:
        left, right = drawing.subplots(1, 2, width_ratios=(1.25, 1))
        _draw_matrix(left, count_pairs(labels, predictions, len(classes)), classes)
    else:
        right = drawing.subplots()
    pairs = most_confused(labels, predictions)[:_PAIRS]
    names = [f"{fit(classes[a], _NAME)} → {fit(classes[b], _NAME)}" for a, b, _ in pairs]
    images = [count for _, _, count in pairs]
    right.barh(range(len(pairs)), images, color=style.BLUE)
    for place, count in enumerate(images):
        right.text(count, place, f" {count}", va="center")
    right.set_yticks(range(len(pairs)), names, fontsize=style.SMALL)
    right.invert_yaxis()
    right.set_xlim(0, 1.15 * max(images, default=1))
    right.set_xlabel("images")
    right.set_title("true class → prediction" if pairs else "no image is confused")
    return drawing


def _draw_matrix(axes: Axes, counts: np.ndarray, classes: tuple[str, ...]) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    style.show_image(axes, shares, "share of each true class (row)", vmin=0, vmax=1)
    names = [fit(name, _NAME) for name in classes]
    places = range(len(classes))
    axes.set_xticks(
        places, names, rotation=60, ha="right", rotation_mode="anchor", fontsize=style.SMALL
    )
    axes.set_yticks(places, names, fontsize=style.SMALL)
    axes.set_xlabel("prediction")
    for (row, column), share in np.ndenumerate(shares):
        if counts[row, column]:
            text = f"{100 * share:.0f}" if share >= 0.005 else "·"
            axes.text(column, row, text, fontsize=style.SMALL, ha="center", va="center",
                      color="black" if share > 0.5 else "white")  # fmt: skip


@figure("confusions", needs="images", order=150)
def render_confusions(context: FigureContext) -> RenderedFigure:
    """Confusions over all images.

    Raises:
        UserError: the images' classes are not known, or are not the model's.
    """
    classes = context.class_names
    if not context.labels_are_classes:
        names = context.label_names
        raise UserError(
            f"Expected images labelled with the model's {len(classes)} classes, to count "
            f"confusions. Received: {'no labels' if names is None else f'{len(names)} others'}"
        )
    labels, predictions = context.activations.labels, context.activations.predictions[:, 0]
    pairs = most_confused(labels, predictions)
    matrix = len(classes) <= _MATRIX
    text = ""
    if matrix:
        text = (
            "Left: for each true class (row), the percentage of its images predicted as each "
            "class; the diagonal is correct. "
        )
    if pairs:
        text += f"{'Right' if matrix else 'Shown'}: the {min(_PAIRS, len(pairs))} most frequent "
        text += "confusions. "
    wrong = sum(count for _, _, count in pairs)
    return RenderedFigure(
        "Confused classes",
        f"{text}Of {len(labels):,} images, {wrong:,} are predicted as another class.",
        draw_confusions(labels, predictions, classes),
        {
            "pairs": [
                {"true class": classes[a], "first guess": classes[b], "images": count}
                for a, b, count in pairs[:_PAIRS]
            ]
        },
    )
