"""Keras callbacks, called by this package's loop."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import keras

from alexnet_tf.evaluation.predictions import Evaluation


class Callbacks:
    """Tells Keras callbacks what `Model.fit` would tell them.

    Their epoch is the stretch from one validation to the next, their batch the steps of one call
    (`--steps_per_execution`), numbered by the last of them. Batches come with loss, top1_error and
    top5_error; epochs with the same over the epoch, with val_loss, val_top1_error and
    val_top5_error, and with the learning_rate. `model.stop_training` ends the run.

    With several workers each has callbacks of its own, which must decide the same.

    Args:
        callbacks: to be called, in this order.
        model: what they see as theirs.
        optimizer: what they see as its optimizer.
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
        """Whether one of them wants the run to end."""
        return self._model.stop_training

    def begin(self) -> None:
        """The run begins, or goes on."""
        self._begun = True
        self._list.on_train_begin()

    def end(self) -> None:
        """The run has ended, if it began; what they change now is in no checkpoint."""
        if self._begun:
            self._list.on_train_end()

    def epoch_begins(self, step: int) -> None:
        """After `step` steps training goes on towards the next validation."""
        self._sums.clear()
        self._list.on_epoch_begin(step // self._steps_per_epoch)

    def batch_begins(self, step: int) -> None:
        """The steps that follow `step` others are made."""
        self._list.on_train_batch_begin(step)

    def batch_ends(self, step: int, sums: dict[str, float]) -> None:
        """Steps were made, `step` in all; `sums` is `steps.make_train_steps`'s."""
        self._sums.update(
            {name: sums[name] for name in ("loss", "top1_hits", "top5_hits", "steps")}
        )
        self._list.on_train_batch_end(step - 1, self._means(sums))

    def validation_begins(self) -> None:
        """A validation begins."""
        self._list.on_test_begin()

    def epoch_ends(self, step: int, evaluation: Evaluation, rate: float) -> None:
        """A validation after `step` steps has ended; `rate` was that of the last of them."""
        validation = {
            name: getattr(evaluation, name) for name in ("loss", "top1_error", "top5_error")
        }
        self._list.on_test_end(validation)
        logs = {
            **(self._means(self._sums) if self._sums["steps"] else {}),
            **{f"val_{name}": value for name, value in validation.items()},
            "learning_rate": rate,
        }
        self._list.on_epoch_end((step - 1) // self._steps_per_epoch, logs)

    def _means(self, sums: dict[str, float]) -> dict[str, float]:
        images = sums["steps"] * self._batch_size
        return {
            "loss": sums["loss"] / sums["steps"],
            "top1_error": 1 - sums["top1_hits"] / images,
            "top5_error": 1 - sums["top5_hits"] / images,
        }
