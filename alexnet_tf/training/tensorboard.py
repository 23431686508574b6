"""TensorBoard: curves, images, hyperparameters and profiles of a run."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.plugins.hparams import api as hparams

from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.system.files import reason_of
from alexnet_tf.training.options import Options, as_flag
from alexnet_tf.visualize import kernel_grid

STEPS_BETWEEN_POINTS = 20  # of a curve
_STEPS_BETWEEN_NORMS = 100  # two curves a layer
_SUMS = ("loss", "top1_correct", "top5_correct", "waiting", "images")
_HPARAMS = (  # the options by which runs are compared
    *("variant", "activation", "dataset", "augment", "batch_size", "epochs", "learning_rate"),
    *(
        "momentum",
        "weight_decay",
        "bias_rate",
        "clip_norm",
        "label_smoothing",
        "schedule",
        "precision",
        "seed",
    ),
)


def _expendable(write: Callable[..., None]) -> Callable[..., None]:
    """A method of `TensorBoardLogs`. If it fails, nothing more is written, and the run goes on."""

    @functools.wraps(write)
    def guarded(logs: TensorBoardLogs, *args: object) -> None:
        """Writes, unless that has failed before."""
        try:
            if logs.enabled:
                write(logs, *args)
        except (OSError, tf.errors.OpError) as error:
            logs.enabled = False
            print(f"TensorBoard logs end here: {reason_of(error)}", flush=True)

    return guarded


class TensorBoardLogs:
    """Collects the metrics of training steps and writes them for TensorBoard.

    When the disk refuses one of them, a line says so, and no more are written.

    Args:
        folder: where to write.
        batch_size: images a step, over all replicas.
        model: whose first layer's kernels are shown.
        channels: "rgb" or "bgr", the order of the model's input.
        layers: of each trainable variable that has norms.
        timed: whether steps measure how long they waited for input.
        enabled: whether to write; only worker 0 does.
        clock: seconds, monotonic.

    Attributes:
        text: the newest metrics, for the progress bar.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        batch_size: int,
        model: keras.Model,
        channels: str,
        layers: list[str],
        timed: bool = True,
        enabled: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.batch_size, self.enabled, self.text = batch_size, enabled, ""
        self._folder, self._model, self._channels = folder, model, channels
        self._layers, self._timed, self._clock = layers, timed, clock
        self._writers: list[tf.summary.SummaryWriter] = []  # made when the run begins
        self._incomplete = False  # whether the next point lacks steps made before a restart
        self.restart_clock()

    def _open(self, step: int) -> None:
        self._writers = [
            tf.summary.create_file_writer(os.fsencode(self._folder / name))
            for name in ("", "train", "validation")
        ]
        self._run, self._train, self._validation = self._writers
        self.restart_at(step)

    @_expendable
    def restart_at(self, step: int) -> None:
        """Makes TensorBoard hide the points of later steps, which the run repeats.

        Args:
            step: from which the run resumes.
        """
        self._incomplete = step % STEPS_BETWEEN_POINTS > 0
        session = SessionLog(status=SessionLog.START)
        event = Event(wall_time=time.time(), step=step + 1, session_log=session)
        for writer in self._writers:
            tf.raw_ops.ImportEvent(writer=writer._resource, event=event.SerializeToString())

    @_expendable
    def begin(self, step: int, options: Options) -> None:
        """Opens the files; writes flags, hyperparameters and the kernels of the first layer.

        Args:
            step: at which the run begins or resumes.
            options: of the run.
        """
        self._open(step)
        values = dataclasses.asdict(options)
        with self._run.as_default(step=step):
            lines = [f"--{n}={as_flag(v)}" for n, v in values.items() if v is not None]
            text = "```\n" + "\n".join(lines) + "\n```"  # a path may be any bytes
            tf.summary.text("flags", text.encode(errors="backslashreplace"))
            hparams.hparams({name: as_flag(values[name]) for name in _HPARAMS})
            hparams.hparams_config(
                hparams=[hparams.HParam(name) for name in _HPARAMS],
                metrics=[
                    hparams.Metric(name, group="validation")
                    for name in ("top1_error", "top5_error", "loss")
                ],
            )
            self._show_kernels()
        self._run.flush()

    @_expendable
    def first_batch(self, picture: np.ndarray) -> None:
        """Writes a batch as the network gets it, uint8 [H, W, 3]."""
        with self._run.as_default(step=0):
            tf.summary.image("augmented_batch", picture[None])
        self._run.flush()

    def restart_clock(self) -> None:
        """Starts a new interval after a pause, which does not count in images per second."""
        self._sums = collections.Counter()
        self._since = self._clock()

    def steps(self, step: int, metrics: dict[str, float], learning_rate: float) -> None:
        """Records the metrics of steps (`train_step.TrainSteps`).

        Args:
            step: the number of the last of them.
            metrics: of these steps, and images: how many they have seen.
            learning_rate: of these steps.
        """
        self._sums.update({name: metrics[name] for name in _SUMS})
        images = self._sums["images"]
        seconds = max(self._clock() - self._since, 1e-9)
        loss, top1 = (
            self._sums["loss"] * self.batch_size / images,
            self._sums["top1_correct"] / images,
        )
        self.text = f"loss {loss:.3f}, top-1 {top1:.0%}"
        if step % STEPS_BETWEEN_POINTS == 0:
            point = {
                **{"loss": loss, "top1_error": 1 - top1, "learning_rate": learning_rate},
                "top5_error": 1 - self._sums["top5_correct"] / images,
                "images_per_second": images / seconds,
            }
            if self._timed:
                point["waiting_share"] = self._sums["waiting"] / seconds
            if not self._incomplete:
                self._point(step, point)
            self._incomplete = False
            self.restart_clock()
        if step % _STEPS_BETWEEN_NORMS == 0:
            self._norms(step, "gradient_norm", metrics["gradient_norms"])
            self._norms(step, "weight_norm", metrics["weight_norms"])

    @_expendable
    def _point(self, step: int, values: dict[str, float]) -> None:
        """Adds a point to some curves."""
        with self._train.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def _norms(self, step: int, name: str, norms: list[float]) -> None:
        """A point for each layer, from the norms of its kernel and its bias."""
        squares = collections.Counter()
        for layer, norm in zip(self._layers, norms, strict=True):
            squares[layer] += norm**2
        self._point(step, {f"{name}/{layer}": square**0.5 for layer, square in squares.items()})

    def _show_kernels(self) -> None:
        kernels = self._model.weights[0].numpy()  # [K, K, 3, F]
        tf.summary.image("first_layer", kernel_grid(kernels, self._channels)[None])

    @_expendable
    def validation(self, step: int, evaluation: Evaluation) -> None:
        """Writes a validation's result, and all that is buffered."""
        with self._validation.as_default(step=step):
            tf.summary.scalar("loss", evaluation.loss)
            tf.summary.scalar("top1_error", evaluation.top1_error)
            tf.summary.scalar("top5_error", evaluation.top5_error)
        with self._run.as_default(step=step):
            self._show_kernels()
        for writer in self._writers:
            writer.flush()

    @_expendable
    def close(self) -> None:
        """Writes what is buffered and closes the files."""
        for writer in self._writers:
            writer.close()


