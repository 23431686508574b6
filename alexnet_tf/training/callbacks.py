"""Keras callbacks, called by the trainer."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import keras

from alexnet_tf.evaluation.predictions import Evaluation


class Callbacks:
    """Calls Keras callbacks as `Model.fit` would.

    An epoch of theirs lasts from one validation to the next; a batch is one compiled call
    (`--steps_per_execution`), numbered by its last step. Batches come with loss, top1_error and
    top5_error; epochs with the same over the epoch, with val_loss, val_top1_error,
    val_top5_error and learning_rate. `model.stop_training` ends the run.

    With several workers each has its own callbacks, which must decide the same.

    Args:
        callbacks: to call, in this order.
        model: shown to them as theirs.
        optimizer: shown to them as the model's.
        batch_size: images a step.
        steps: of the whole run.
        steps_per_epoch: from one validation to the next.

    Attributes:
        present: whether there are any.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        batch_size: int,
        steps: int,
        steps_per_epoch: int,
    ):
        self._model, self._batch_size = model, batch_size
        self._steps_per_epoch = steps_per_epoch
        epochs = -(-steps // steps_per_epoch)
        self._list = keras.callbacks.CallbackList(
            list(callbacks), model=model, epochs=epochs, steps=steps_per_epoch, verbose=0
        )
        self._sums, self._begun = collections.Counter(), False
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

    def end(self) -> None:
        """The run has ended, if it began; no checkpoint holds what callbacks change now."""
        if self._begun:
            self._list.on_train_end()

    def epoch_begins(self, step: int) -> None:
        """After `step` steps training continues towards the next validation."""
        self._sums.clear()
        self._list.on_epoch_begin(step // self._steps_per_epoch)

    def batch_begins(self, step: int) -> None:
        """Before the steps that follow `step` others."""
        self._list.on_train_batch_begin(step)

    def batch_ends(self, step: int, metrics: dict[str, float]) -> None:
        """After steps, `step` in all; `metrics` as described at `train_step.TrainSteps`."""
        names = ("loss", "top1_correct", "top5_correct", "steps")
        self._sums.update({name: metrics[name] for name in names})
        self._list.on_train_batch_end(step - 1, self._means(metrics))

    def validation_begins(self) -> None:
        """A validation begins."""
        self._list.on_test_begin()

    def epoch_ends(self, step: int, evaluation: Evaluation, learning_rate: float) -> None:
        """After a validation that followed step `step`, and with the learning rate of that step."""
        validation = {
            name: getattr(evaluation, name) for name in ("loss", "top1_error", "top5_error")
        }
        self._list.on_test_end(validation)
        logs = {
            **(self._means(self._sums) if self._sums["steps"] else {}),
            **{f"val_{name}": value for name, value in validation.items()},
            "learning_rate": learning_rate,
        }
        self._list.on_epoch_end((step - 1) // self._steps_per_epoch, logs)

    def _means(self, sums: dict[str, float]) -> dict[str, float]:
        images = sums["steps"] * self._batch_size
        return {
            "loss": sums["loss"] / sums["steps"],
            "top1_error": 1 - sums["top1_correct"] / images,
            "top5_error": 1 - sums["top5_correct"] / images,
        }
