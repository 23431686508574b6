"""What is probably wrong with a run, said in words."""

from __future__ import annotations

import math
import time

_WINDOW = 100  # steps over whose mean loss is judged
_UNMOVED = (0.99, 1.05)  # of ln(classes); a larger loss is another ailment
_STARVED = 0.3  # share of the time
_SECONDS = 30.0  # over which that share is measured


class Watchdogs:
    """Looks at the figures of training steps; each remark is made once.

    Args:
        classes: how many there are.
        stuck_after: steps after which the loss should have left that of guessing, ln(classes);
            0: never.
    """

    def __init__(self, classes: int, stuck_after: int):
        self.guessing, self.stuck_after = math.log(classes), stuck_after
        self._loss = self._steps = 0.0  # since the last look
        self._stuck_said = self._starved_said = False
        self.restart()

    def restart(self) -> None:
        """Starts a stretch of training; its first batch has to be waited for."""
        self._waiting, self._since = 0.0, None

    def observe(self, step: int, sums: dict[str, float]) -> list[str]:
        """Takes note of steps; returns what there is to say.

        Args:
            step: number of the last of them.
            sums: over these steps (`steps.make_train_steps`'s).
        """
        remarks = (self._stuck(step, sums["loss"], sums["steps"]), self._starved(sums["waiting"]))
        return [remark for remark in remarks if remark]

    def _stuck(self, step: int, loss: float, steps: int) -> str | None:
        self._loss, self._steps = self._loss + loss, self._steps + steps
        if self._stuck_said or self._steps < _WINDOW:
            return None
        mean = self._loss / self._steps
        self._loss = self._steps = 0.0
        low, high = (share * self.guessing for share in _UNMOVED)
        if not self.stuck_after or step < self.stuck_after or not low <= mean <= high:
            return None
        self._stuck_said = True
        return (
            f"The loss is {mean:.3f} after {step:,} steps, that of guessing. A deep AlexNet with "
            "the paper's σ = 0.01 may need some thousand steps to leave it; if it does not: "
            "are the biases of conv2, conv4, conv5 and the hidden layers 1 (paper §5)? Try another "
            "--learning_rate, and look at the labels (python -m alexnet_tf.doctor)"
        )

    def _starved(self, waiting: float) -> str | None:
        now = time.monotonic()
        if self._since is None:
            self._since = now
            return None
        self._waiting += waiting
        seconds = now - self._since
        if self._starved_said or seconds < _SECONDS:
            return None
        share = self._waiting / seconds
        self._waiting, self._since = 0.0, now
        if share < _STARVED:
            return None
        self._starved_said = True
        return (
            f"{share:.0%} of the last {seconds:.0f} s went by waiting for images. Try "
            "--cache=memory or --cache=disk, a dataset made by python -m alexnet_tf.prepare, or "
            "more CPU cores"
        )
