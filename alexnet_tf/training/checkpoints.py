"""Checkpoints that are whole or not there.

checkpoints/00001234/       after step 1,234
    variables.*             TensorFlow's: weights, velocities, random states, the run's state
    manifest.json           step, validation errors, and a fingerprint of every other file
checkpoints/*.partial/      being written, or left behind by a kill
checkpoints/*.damaged/      did not match its manifest, set aside until the next one is written

A checkpoint is written under another name, with its manifest last, forced to disk and then
renamed: at every moment the newest one without a suffix is whole. A file that changes later does
not match its checksum, and the checkpoint before is taken.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import pathlib
import re
import shutil

import tensorflow as tf

from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import fsync_path, reason_of
from alexnet_tf.training.manifest import (
    DamagedError,
    read_facts,
    verify,
    write_manifest,
)
from alexnet_tf.training.schedules import PlateauState

_NAME = re.compile(r"(\d{8})(?:-(\d+))?")  # step, and which of several of that step
_PARTIAL, _DAMAGED = ".partial", ".damaged"
_PLAIN = ("step", "validated_step", "ended", "halvings", "factor")  # of `RunState`


class RunState(tf.train.experimental.PythonState):
    """The part of a run that lives on the host.

    Attributes:
        step: training steps done; it says where in the data the run is.
        validated_step: the step of the last validation.
        ended: whether the schedule has ended the run.
        halvings: how often the rate was halved after a loss that was not finite.
        factor: what callbacks have made of the rate, times that of the schedule.
        plateau: of the schedule.
    """

    def __init__(self):
        super().__init__()
        self.step = 0
        self.validated_step = 0
        self.ended = False
        self.halvings = 0
        self.factor = 1.0
        self.plateau = PlateauState()

    def serialize(self) -> str:
        """JSON."""
        values = {name: getattr(self, name) for name in _PLAIN}
        return json.dumps({**values, "plateau": dataclasses.asdict(self.plateau)})

    def deserialize(self, string_value: bytes) -> None:
        """Takes over what `serialize` returned."""
        values = json.loads(string_value)
        for name in _PLAIN:
            setattr(self, name, values.get(name, getattr(self, name)))  # older ones hold less
        self.plateau = PlateauState(**values["plateau"])


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint on disk.

    Attributes:
        path: its directory.
        step: after which it was written.
        error, top5_error: of the validation at that step, top-1 and top-5, fractions; None if
            there was none.
        examples: that it was measured on, or None.
    """

    path: pathlib.Path
    step: int
    error: float | None
    top5_error: float | None = None
    examples: int | None = None

    @property
    def prefix(self) -> str:
        """What TensorFlow calls it."""
        return str(self.path / "variables")

    @property
    def serial(self) -> int:
        """Which of several of that step, from 1."""
        return _number(self.path)[1]


