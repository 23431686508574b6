"""Error curves of runs, from what they wrote for TensorBoard, with the changes of rate marked."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from alexnet_tf.errors import UserError
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import CYCLE, GREY, in_style, new_figure
from alexnet_tf.figures.subject import Subject

_SMOOTH = 9  # points of the training curve that are averaged
_CHANGE = 1.5  # times; smaller changes of rate are not marked

Curve = tuple[np.ndarray, np.ndarray]  # steps and values


@dataclasses.dataclass(frozen=True)
class Run:
    """One run's curves.

    Attributes:
        name: of its directory.
        training, validation: top-1 error, a fraction.
        rate: learning rate.
    """

    name: str
    training: Curve
    validation: Curve
    rate: Curve

    @property
    def rate_changes(self) -> list[tuple[int, float]]:
        """Steps at which the rate changed, and what it was from then on."""
        steps, rates = self.rate
        changed = [
            i for i in range(1, len(rates))
            if not 1 / _CHANGE < rates[i] / max(rates[i - 1], 1e-30) < _CHANGE
        ]  # fmt: skip
        return [(int(steps[i]), float(rates[i])) for i in changed]


def read_run(model_dir: pathlib.Path) -> Run:
    """Reads a model directory's `tensorboard/`.

    Raises:
        UserError: there are no curves.
    """
    logs = model_dir / "tensorboard"
    training = _read(logs / "train", ("top1_error", "learning_rate"))
    validation = _read(logs / "validation", ("top1_error",))
    run = Run(
        model_dir.name or str(model_dir), training["top1_error"], validation["top1_error"],
        training["learning_rate"],
    )  # fmt: skip
    if not len(run.training[0]) and not len(run.validation[0]):
        raise UserError(f"Expected curves of a run in {logs}. Received: none there")
    return run


def _read(folder: pathlib.Path, tags: tuple[str, ...]) -> dict[str, Curve]:
    """Scalars of one writer, in order; of a step that was made twice the later one."""
    if not folder.is_dir():
        return {tag: (np.array([], np.int64), np.array([])) for tag in tags}
    events = EventAccumulator(str(folder), {"tensors": 0}).Reload()
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


@in_style
def draw_curves(runs: list[Run]) -> Figure:
    """Training error smoothed, validation error with points, changes of rate as dotted lines.

    Args:
        runs: one or several, seven at most.
    """
    figure = new_figure("Training")
    axes = figure.subplots()
    for run, colour, mark in zip(runs, CYCLE, "osD^vP*", strict=False):
        steps, errors = run.training
        width = min(_SMOOTH, len(errors))
        if width:
            smooth = np.convolve(errors, np.ones(width) / width, "valid")
            axes.plot(steps[width - 1 :], smooth, color=colour, alpha=0.55, linewidth=1.5,
                      label=f"{run.name}, training (augmented, dropout)")  # fmt: skip
        axes.plot(*run.validation, mark + "-", color=colour, linewidth=2.5, markersize=8,
                  label=f"{run.name}, validation")  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    _mark_rates(axes, runs[0])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("step")
    axes.set_ylabel("top-1 error")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    return figure


def _mark_rates(axes, run: Run) -> None:  # noqa: ANN001
    """Lines with the rate from there on, the labels one below the other where they are close."""
    top, last, level = axes.get_ylim()[1], -np.inf, 0
    width = axes.get_xlim()[1]
    for step, rate in run.rate_changes:
        axes.axvline(step, color=GREY, linestyle=":", linewidth=2)
        level = level + 1 if step - last < 0.17 * width else 0
        last = step
        side, shift = ("right", -0.005) if step > 0.8 * width else ("left", 0.005)
        axes.text(step + shift * width, top * (0.98 - 0.06 * level), f"rate {rate:.2g}", ha=side,
                  va="top")  # fmt: skip


def picture(subject: Subject) -> Picture:
    """Of the subject's runs.

    Raises:
        UserError: there is none, or one has no curves.
    """
    if not subject.runs:
        raise UserError("Expected a run to draw curves of. Received: a model without one")
    runs = [read_run(path) for path in subject.runs]
    changes = f" Dotted: changes of the rate of {runs[0].name}." if runs[0].rate_changes else ""
    return Picture(
        "training",
        "Error while training",
        f"Top-1 error by step. The training curve is of augmented images with dropout on and "
        f"averages {_SMOOTH} points; the validation's is of centre crops.{changes}",
        draw_curves(runs),
        {
            run.name: {
                "steps": int(max(run.training[0][-1:].max(initial=0), *run.validation[0][-1:], 0)),
                "validation error, last": _last(run.validation),
                "validation error, lowest": float(run.validation[1].min(initial=1)),
                "training error, last": _last(run.training),
                "rate from step": {str(step): rate for step, rate in run.rate_changes},
            }
            for run in runs
        },
    )


def _last(curve: Curve) -> float | None:
    return float(curve[1][-1]) if len(curve[1]) else None
