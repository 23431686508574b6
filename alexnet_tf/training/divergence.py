"""When the figures of a run are no longer finite: where that began, and what to do then."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from alexnet_tf.system.errors import UserError
from alexnet_tf.training.checkpoints import RunState

_MAX_HALVINGS = 5  # of the rate, after which a run that diverges is given up


def diagnose(
    step: int, rate: float, sums: dict, layers: list[str], before: float | None
) -> str | None:
    """Says what is not finite about a step, and where it came from; None if nothing is.

    A gradient may be, as float16 tries large loss scales and leaves such steps out; weights may
    not, nor may the loss, which is that of the weights before the step.

    Args:
        step: the last that was made.
        rate: at which it was made.
        sums: `steps.make_train_steps`'s.
        layers: of each trainable variable, in the order of the network.
        before: mean loss of the steps before, if there were any.
    """
    gradients, weights = (
        [layer for layer, norm in zip(layers, sums[name], strict=True) if not math.isfinite(norm)]
        for name in ("gradient_norms", "weight_norms")
    )
    if not math.isfinite(sums["loss"]):
        text = f"the loss of step {step:,} is not finite"
    elif weights:
        text = f"the weights of {_names(weights)} are not finite after step {step:,}"
    else:
        return None
    text += f", at a rate of {rate:g}"
    if gradients:  # gradients come from the last layer back, and spoil all on their way
        text += f"; gradients are not finite from {gradients[-1]} back"
    return text if before is None else f"{text}; the loss before was {before:.3f}"


def _names(layers: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(layers))


class Divergence:
    """Ends a run that diverges, or takes it back to its newest checkpoint at half the rate.

    Args:
        goes_back: whether it does that.
        state: the run's.
        restore: goes back to the newest checkpoint; false if there is none.
    """

    def __init__(self, goes_back: bool, state: RunState, restore: Callable[[], bool]):
        self._goes_back, self._state, self._restore = goes_back, state, restore

    def __call__(self, diagnosis: str) -> str:
        """Goes back, and returns what there is to say of it.

        Args:
            diagnosis: what is not finite.

        Raises:
            UserError: the run ends here.
        """
        halvings = self._state.halvings
        if not self._goes_back or halvings == _MAX_HALVINGS:
            advice = (
                f"The rate was halved {halvings} times: try another recipe"
                if self._goes_back
                else "Try a lower --learning_rate or, where one of few steps diverges, "
                "--on_divergence=back"
            )
            raise UserError(
                f"Expected finite figures. Received: {diagnosis}; nothing of it was saved. {advice}"
            )
        if not self._restore():
            raise UserError(
                f"Expected a checkpoint to go back to. Received: {diagnosis}, before the first was "
                "written. Try a lower --learning_rate"
            )
        self._state.halvings = halvings + 1
        return (
            f"Stopped short: {diagnosis}\nThe rate is halved ({self._state.halvings} of at most "
            f"{_MAX_HALVINGS} times)"
        )