class Profiler:
    """Records what training steps spend their time on, for TensorBoard's Profile page.

    Args:
        span: two steps: recording starts before the first and ends before the second; or nothing.
        folder: where TensorBoard looks for it.
        enabled: whether to record; other workers than worker 0 only stop at the same steps.
    """

    def __init__(self, span: tuple[float, ...], folder: pathlib.Path, enabled: bool = True):
        self._span, self._folder, self._enabled = tuple(map(int, span)), folder, enabled
        self._recording = False

    def acts_at(self, step: int) -> bool:
        """Whether recording starts or ends after `step` steps."""
        return step in self._span

    def before(self, step: int) -> str | None:
        """Starts or ends the recording if it is time; returns a message at its end."""
        if self._recording and step >= self._span[1]:
            self.stop()
            return f"The profile of steps {self._span[0]:,} to {step:,} is in {self._folder}"
        starts = self._enabled and self._span and not self._recording
        if starts and self._span[0] <= step < self._span[1]:
            tf.profiler.experimental.start(os.fsencode(self._folder))
            self._recording = True
        return None

    def step(self, number: int) -> tf.profiler.experimental.Trace:
        """Context that marks a training step, or several in one call, in the recording.

        Without it the Profile page cannot tell how long a step takes.

        Args:
            number: of the first of them.
        """
        return tf.profiler.experimental.Trace("train", step_num=number, _r=1)

    def stop(self) -> None:
        """Writes the recording, if there is one."""
        if self._recording:
            tf.profiler.experimental.stop()
            self._recording = False
