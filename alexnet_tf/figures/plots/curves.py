"""Error curves of runs, from their TensorBoard logs, with changes of the learning rate marked."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.registry import RenderedFigure, figure
from alexnet_tf.figures.style import CYCLE, GREY, MIDDLE, new_figure
from alexnet_tf.figures.text import clean, fit, text_width
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.paths import tensorflow_path

_SMOOTH = 9  # points, the window of the training curve's moving average
_CHANGE = 1.5  # factor; smaller changes of the rate are not marked
_MARKS = "osD^vP*"
_NAME = 4.0  # inches, a run's name
_ACROSS = 11.5  # inches, the width of the axes, about
_LEVELS = 6  # rows of labels

Curve = tuple[np.ndarray, np.ndarray]  # steps and values


@dataclasses.dataclass(frozen=True)
class Run:
    """One run's curves.

    Attributes:
        name: the last parts of its path, as many as distinguish the runs.
        training, validation: top-1 error, a fraction.
        rate: learning rate.
    """

    name: str
    training: Curve
    validation: Curve
    rate: Curve

    @property
    def rate_changes(self) -> list[tuple[int, float]]:
        """Steps after which the rate changed, with the new rate.

        The logs have a point every 20 steps; the step here is the last one logged with the old
        rate.
        """
        steps, rates = self.rate
        changed = [
            i for i in range(1, len(rates))
            if not 1 / _CHANGE < rates[i] / max(rates[i - 1], 1e-30) < _CHANGE
        ]  # fmt: skip
        return [(int(steps[i - 1]), float(rates[i])) for i in changed]


def read_runs(model_dirs: Sequence[pathlib.Path]) -> list[Run]:
    """Reads each directory once; `UserError` if a run has no curves."""
    paths = list(dict.fromkeys(path.resolve() for path in model_dirs))
    names = map(clean, distinguish(paths))
    return [read_run(path, name) for path, name in zip(paths, names, strict=True)]


def distinguish(paths: list[pathlib.Path]) -> list[str]:
    """The last parts of each path, as many as are needed for different names."""
    for parts in range(1, 1 + max((len(path.parts) for path in paths), default=0)):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(paths):
            break
    return names if paths else []


def read_run(model_dir: pathlib.Path, name: str) -> Run:
    """Reads a model directory's `tensorboard/`; `UserError` if there are no curves."""
    logs = model_dir / "tensorboard"
    training = _read(logs / "train", ("top1_error", "learning_rate"))
    validation = _read(logs / "validation", ("top1_error",))
    run = Run(name, training["top1_error"], validation["top1_error"], training["learning_rate"])
    if not len(run.training[0]) and not len(run.validation[0]):
        raise UserError(f"There are no curves of a training run in {logs}")
    return run


def _read(folder: pathlib.Path, tags: tuple[str, ...]) -> dict[str, Curve]:
    """Reads one writer's scalars, in order; if a step was run twice, the later value counts."""
    if not folder.is_dir():
        return {tag: (np.array([], np.int64), np.array([])) for tag in tags}
    with tensorflow_path(folder) as path:
        events = EventAccumulator(path, {"tensors": 0}).Reload()
    known = events.Tags()["tensors"]
    found = {}
    for tag in tags:
        points = {
            event.step: float(tf.make_ndarray(event.tensor_proto))
            for event in (events.Tensors(tag) if tag in known else ())
        }
        steps = np.array(sorted(points), np.int64)
        found[tag] = steps, np.array([points[int(step)] for step in steps])
    return found


def draw_curves(runs: list[Run]) -> Figure:
    """Draws training error (smoothed), validation error (marks) and changes of the rate (dotted).

    Raises:
        UserError: more runs than colours.
    """
    if len(runs) > len(CYCLE):
        raise UserError(f"Expected {len(CYCLE)} runs at most. Received: {len(runs)}")
    drawing = new_figure("Training")
    axes = drawing.subplots()
    for run, colour, mark in zip(runs, CYCLE, _MARKS, strict=False):
        name = fit(run.name, _NAME, MIDDLE)
        steps, errors = run.training
        width = min(_SMOOTH, len(errors))
        if width:
            smooth = np.convolve(errors, np.ones(width) / width, "valid")
            axes.plot(steps[width - 1 :], smooth, color=colour, alpha=0.55, linewidth=1.5,
                      label=f"{name}, training")  # fmt: skip
        axes.plot(*run.validation, mark + "-", color=colour, linewidth=2.5, markersize=8,
                  label=f"{name}, validation")  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_ylim(top=1.02 * axes.get_ylim()[1])  # so that marks at the edge are not cut
    axes.set_xlim(left=0)
    _mark_rates(axes, runs)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("step")
    axes.set_ylabel("top-1 error")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    return drawing


def _mark_rates(axes: Axes, runs: list[Run]) -> None:
    """Draws lines in the runs' colours, grey where runs agree, labelled with the new rate.

    A label that would overlap another goes one row down; if no row is free, it is left out.
    """
    shared: dict[tuple[int, float], list[str]] = {}
    for run, colour in zip(runs, CYCLE, strict=False):
        for change in run.rate_changes:
            shared.setdefault(change, []).append(colour)
    width, top = axes.get_xlim()[1], axes.get_ylim()[1]
    ends = [-np.inf] * _LEVELS  # right ends of the labels so far, by row
    for (step, rate), colours in sorted(shared.items()):
        colour = colours[0] if len(colours) == 1 and len(runs) > 1 else GREY
        axes.axvline(step, color=colour, linestyle=":", linewidth=2)
        label = f"rate {rate:.2g}"
        length = width * (text_width(label, MIDDLE) + 0.15) / _ACROSS
        left = step + 0.005 * width if step + length < width else step - length
        level = next((i for i, end in enumerate(ends) if end < left), None)
        if level is not None:
            ends[level] = left + length
            axes.text(left, top * (0.98 - 0.06 * level), label, va="top")


@figure("training", needs="run", order=140)
def render_curves(context: FigureContext) -> RenderedFigure:
    """The curves of the context's runs.

    Raises:
        UserError: there is no run, or a run has no curves.
    """
    if not context.run_dirs:
        raise UserError("This figure needs a training run, and the model has none")
    runs = read_runs(context.run_dirs)
    changes = (
        " Dotted lines: the learning rate changes." if any(run.rate_changes for run in runs) else ""
    )
    return RenderedFigure(
        "Error during training",
        f"Top-1 error by training step. The validation curve (marks) is for centre crops. The "
        f"training curve is for augmented images, with the network's dropout, and is a moving "
        f"average of {_SMOOTH} points; it can therefore lie above the validation curve.{changes}",
        draw_curves(runs),
        {"runs": [_summary(run) for run in runs]},
    )


def _summary(run: Run) -> dict[str, object]:
    """A run in numbers; None for a missing curve."""
    validation = run.validation[1]
    return {
        "run": run.name,
        "steps": int(max(0, *run.training[0][-1:], *run.validation[0][-1:])),
        "validation error, last": _last(run.validation),
        "validation error, lowest": float(validation.min()) if len(validation) else None,
        "training error, last": _last(run.training),
        "changes of rate": ", ".join(f"{r:.3g} after {s:,}" for s, r in run.rate_changes) or "none",
    }


def _last(curve: Curve) -> float | None:
    return float(curve[1][-1]) if len(curve[1]) else None
