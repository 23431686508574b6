"""The training schedule: learning rates, validations and the end of a run.

The paper divides the learning rate by ten three times, when the validation error stops improving
(§5); the original code's run 145 does so at given epochs.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Callable

from alexnet_tf.system.errors import UserError
from alexnet_tf.training.options import Options

if typing.TYPE_CHECKING:
    from alexnet_tf.training.checkpoints import TrainState

# From a step to its learning rate, such as a `keras.optimizers.schedules.LearningRateSchedule`.
Schedule = Callable[[int], float]
_ROUNDING = 1e-9  # validations; by so much the quotient of two numbers of images may be too small


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
class Cosine:
    """Multiplies the learning rate by half a cosine wave, from 1 to 0.

    As SGDR without restarts (Loshchilov and Hutter, 2017, equation 5).

    Attributes:
        start: epochs after which the wave begins.
        end: epochs after which it ends.
    """

    start: float
    end: float

    def rate_factor(self, state: PlateauState, epoch: float) -> float:
        """The factor of the initial learning rate after `epoch` epochs."""
        if epoch <= self.start:
            return 1.0
        return (1 + math.cos(math.pi * min((epoch - self.start) / (self.end - self.start), 1))) / 2

    def observe(self, state: PlateauState, error: float) -> bool:
        """Records a validation error; True if training should stop."""
        return False


def make_decay(options: Options, epochs: float) -> AtEpochs | OnPlateau | Cosine:
    """The decay that the options name; `epochs` is the length of the run."""
    match options.decay:
        case "cosine":
            return Cosine(options.warmup_epochs, epochs)
        case "plateau":
            return OnPlateau(options.patience, options.plateau_reductions)
        case "step":
            return AtEpochs(options.decay_epochs)
    return AtEpochs()


def _check_alone(schedule: Schedule, options: Options) -> AtEpochs:
    """Checks a schedule of the caller; returns the decay beside it, which is none.

    Raises:
        UserError: no function, or flags that it replaces.
    """
    if not callable(schedule):
        raise UserError(
            "Expected schedule to be a keras.optimizers.schedules.LearningRateSchedule, or another "
            f"function from step to learning rate. Received: {schedule!r}"
        )
    if options.schedule or options.warmup_epochs or options.plateau_patience:
        raise UserError(
            "Expected a schedule argument without --schedule, --warmup_epochs and "
            "--plateau_patience, which it replaces. Received: both"
        )
    return AtEpochs()


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
    """Counts the images and epochs of a run in steps.

    A batch may hold the end of an epoch and the beginning of the next. n epochs end with the first
    step after which n times the training set has been seen. In the last step of a run of
    `--epochs` the images beyond have weight 0, so that each image counts equally often. `--steps`
    are steps of whole batches.

    Args:
        options: of the run.
        examples: in the training set.
        schedule: of the caller, from step to learning rate, in place of the options'.

    Attributes:
        cut: images by which the last batches of earlier, shorter `--epochs` were cut; the stream
            continues there.

    Raises:
        UserError: batches larger than the training set, or no step at all.
    """

    def __init__(self, options: Options, examples: int, schedule: Schedule | None = None):
        if examples < options.batch_size:
            raise UserError(
                f"Expected --batch_size to be at most the {examples} training images. "
                f"Received: {options.batch_size}"
            )
        self.options, self._examples, self.cut = options, examples, 0
        if self.total_steps < 1:
            raise UserError(f"Expected at least one step. Received: --epochs={options.epochs:g}")
        # Images between validations, which a step can only follow once.
        self._interval = max(options.validate_every * examples, options.batch_size)
        self._decay = make_decay(options, self.epoch(self.total_steps))
        if schedule is not None:
            self._decay = _check_alone(schedule, options)
        # The rates of coming steps are asked for again and again.
        self._schedule = schedule and functools.lru_cache(64)(lambda step: float(schedule(step)))

    @property
    def total_images(self) -> int:
        """Images of the whole run, each counted once an epoch."""
        if self.options.steps:
            return max(0, self.options.steps * self.options.batch_size - self.cut)
        return round(self.options.epochs * self._examples)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.options.steps or -(-(self.total_images + self.cut) // self.options.batch_size)

    @property
    def end(self) -> int | None:
        """`total_images` where the last batch holds more; None where it does not."""
        seen = self.total_steps * self.options.batch_size - self.cut
        return self.total_images if seen > self.total_images else None

    @property
    def validation_steps(self) -> int:
        """Steps from one validation to the next, at most."""
        return math.ceil(self._interval / self.options.batch_size - _ROUNDING)

    def images(self, step: int) -> int:
        """Images seen after `step` steps."""
        return max(0, min(step * self.options.batch_size - self.cut, self.total_images))

    def epoch(self, step: int) -> float:
        """Passes over the training set after `step` steps."""
        # A quotient of whole numbers, so that it is whole where an epoch ends.
        return self.images(step) / self._examples

    def cut_after(self, step: int) -> int:
        """The value of `cut` for a run that continues after `step` steps."""
        return step * self.options.batch_size - self.images(step)

    def validation_due(self, step: int) -> bool:
        """Whether a validation follows step number `step`."""
        return step >= self.total_steps or self.validations(step) > self.validations(step - 1)

    def validations(self, step: int) -> int:
        """How often `--validate_every` epochs were complete after `step` steps."""
        return math.floor(self.images(step) / self._interval + _ROUNDING)

    def complete_epochs(self, step: int) -> float:
        """The epochs after which the validation of `step` comes."""
        if step < self.total_steps and self.validations(step) > self.validations(step - 1):
            return self.validations(step) * self._interval / self._examples
        return self.epoch(step)

    def observe(self, state: TrainState, error: float) -> bool:
        """Records a validation error in the state; True if training should stop."""
        return self._decay.observe(state.plateau, error)

    def learning_rates(self, step: int, state: TrainState) -> LearningRates:
        """The learning rates of the step that follows `step` others."""
        options, epoch = self.options, self.epoch(step)
        if self._schedule is None:
            factor = self._decay.rate_factor(state.plateau, epoch)
            scheduled = options.learning_rate * factor * self._warmup(step)
        else:
            factor, scheduled = 1.0, self._schedule(step)
        biases = options.bias_rate
        if options.bias_decay_epochs:
            own = AtEpochs(options.bias_decay_epochs).rate_factor(state.plateau, epoch)
            biases *= own / factor if factor else 0
        layers = {r.pattern: r.multiplier for r in options.layer_multipliers if epoch >= r.epoch}
        scheduled /= 2**state.lr_halvings
        return LearningRates(scheduled * state.lr_factor, scheduled, {"bias$": biases, **layers})

    def _warmup(self, step: int) -> float:
        """The share of the rate in the step that follows `step` others: 1 from its last step on."""
        epochs = self.options.warmup_epochs
        return min(1.0, self.epoch(step + 1) / epochs) if epochs else 1.0