class CheckpointStore:
    """The checkpoints of a run.

    Args:
        path: of their directory.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path

    def save(
        self,
        checkpoint: tf.train.Checkpoint,
        step: int,
        evaluation: Evaluation | None,
        keep: int,
    ) -> None:
        """Writes a checkpoint, then deletes all but the newest and the best.

        Args:
            checkpoint: what to write.
            step: after which.
            evaluation: of the validation set at that step, or None.
            keep: how many of the newest to keep; the one of the lowest error is kept as well.

        Raises:
            UserError: the disk is full, or cannot be written; what was there is still there.
        """
        name = f"{step:08d}"
        earlier = [_number(path)[1] for path in self._directories() if _number(path)[0] == step]
        if earlier:  # written before the validation that this one comes after
            name = f"{name}-{max(earlier) + 1}"
        partial = self.path / f"{name}{_PARTIAL}"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            checkpoint.write(str(partial / "variables"))
            write_manifest(partial, {"step": step, **_figures(evaluation)})
            partial.rename(self.path / name)
            fsync_path(self.path)
            self._delete_old(keep)
        except (OSError, tf.errors.OpError) as problem:
            shutil.rmtree(partial, ignore_errors=True)
            newest = max((path.name for path in self._directories()), default="none")
            raise UserError(
                f"Expected to write a checkpoint into {self.path}. Received: {reason_of(problem)}; "
                f"the newest there is {newest}. Make room or mend the disk, and start again"
            ) from None

    @property
    def begun(self) -> bool:
        """Whether there is any checkpoint, whole or not."""
        return bool(self._directories()) or any(self.path.glob(f"*{_DAMAGED}"))

    def newest(self, set_aside: bool = False) -> Saved | None:
        """The newest checkpoint that is as it was written; None if none was ever written.

        Newer ones that are not are named on standard output.

        Args:
            set_aside: whether to rename those, so that they are never looked at again.

        Raises:
            UserError: there are checkpoints, but all are damaged.
        """
        damaged = [path.name for path in self.path.glob(f"*{_DAMAGED}")]
        for path in reversed(self._directories()):
            try:
                return Saved(path, **verify(path))
            except DamagedError as problem:
                damaged.append(path.name)
                print(f"Damaged checkpoint left out: {path} ({problem})", flush=True)
            if set_aside:
                aside = path.with_name(path.name + _DAMAGED)
                shutil.rmtree(aside, ignore_errors=True)
                with contextlib.suppress(OSError):  # a disk that takes nothing: left out again
                    path.rename(aside)
        if damaged:
            raise UserError(
                f"Expected a whole checkpoint in {self.path}. Received: damaged ones only "
                f"({', '.join(damaged)}); choose another --model_dir, or delete them to begin anew"
            )
        return None

    def find(self, step: int, serial: int) -> Saved:
        """A given checkpoint, which another worker has seen to be whole.

        Raises:
            UserError: it is not here, or not whole.
        """
        name = f"{step:08d}" if serial == 1 else f"{step:08d}-{serial}"
        try:
            return Saved(self.path / name, **verify(self.path / name))
        except DamagedError as problem:
            raise UserError(
                f"Expected checkpoint {name} in {self.path}, which worker 0 goes on from. "
                f"Received: {problem}; all workers have to share --model_dir"
            ) from None

    def best(self) -> Saved | None:
        """The checkpoint of the lowest validation error that is as it was written, or None."""
        for saved in sorted(self._saved(), key=_error):
            if saved.error is not None:
                try:
                    return Saved(saved.path, **verify(saved.path))
                except DamagedError as problem:
                    print(f"Damaged checkpoint left out: {saved.path} ({problem})", flush=True)
        return None

    def _directories(self) -> list[pathlib.Path]:
        """Oldest first."""
        if not self.path.is_dir():
            return []
        return sorted((p for p in self.path.iterdir() if _NAME.fullmatch(p.name)), key=_number)

    def _saved(self) -> list[Saved]:
        """Those with a manifest, oldest first, their files not looked at."""
        every = []
        for path in self._directories():
            with contextlib.suppress(DamagedError):
                every.append(Saved(path, **read_facts(path)))
        return every

    def _delete_old(self, keep: int) -> None:
        every = self._saved()
        best = min(every, key=_error)
        for saved in every[:-keep]:
            if saved is not best or saved.error is None:
                # Renamed first, so that a kill does not leave half of one under a good name.
                saved.path.rename(saved.path.with_name(saved.path.name + _PARTIAL))
        for suffix in (_PARTIAL, _DAMAGED):  # a damaged one is of no use beside one that is whole
            for path in self.path.glob(f"*{suffix}"):
                shutil.rmtree(path, ignore_errors=True)


def _figures(evaluation: Evaluation | None) -> dict[str, float | int | None]:
    """What is kept of a validation."""
    if evaluation is None:
        return {"error": None}
    return {
        "error": evaluation.top1_error,
        "top5_error": evaluation.top5_error,
        "examples": evaluation.examples,
    }


def _number(path: pathlib.Path) -> tuple[int, int]:
    """Step, and which of several of that step, from 1."""
    step, serial = _NAME.fullmatch(path.name).groups()
    return int(step), int(serial or 1)


def _error(saved: Saved) -> float:
    return math.inf if saved.error is None else saved.error
