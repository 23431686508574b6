"""The types that describe a benchmark: its settings and its contestants."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

# Does a fixed amount of work, waits until it is done, and returns the amount.
Turn = Callable[[], float]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a benchmark, the same for every contestant.

    Attributes:
        variant: name of the network.
        batch_size: images.
        steps: in each turn.
        cores: numbers of the CPU cores that every contestant is pinned to.
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
        about: a short description.
        make: builds the contestant, in its own process; an ImportError leaves the row out.
        gigaflop: operations per unit of work, to compare with matrix products; 0 if there is no
            meaningful number.
        precision: of the matrix products to compare with.
        against: name of the contestant that this one is compared with.
        works_ahead: whether it fills buffers while others have their turn. One turn is then made
            and discarded before each turn that counts.
    """

    about: str
    make: Callable[[Settings], Turn]
    gigaflop: float = 0.0
    precision: str = "float32"
    against: str | None = None
    works_ahead: bool = False
