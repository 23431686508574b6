"""What takes part in a measurement, and where: the vocabulary of the other modules."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

# Does a fixed amount of work, waits until it is done, and returns how much it was.
Turn = Callable[[], float]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of a measurement, the same for every contestant.

    Attributes:
        variant: name of the network.
        batch_size: images.
        steps: in each turn.
        cores: numbers of the CPU cores that all are pinned to.
    """

    variant: str
    batch_size: int
    steps: int
    cores: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One row of the table.

    Attributes:
        about: a few words.
        make: builds and warms up in a process of its own; an ImportError leaves the row out.
        gigaflop: arithmetic of one unit of work, for the share of the machine's matrix products;
            0 where it makes no sense.
        precision: whose matrix products it is compared with.
        against: name of the contestant whose speed is divided by this one's.
    """

    about: str
    make: Callable[[Settings], Turn]
    gigaflop: float = 0.0
    precision: str = "float32"
    against: str | None = None
