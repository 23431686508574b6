"""TensorBoard's curves and the running figures of the progress bar."""

from __future__ import annotations

import collections
import time

import tensorflow as tf

from alexnet_tf.evaluation import Evaluation
from alexnet_tf.training.directory import ModelDirectory

STEPS_BETWEEN_POINTS = 20  # in TensorBoard


class Logs:
    """Collects the figures of training steps and writes them where they can be looked at.

    Args:
        directory: whose tensorboard/ is written.
        batch_size: images a step, over all replicas.
    """

    def __init__(self, directory: ModelDirectory, batch_size: int):
        self.batch_size = batch_size
        self.text = ""  # the newest figures, for the progress bar
        self._train = tf.summary.create_file_writer(str(directory.tensorboard / "train"))
        self._validation = tf.summary.create_file_writer(str(directory.tensorboard / "validation"))
        self.restart_clock()

    def restart_clock(self) -> None:
        """Starts a stretch of training: what came before does not count in the rates."""
        self._sums = collections.Counter()
        self._since = time.monotonic()

    def steps(self, step: int, sums: dict[str, float], rate: float) -> None:
        """Takes the figures of steps (`steps.make_train_steps`'s).

        Args:
            step: the number of the last of them.
            sums: over these steps.
            rate: at which they were made.
        """
        self._sums.update(sums)
        steps = self._sums["steps"]
        images = steps * self.batch_size
        seconds = max(time.monotonic() - self._since, 1e-9)
        loss, top1 = self._sums["loss"] / steps, self._sums["top1_hits"] / images
        self.text = f"loss {loss:.3f}, top-1 {top1:.0%}"
        if step % STEPS_BETWEEN_POINTS == 0:
            with self._train.as_default(step=step):
                tf.summary.scalar("loss", loss)
                tf.summary.scalar("top1_error", 1 - top1)
                tf.summary.scalar("top5_error", 1 - self._sums["top5_hits"] / images)
                tf.summary.scalar("learning_rate", rate)
                tf.summary.scalar("images_per_second", images / seconds)
                tf.summary.scalar("waiting_share", self._sums["waiting"] / seconds)
            self.restart_clock()

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


class NoLogs:
    """In place of `Logs` where another worker writes them."""

    text = ""

    def restart_clock(self) -> None:
        """Does nothing."""

    def steps(self, step: int, sums: dict[str, float], rate: float) -> None:
        """Does nothing."""

    def validation(self, step: int, evaluation: Evaluation) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""
