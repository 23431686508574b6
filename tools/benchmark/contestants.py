"""What takes part in a measurement, and where: the vocabulary of the other modules."""

from __future__ import annotations

import dataclasses
import pathlib
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
        squares: folder of the images to read, or None.
    """

    variant: str
    batch_size: int
    steps: int
    cores: tuple[int, ...]
    squares: pathlib.Path | None = None


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
        works_ahead: whether it fills buffers while others have their turn; one turn is then let
            pass before the one that counts.
    """

    about: str
    make: Callable[[Settings], Turn]
    gigaflop: float = 0.0
    precision: str = "float32"
    against: str | None = None
    works_ahead: bool = False
