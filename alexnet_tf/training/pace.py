"""How many steps are made before Python looks up again."""

from __future__ import annotations

from alexnet_tf.training.strategies import Consensus

_SECONDS = 1.0  # that a signal may wait for the steps of one call; a step is never cut short


class Pace:
    """Chooses the number of steps of a call by how long the last call's took.

    A compiled loop of steps cannot see signals, so it must not go on for long.

    Args:
        at_most: steps of one call.
        consensus: of the workers, which have to make the same number.
    """

    def __init__(self, at_most: int, consensus: Consensus):
        self._at_most, self._consensus = at_most, consensus
        self._affordable = 1  # until it is known: the first call compiles as well

    def steps(self) -> int:
        """How many may be made in the next call; all workers must ask at the same place."""
        if self._at_most == 1:
            return 1
        mine = min(self._at_most, self._affordable)
        return max(1, round(self._consensus.total(mine) / self._consensus.workers))

    def measured(self, steps: int, seconds: float) -> None:
        """Takes note of how long a call took."""
        self._affordable = max(1, int(_SECONDS * steps / max(seconds, 1e-6)))
