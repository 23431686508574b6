"""TensorBoard's curves and the running figures of the progress bar."""

from __future__ import annotations

import math
import time

import tensorflow as tf

from alexnet_tf.errors import UserError
from alexnet_tf.evaluation import Evaluation
from alexnet_tf.training.checkpoints import ModelDirectory

_SECONDS_BETWEEN_READS = 1.0  # reading a metric waits for the device, so not after every step
_STEPS_BETWEEN_POINTS = 20  # in TensorBoard


class Logs:
    """Collects the metrics of training steps and writes them where they can be looked at.

    Args:
        directory: whose tensorboard/ is written.
        batch_size: images a step, over all replicas.
    """

    def __init__(self, directory: ModelDirectory, batch_size: int):
        self.batch_size = batch_size
        self.text = ""  # the newest figures, for the progress bar
        self._train = tf.summary.create_file_writer(str(directory.tensorboard / "train"))
        self._validation = tf.summary.create_file_writer(str(directory.tensorboard / "validation"))
        self._unread: list[dict[str, tf.Tensor]] = []
        self.restart_clock()

    def restart_clock(self) -> None:
        """Starts a stretch of training: what came before does not count in the rates."""
        self._sums = {"loss": 0.0, "correct": 0.0}
        self._steps = 0
        self._since = self._last_read = time.monotonic()

    def step(self, step: int, metrics: dict[str, tf.Tensor], rate: float) -> None:
        """Takes the metrics of a step (`steps.make_train_step`'s).

        Raises:
            UserError: the loss is not finite.
        """
        self._unread.append(metrics)
        due = step % _STEPS_BETWEEN_POINTS == 0
        if due or time.monotonic() - self._last_read >= _SECONDS_BETWEEN_READS:
            self.read(step)
        if due:
            seconds = time.monotonic() - self._since
            with self._train.as_default(step=step):
                tf.summary.scalar("loss", self._sums["loss"] / self._steps)
                tf.summary.scalar("top1_error", 1 - self._top1())
                tf.summary.scalar("learning_rate", rate)
                tf.summary.scalar("images_per_second", self._steps * self.batch_size / seconds)
            self.restart_clock()

    def read(self, step: int) -> None:
        """Reads the metrics that are still on the device, and checks them.

        Raises:
            UserError: the loss is not finite.
        """
        for metrics in self._unread:
            for name in self._sums:
                self._sums[name] += float(metrics[name])
        self._steps += len(self._unread)
        self._unread.clear()
        self._last_read = time.monotonic()
        if not self._steps:
            return
        loss = self._sums["loss"] / self._steps
        if not math.isfinite(loss):
            raise UserError(
                f"Expected a finite loss. Received: {loss} at or before step {step:,}; it was not "
                "saved. Try a lower --learning_rate, or --precision=float32"
            )
        self.text = f"loss {loss:.3f}, top-1 {self._top1():.0%}"

    def validation(self, step: int, evaluation: Evaluation) -> None:
        """Writes a validation's result, and all that is buffered."""
        with self._validation.as_default(step=step):
            tf.summary.scalar("loss", evaluation.loss)
            tf.summary.scalar("top1_error", evaluation.top1_error)
            tf.summary.scalar("top5_error", evaluation.top5_error)
        self._validation.flush()
        self._train.flush()

    def close(self) -> None:
        """Writes what is buffered and closes the files."""
        self._train.close()
        self._validation.close()

    def _top1(self) -> float:
        return self._sums["correct"] / (self._steps * self.batch_size)
