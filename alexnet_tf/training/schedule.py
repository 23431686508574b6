"""The training schedule: learning rates, validations and the end of a run.

The paper divides the learning rate by ten three times, when the validation error stops improving
(§5); the original code's run 145 does so at given epochs.
"""

from __future__ import annotations

import dataclasses
import math
import typing

from alexnet_tf.system.errors import UserError
from alexnet_tf.training.options import Options

if typing.TYPE_CHECKING:
    from alexnet_tf.training.checkpoints import TrainState


@dataclasses.dataclass(frozen=True)
class AtEpochs:
    """Multiplies the learning rate by `factor` after each of the given epochs.

    Attributes:
        epochs: numbers of epochs after which the learning rate drops; may be fractions.
        factor: default 1/10.
    """

    epochs: tuple[float, ...] = ()
    factor: float = 0.1

    def rate_factor(self, state: PlateauState, epoch: float) -> float:
        """The factor of the initial learning rate after `epoch` epochs."""
        return self.factor ** sum(epoch >= boundary for boundary in self.epochs)

    def observe(self, state: PlateauState, error: float) -> bool:
        """Records a validation error; True if training should stop."""
        return False


@dataclasses.dataclass
class PlateauState:
    """The state of a schedule between validations; part of a checkpoint.

    Attributes:
        best_error: lowest validation error so far, a fraction.
        waited: validations since then, or since the last reduction.
        reductions: how often the learning rate was reduced.
    """

    best_error: float = math.inf
    waited: int = 0
    reductions: int = 0


@dataclasses.dataclass(frozen=True)
class OnPlateau:
    """Multiplies the learning rate by `factor` when the validation error has stopped improving.

    After `reductions` of them the next plateau ends the training, as in paper §5.

    Attributes:
        patience: validations without a new best before the learning rate drops.
        reductions: how often. Default 3 (paper §5).
        factor: default 1/10 (paper §5).
    """

    patience: int
    reductions: int = 3
    factor: float = 0.1

    def rate_factor(self, state: PlateauState, epoch: float) -> float:
        """The factor of the initial learning rate."""
        return self.factor**state.reductions

    def observe(self, state: PlateauState, error: float) -> bool:
        """Records a validation error; True if training should stop."""
        if error < state.best_error:
            state.best_error, state.waited = error, 0
            return False
        state.waited += 1
        if state.waited < self.patience:
            return False
        if state.reductions == self.reductions:
            return True
        state.reductions, state.waited = state.reductions + 1, 0
        return False


@dataclasses.dataclass(frozen=True)
class LearningRates:
    """The learning rates of a step.

    Attributes:
        learning_rate: ε.
        scheduled: ε if no callback had changed it.
        multipliers: from regular expression to the factor of ε for the variables whose path it
            matches, as `PaperSGD.set_rate_multipliers` takes them.
    """

    learning_rate: float
    scheduled: float
    multipliers: dict[str, float]


class TrainSchedule:
    """Counts the epochs of a run in steps.

    Args:
        options: of the run.
        examples: in the training set.

    Attributes:
        steps_per_epoch: a float; the last step of an epoch may begin the next one.
        total_steps: of the whole run.
        validation_steps: from one validation to the next.

    Raises:
        UserError: batches larger than the training set, or no step at all.
    """

    def __init__(self, options: Options, examples: int):
        if examples < options.batch_size:
            raise UserError(
                f"Expected --batch_size to be at most the {examples} training images. "
                f"Received: {options.batch_size}"
            )
        self.options, self._examples = options, examples
        self.steps_per_epoch = examples / options.batch_size
        self.total_steps = options.steps or round(options.epochs * self.steps_per_epoch)
        if self.total_steps < 1:
            raise UserError(f"Expected at least one step. Received: --epochs={options.epochs:g}")
        self.validation_steps = max(1, round(options.validate_every * self.steps_per_epoch))
        self._decay = AtEpochs(options.decay_epochs)
        if options.plateau_patience:
            self._decay = OnPlateau(options.plateau_patience, options.plateau_reductions)

    def epoch(self, step: int) -> float:
        """Passes over the training set after `step` steps."""
        # A quotient of whole numbers, so that it is whole where an epoch ends.
        return step * self.options.batch_size / self._examples

    def validation_due(self, step: int) -> bool:
        """Whether a validation follows step number `step`."""
        return step % self.validation_steps == 0 or step >= self.total_steps

    def observe(self, state: TrainState, error: float) -> bool:
        """Records a validation error in the state; True if training should stop."""
        return self._decay.observe(state.plateau, error)

    def learning_rates(self, step: int, state: TrainState) -> LearningRates:
        """The learning rates of the step that follows `step` others."""
        options, epoch = self.options, self.epoch(step)
        factor = self._decay.rate_factor(state.plateau, epoch)
        biases = options.bias_rate
        if options.bias_decay_epochs:
            own = AtEpochs(options.bias_decay_epochs).rate_factor(state.plateau, epoch)
            biases *= own / factor
        layers = {r.pattern: r.multiplier for r in options.layer_multipliers if epoch >= r.epoch}
        scheduled = options.learning_rate * factor / 2**state.lr_halvings
        return LearningRates(scheduled * state.lr_factor, scheduled, {"bias$": biases, **layers})
