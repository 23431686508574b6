"""When the learning rate is divided by ten.

The paper divides three times, when the validation error stops improving (§5); the original code's
run 145 does it at given epochs.
"""

from __future__ import annotations

import dataclasses
import math

from alexnet_tf.training.options import Options


@dataclasses.dataclass(frozen=True)
class AtEpochs:
    """Multiplies the rate by `factor` after each of the given epochs.

    Attributes:
        epochs: numbers of whole epochs after which the rate drops; may be fractions.
        factor: default 1/10.
    """

    epochs: tuple[float, ...] = ()
    factor: float = 0.1

    def rate_factor(self, state: PlateauState, epoch: float) -> float:
        """What the initial rate is multiplied by after `epoch` epochs."""
        return self.factor ** sum(epoch >= boundary for boundary in self.epochs)

    def observe(self, state: PlateauState, error: float) -> bool:
        """Takes note of a validation error; True if training should stop."""
        return False


@dataclasses.dataclass
class PlateauState:
    """What a schedule remembers between validations; part of a checkpoint.

    Attributes:
        best_error: lowest validation error so far, a fraction.
        waited: validations since then, or since the last reduction.
        reductions: how often the rate was reduced.
    """

    best_error: float = math.inf
    waited: int = 0
    reductions: int = 0


@dataclasses.dataclass(frozen=True)
class OnPlateau:
    """Multiplies the rate by `factor` when the validation error has stopped improving.

    After `reductions` of them the next plateau ends the training, as in paper §5.

    Attributes:
        patience: validations without a new best before the rate drops.
        reductions: how often. Default 3 (paper §5).
        factor: default 1/10 (paper §5).
    """

    patience: int
    reductions: int = 3
    factor: float = 0.1

    def rate_factor(self, state: PlateauState, epoch: float) -> float:
        """What the initial rate is multiplied by."""
        return self.factor**state.reductions

    def observe(self, state: PlateauState, error: float) -> bool:
        """Takes note of a validation error; True if training should stop."""
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


def make_schedule(options: Options) -> AtEpochs | OnPlateau:
    """The schedule that the options name."""
    if options.plateau_patience:
        return OnPlateau(options.plateau_patience, options.plateau_reductions)
    return AtEpochs(options.decay_epochs)
