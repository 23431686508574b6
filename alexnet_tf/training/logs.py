"""What TensorBoard shows of a run, and the running figures of the progress bar."""

from __future__ import annotations

import collections
import dataclasses
import functools
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.plugins.hparams import api as hparams

from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.system.files import reason_of
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.options import Options, as_flag
from alexnet_tf.visualize import kernel_grid

STEPS_BETWEEN_POINTS = 20  # of a curve
_STEPS_BETWEEN_NORMS = 100  # two curves a layer
_SUMS = ("loss", "top1_hits", "top5_hits", "waiting", "steps")
_HPARAMS = (  # the options by which runs are compared
    *("variant", "activation", "dataset", "augment", "batch_size", "epochs", "learning_rate"),
    *("momentum", "weight_decay", "bias_rate", "clip_norm", "precision", "seed"),
)


def _expendable(write: Callable[..., None]) -> Callable[..., None]:
    """A method of `Logs` that ends them, with a word, if the disk refuses; a run goes on."""

    @functools.wraps(write)
    def guarded(logs: Logs, *args: object) -> None:
        """Writes, unless that has failed before."""
        try:
            if not logs.ended:
                write(logs, *args)
        except (OSError, tf.errors.OpError) as error:
            logs.ended = True
            print(f"TensorBoard's logs end here: {reason_of(error)}", flush=True)

    return guarded


class Logs:
    """Collects the figures of training steps and writes them where they can be looked at.

    When the disk refuses one of them, that is said, and no more are written.

    Args:
        directory: whose tensorboard/ is written.
        batch_size: images a step, over all replicas.
        model: whose first layer's kernels are shown.
        channels: "rgb" or "bgr", the order in which the model sees colours.
        layers: of each trainable variable, those of the norms; default: the model's.
        timed: whether steps tell how long they waited for input.

    Attributes:
        text: the newest figures, for the progress bar.
        ended: whether the disk has refused something.
    """

    def __init__(
        self,
        directory: ModelDirectory,
        batch_size: int,
        model: keras.Model,
        channels: str = "rgb",
        layers: list[str] | None = None,
        timed: bool = True,
    ):
        self.batch_size, self.text, self.ended = batch_size, "", False
        self._model, self._channels, self._timed = model, channels, timed
        self._layers = layers or [v.path.split("/")[-2] for v in model.trainable_variables]
        self._folder = directory.tensorboard
        self._writers: list[tf.summary.SummaryWriter] = []  # made when the run begins
        self._broken = False  # whether the first point would lack steps made before a restart
        self.restart_clock()

    def _open(self, step: int) -> None:
        self._writers = [
            tf.summary.create_file_writer(str(self._folder / name))
            for name in ("", "train", "validation")
        ]
        self._run, self._train, self._validation = self._writers
        self.restarts_at(step)

    @_expendable
    def restarts_at(self, step: int) -> None:
        """Makes TensorBoard forget what is of a later step: the run goes on from an earlier one.

        Args:
            step: the last one that counts.
        """
        self._broken = step % STEPS_BETWEEN_POINTS > 0
        session = SessionLog(status=SessionLog.START)
        event = Event(wall_time=time.time(), step=step + 1, session_log=session)
        for writer in self._writers:
            tf.raw_ops.ImportEvent(writer=writer._resource, event=event.SerializeToString())

    @_expendable
    def begin(self, step: int, options: Options) -> None:
        """Opens the files; writes what does not change, flags and hyperparameters, and the kernels.

        Args:
            step: at which the run begins or goes on.
            options: the run's.
        """
        self._open(step)
        values = dataclasses.asdict(options)
        with self._run.as_default(step=step):
            lines = [f"--{n}={as_flag(v)}" for n, v in values.items() if v is not None]
            tf.summary.text("flags", "```\n" + "\n".join(lines) + "\n```")
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
        """Starts a stretch of training: what came before does not count in the rates."""
        self._sums = collections.Counter()
        self._since = time.monotonic()

    def steps(self, step: int, sums: dict[str, float], rate: float) -> None:
        """Takes the figures of steps (`steps.make_train_steps`'s).

        Args:
            step: the number of the last of them.
            sums: over these steps, and the norms after the last of them.
            rate: at which they were made.
        """
        self._sums.update({name: sums[name] for name in _SUMS})
        steps = self._sums["steps"]
        images = steps * self.batch_size
        seconds = max(time.monotonic() - self._since, 1e-9)
        loss, top1 = self._sums["loss"] / steps, self._sums["top1_hits"] / images
        self.text = f"loss {loss:.3f}, top-1 {top1:.0%}"
        if step % STEPS_BETWEEN_POINTS == 0:
            point = {
                **{"loss": loss, "top1_error": 1 - top1},
                **{"top5_error": 1 - self._sums["top5_hits"] / images, "learning_rate": rate},
                "images_per_second": images / seconds,
            }
            if self._timed:
                point["waiting_share"] = self._sums["waiting"] / seconds
            if not self._broken:
                self._point(step, point)
            self._broken = False
            self.restart_clock()
        if step % _STEPS_BETWEEN_NORMS == 0:
            self._norms(step, "gradient_norm", sums["gradient_norms"])
            self._norms(step, "weight_norm", sums["weight_norms"])

    @_expendable
    def _point(self, step: int, values: dict[str, float]) -> None:
        """A point of each of some curves."""
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
        kernels = self._model.trainable_variables[0].numpy()  # [K, K, 3, F]
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


class NoLogs:
    """In place of `Logs` where another worker writes them."""

    text = ""

    def restarts_at(self, step: int) -> None:
        """Does nothing."""

    def begin(self, step: int, options: Options) -> None:
        """Does nothing."""

    def first_batch(self, picture: np.ndarray) -> None:
        """Does nothing."""

    def restart_clock(self) -> None:
        """Does nothing."""

    def steps(self, step: int, sums: dict[str, float], rate: float) -> None:
        """Does nothing."""

    def validation(self, step: int, evaluation: Evaluation) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""
