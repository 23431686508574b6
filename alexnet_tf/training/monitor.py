"""Watches the metrics of a run: an error when they are not finite, warnings for likely faults."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

MAX_LR_HALVINGS = 5  # after which a run that diverges again ends

_LOSS_STEPS = 100  # steps whose mean loss is compared with chance level
_CHANCE_LEVEL = (0.99, 1.05)  # of ln(classes); a larger loss has another cause
_WAITING_SHARE = 0.3  # of the time
_WAITING_SECONDS = 30.0  # over which that share is measured


class NonFiniteLoss(Exception):  # noqa: N818 - a condition that the trainer handles
    """The loss or the weights are not finite; the message says where that began."""


def check_finite(
    step: int,
    learning_rate: float,
    metrics: dict,
    layers: list[str],
    previous_loss: float | None,
) -> None:
    """Checks the loss and the weights of a step.

    A gradient may be infinite: float16 tries large loss scales and skips such steps. Weights may
    not, nor may the loss, which is computed with the weights before the step.

    Args:
        step: number of the last step.
        learning_rate: of that step.
        metrics: `train_step.TrainSteps`'s.
        layers: of each trainable variable, in the order of the network.
        previous_loss: mean loss of the steps before, if there were any.

    Raises:
        NonFiniteLoss: with the layers in which it began.
    """
    gradients, weights = (
        [
            layer
            for layer, norm in zip(layers, metrics[name], strict=True)
            if not math.isfinite(norm)
        ]
        for name in ("gradient_norms", "weight_norms")
    )
    if not math.isfinite(metrics["loss"]):
        text = f"the loss of step {step:,} is not finite"
    elif weights:
        text = f"the weights of {_names(weights)} are not finite after step {step:,}"
    else:
        return
    text += f", at a learning rate of {learning_rate:g}"
    if gradients:  # backpropagation spreads them from the last layer towards the first
        text += f"; gradients are not finite from {gradients[-1]} back"
    if previous_loss is not None:
        text += f"; the loss before was {previous_loss:.3f}"
    raise NonFiniteLoss(text)


def _names(layers: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(layers))


class TrainingMonitor:
    """Warns when the loss stays at chance level or the device waits for input, once each.

    Args:
        classes: how many there are.
        stuck_after: steps after which the loss should have left chance level, ln(classes);
            0: never.
        clock: seconds, monotonic.
    """

    def __init__(self, classes: int, stuck_after: int, clock: Callable[[], float] = time.monotonic):
        self.chance_loss, self.stuck_after = math.log(classes), stuck_after
        self._clock = clock
        self._loss = self._steps = 0.0  # since the last comparison
        self._warned_stuck = self._warned_waiting = False
        self.restart_clock()

    def restart_clock(self) -> None:
        """Starts a new interval after a pause; the wait for its first batch does not count."""
        self._waiting, self._since = 0.0, None

    def observe(self, step: int, metrics: dict[str, float]) -> list[str]:
        """Records steps; returns the warnings.

        Args:
            step: number of the last of them.
            metrics: of these steps (`train_step.TrainSteps`).
        """
        warnings = (
            self._stuck(step, metrics["loss"], metrics["steps"]),
            self._starved(metrics["waiting"]),
        )
        return [warning for warning in warnings if warning]

    def _stuck(self, step: int, loss: float, steps: int) -> str | None:
        self._loss, self._steps = self._loss + loss, self._steps + steps
        if self._warned_stuck or self._steps < _LOSS_STEPS:
            return None
        mean = self._loss / self._steps
        self._loss = self._steps = 0.0
        low, high = (share * self.chance_loss for share in _CHANCE_LEVEL)
        if not self.stuck_after or step < self.stuck_after or not low <= mean <= high:
            return None
        self._warned_stuck = True
        return (
            f"Warning: the loss is still at chance level ({mean:.3f}) after {step:,} steps. A deep "
            "AlexNet with the paper's σ = 0.01 may need some thousand steps to leave it, and with "
            "some seeds it never does. Try another --seed. The paper sets biases to 1 to speed up "
            "the start (§5), but Caffe's users found that 1 can stall it: try 0.1, as in "
            "--variant=caffe. Try another --learning_rate, and look at the labels (python -m "
            "alexnet_tf.doctor)"
        )

    def _starved(self, waiting: float) -> str | None:
        now = self._clock()
        if self._since is None:
            self._since = now
            return None
        self._waiting += waiting
        seconds = now - self._since
        if self._warned_waiting or seconds < _WAITING_SECONDS:
            return None
        share = self._waiting / seconds
        self._waiting, self._since = 0.0, now
        if share < _WAITING_SHARE:
            return None
        self._warned_waiting = True
        return (
            f"Warning: the device waited for images in {share:.0%} of the last {seconds:.0f} s. "
            "Try --cache=memory or --cache=disk, a dataset made by python -m alexnet_tf.prepare, "
            "or more CPU cores"
        )
