"""What a run keeps of itself, when, and how it goes on from there."""

from __future__ import annotations

import time

import tensorflow as tf

from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.system.errors import UserError, first_line
from alexnet_tf.training.checkpoints import CheckpointStore, RunState, Saved
from alexnet_tf.training.options import Options
from alexnet_tf.training.parts import Parts
from alexnet_tf.training.strategies import Consensus


class Saving:
    """Saves model, optimizer, random states and the run's state together, and brings them back.

    Args:
        options: the run's.
        parts: what is trained.
        state: the run's.
        store: of the checkpoints.
        writes: whether this worker is the one that saves; all hold the same.
        consensus: of the workers.
    """

    def __init__(
        self,
        options: Options,
        parts: Parts,
        state: RunState,
        store: CheckpointStore,
        writes: bool,
        consensus: Consensus,
    ):
        self._options, self._parts, self._state = options, parts, state
        self._store, self._writes, self._consensus = store, writes, consensus
        self._checkpoint = tf.train.Checkpoint(
            model=parts.model,
            optimizer=parts.optimizer,
            state=state,
            # The states of dropout: Keras does not show them to TensorFlow's checkpoints.
            seeds=[variable.value for variable in parts.model.non_trainable_variables],
        )
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last time is long enough ago."""
        return time.monotonic() - self._saved_at >= 60 * self._options.save_minutes

    def save(self, evaluation: Evaluation | None = None) -> None:
        """Saves; `evaluation` is that of the validation set at this step, if there was one."""
        if self._writes:
            self._parts.gather()
            keep = self._options.keep_checkpoints
            self._store.save(self._checkpoint, self._state.step, evaluation, keep)
        self._saved_at = time.monotonic()

    def restore(self) -> bool:
        """Goes back to the newest whole checkpoint; False if there is none.

        Raises:
            UserError: it is of another model or optimizer, or this worker cannot read it.
        """
        saved = self._choose()
        if saved is None:
            return False
        try:
            self._checkpoint.read(saved.prefix).assert_consumed()
        except (AssertionError, ValueError, IndexError, tf.errors.OpError) as error:
            raise UserError(
                f"Expected a checkpoint of this model and optimizer. Received: {saved.path} "
                f"({first_line(error)}); choose another --model_dir"
            ) from None
        self._parts.scatter()
        return True

    def _choose(self) -> Saved | None:
        """The newest whole one as worker 0 sees it; others may see an older state of the disk."""
        if not self._writes:
            step, serial = (int(self._consensus.total(0)) for _ in range(2))
            return self._store.find(step, serial) if serial else None
        saved = self._store.newest(set_aside=True)
        for number in (saved.step, saved.serial) if saved else (0, 0):
            self._consensus.total(number)
        return saved
