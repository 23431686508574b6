"""Keras callbacks, called by the trainer."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import keras
import numpy as np

from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.training.schedule import TrainSchedule


class Callbacks:
    """Calls Keras callbacks as `Model.fit` would.

    An epoch of theirs lasts from one validation to the next, `--validate_every`; a batch is one
    compiled call (`--steps_per_execution`), numbered by its last step. Batches come with loss,
    top1_error and top5_error; epochs with the same over the epoch, with val_loss, val_top1_error,
    val_top5_error and learning_rate. `model.stop_training` ends the run.

    With several workers each has its own callbacks, which must decide the same.

    Args:
        callbacks: to call, in this order.
        model: shown to them as theirs.
        optimizer: shown to them as the model's.
        schedule: of the run.

    Attributes:
        present: whether there are any.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        schedule: TrainSchedule,
    ):
        self._model, self._schedule = model, schedule
        self._list = keras.callbacks.CallbackList(
            list(callbacks),
            model=model,
            epochs=self._epoch(schedule.total_steps) + 1,
            steps=schedule.validation_steps,
            verbose=0,
        )
        self._sums, self._begun = collections.Counter(), False
        self._validated: list[np.ndarray] = []  # weights, of the last validation
        model.stop_training = False
        self.present = bool(callbacks)
        if callbacks:
            model.optimizer = optimizer

    @property
    def stop(self) -> bool:
        """Whether one of them has set `model.stop_training`."""
        return self._model.stop_training

    def begin(self) -> None:
        """The run begins or resumes."""
        self._begun = True
        self._list.on_train_begin()

    def end(self) -> bool:
        """The run is complete; whether the weights are others than those of its last validation.

        `EarlyStopping(restore_best_weights=True)` changes them now.
        """
        self._begun = False
        before = self._validated or self._weights()
        self._list.on_train_end()
        return not all(map(np.array_equal, before, self._weights()))

    def abandon(self) -> None:
        """The run has stopped or failed, if it began; the weights stay those to resume from."""
        if self._begun:
            self._begun, before = False, self._weights()
            self._list.on_train_end()
            if self.present:
                self._model.set_weights(before)

    def epoch_begins(self, step: int) -> None:
        """After `step` steps training continues towards the next validation."""
        self._sums.clear()
        self._list.on_epoch_begin(self._epoch(step + 1))

    def batch_begins(self, step: int) -> None:
        """Before the steps that follow `step` others."""
        self._list.on_train_batch_begin(step)

    def batch_ends(self, step: int, metrics: dict[str, float]) -> None:
        """After steps, `step` in all.

        Args:
            step: the number of the last of them.
            metrics: as described at `train_step.TrainSteps`, and images: how many they have seen.
        """
        names = ("loss", "top1_correct", "top5_correct", "images")
        self._sums.update({name: metrics[name] for name in names})
        self._list.on_train_batch_end(step - 1, self._means(metrics))

    def validation_begins(self) -> None:
        """A validation begins."""
        self._validated = self._weights()
        self._list.on_test_begin()

    def epoch_ends(self, step: int, evaluation: Evaluation, learning_rate: float) -> None:
        """After a validation that followed step `step`, and with the learning rate of that step."""
        validation = {
            name: getattr(evaluation, name) for name in ("loss", "top1_error", "top5_error")
        }
        self._list.on_test_end(validation)
        logs = {
            **(self._means(self._sums) if self._sums["images"] else {}),
            **{f"val_{name}": value for name, value in validation.items()},
            "learning_rate": learning_rate,
        }
        self._list.on_epoch_end(self._epoch(step), logs)

    def _epoch(self, step: int) -> int:
        """The number of the epoch that step number `step` belongs to, from 0."""
        return self._schedule.validations(step - 1)

    def _weights(self) -> list[np.ndarray]:
        """The model's; none where no callback could change them."""
        return self._model.get_weights() if self.present else []

    def _means(self, sums: dict[str, float]) -> dict[str, float]:
        images = sums["images"]
        return {
            "loss": sums["loss"] * self._schedule.options.batch_size / images,
            "top1_error": 1 - sums["top1_correct"] / images,
            "top5_error": 1 - sums["top5_correct"] / images,
        }
