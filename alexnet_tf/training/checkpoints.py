"""Checkpoints that are complete or absent.

checkpoints/00001234/       after step 1,234
    variables.*             TensorFlow's: weights, velocities, random states, the state of the run
    model.json, statistics.npz    copies of the run's, in case the originals are lost
    manifest.json           step, validation errors, and a SHA-256 checksum of every other file
checkpoints/*.partial/      being written, or left behind by a kill
checkpoints/*.damaged/      did not match its manifest; deleted when the next one is written

Nothing with another name is deleted: `checkpoints` may be a link to a folder that holds more.

A checkpoint is written under another name, with its manifest last, forced to disk and then
renamed: the newest one without a suffix is always complete. If a file changes later, its checksum
does not match, and the checkpoint before is used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import re
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.system.errors import UserError, first_line
from alexnet_tf.system.files import (
    PARTIAL,
    atomic_rename,
    make_directory,
    reason_of,
    remove,
)
from alexnet_tf.system.paths import tensorflow_path
from alexnet_tf.system.untrusted import check, finite, natural
from alexnet_tf.training.distributed import WorkerSync
from alexnet_tf.training.manifest import DamagedError, Manifest, write_manifest
from alexnet_tf.training.network import TrainableNetwork
from alexnet_tf.training.options import Options
from alexnet_tf.training.schedule import PlateauState

_NAME = re.compile(r"(\d{8,18})(?:-(\d{1,18}))?", re.ASCII)  # step, and its revision if several
_DAMAGED = ".damaged"
_VARIABLES = "variables"  # prefix of the files that TensorFlow writes
_OTHER_FILES = ("manifest.json", "model.json", "statistics.npz", ".nfs", ".DS_Store")


def _fraction(value: Any) -> None:
    finite(value)
    if not 0 <= value <= 1:
        raise ValueError(f"no fraction: {value!r}")


_FACTS = {
    **{"step": natural, "error?": (None, _fraction)},
    **{"top5_error?": (None, _fraction), "examples?": (None, natural)},
}
# Attributes of `TrainState` and their names in a checkpoint.
_FIELDS = {
    **{"step": "step", "cut": "cut", "validated_step": "validated_step", "ended": "ended"},
    **{"lr_halvings": "halvings", "lr_factor": "factor"},
}
_STATE = {  # the form of a state in a checkpoint; old ones hold less
    **{"step": natural, "validated_step?": natural, "ended?": bool},
    **{"halvings?": natural, "factor?": finite},
    "plateau": {"best_error?": float, "waited?": natural, "reductions?": natural},
}


class TrainState(tf.train.experimental.PythonState):
    """The part of a run's state that lives on the host.

    Attributes:
        step: training steps done; with `cut` it determines the position in the data.
        cut: images of their batches that did not count (`schedule.TrainSchedule`).
        validated_step: the step of the last validation.
        ended: whether the schedule or a callback has ended the run.
        lr_halvings: how often the learning rate was halved after a loss that was not finite.
        lr_factor: of the scheduled learning rate, set by callbacks.
        plateau: of the schedule.
    """

    def __init__(self):
        super().__init__()
        self.step = 0
        self.cut = 0
        self.validated_step = 0
        self.ended = False
        self.lr_halvings = 0
        self.lr_factor = 1.0
        self.plateau = PlateauState()

    def serialize(self) -> str:
        """JSON."""
        values = {stored: getattr(self, name) for name, stored in _FIELDS.items()}
        return json.dumps({**values, "plateau": dataclasses.asdict(self.plateau)})

    def deserialize(self, string_value: bytes) -> None:
        """Takes over the result of `serialize`.

        Raises:
            ValueError: it is something else.
        """
        try:
            values = check(json.loads(string_value), _STATE)
        except RecursionError:
            raise ValueError("the state of the run is nested too deeply") from None
        for name, stored in _FIELDS.items():
            setattr(self, name, values.get(stored, getattr(self, name)))  # old ones hold less
        self.plateau = PlateauState(**values["plateau"])


@dataclasses.dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint on disk.

    Attributes:
        path: its directory.
        step: after which it was written.
        error, top5_error: top-1 and top-5 error of the validation at that step, fractions; None
            without a validation.
        examples: of that validation, or None.
    """

    path: pathlib.Path
    step: int
    error: float | None
    top5_error: float | None = None
    examples: int | None = None

    def read(self, checkpoint: tf.train.Checkpoint) -> tf.train.experimental.CheckpointLoadStatus:
        """Restores objects from it; the result says which were found."""
        with tensorflow_path(self.path) as folder:
            return checkpoint.read(os.path.join(folder, _VARIABLES))

    @property
    def revision(self) -> int:
        """Number among the checkpoints of the same step, from 1."""
        return _number(self.path)[1]


class CheckpointStore:
    """The checkpoints of a run.

    Args:
        path: the directory.

    Attributes:
        copies: name and contents of small files to keep in each checkpoint.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.copies: dict[str, bytes] = {}

    def save(
        self,
        checkpoint: tf.train.Checkpoint,
        step: int,
        evaluation: Evaluation | None,
        keep: int,
    ) -> None:
        """Writes a checkpoint, then deletes all but the newest and the best.

        Args:
            checkpoint: the objects to write.
            step: the last step done.
            evaluation: on the validation set at that step, or None.
            keep: how many of the newest to keep, besides the one with the lowest error.

        Raises:
            UserError: the disk is full, or cannot be written; earlier checkpoints are kept.
        """
        name = f"{step:08d}"
        earlier = [_number(path)[1] for path in self._directories() if _number(path)[0] == step]
        if earlier:  # it was written before the validation of that step
            name = f"{name}-{max(earlier) + 1}"
        partial = self.path / f"{name}{PARTIAL}"
        try:
            make_directory(self.path)
            _discard(partial)
            partial.mkdir()
            with tensorflow_path(partial) as folder:
                checkpoint.write(os.path.join(folder, _VARIABLES))
            for file, content in self.copies.items():
                (partial / file).write_bytes(content)
            write_manifest(partial, {"step": step, **_validation(evaluation)})
            atomic_rename(partial, self.path / name)
            self._delete_old(keep)
        except (OSError, tf.errors.OpError) as problem:
            with contextlib.suppress(OSError):
                _discard(partial)
            newest = max((path.name for path in self._directories()), default="none")
            raise UserError(
                f"Cannot write a checkpoint into {self.path}: {reason_of(problem)}. The newest one "
                f"there is {newest}. Free some space or repair the disk, and start again."
            ) from None

    @property
    def exists(self) -> bool:
        """Whether there is any checkpoint, damaged or not."""
        return bool(self._directories()) or bool(self._entries(_DAMAGED))

    def newest(self, set_aside: bool = False) -> SavedCheckpoint | None:
        """The newest undamaged checkpoint; None if none was ever written.

        Damaged ones that are newer are named on standard output.

        Args:
            set_aside: whether to rename those, so that they are not read again.

        Raises:
            UserError: there are checkpoints, but all are damaged.
        """
        damaged = [path.name for path in self._entries(_DAMAGED)]
        for path in reversed(self._directories()):
            try:
                return _verified(path)
            except DamagedError as problem:
                damaged.append(path.name)
                print(f"Skipping damaged checkpoint: {path} ({problem})", flush=True)
            if set_aside:
                aside = path.with_name(path.name + _DAMAGED)
                with contextlib.suppress(OSError):  # a full disk: it is skipped again next time
                    _discard(aside)
                    path.rename(aside)
        if damaged:
            raise UserError(
                f"All checkpoints in {self.path} are damaged ({', '.join(damaged)}). Choose "
                "another --model_dir, or delete them to train from the beginning."
            )
        return None

    def find(self, step: int, revision: int) -> SavedCheckpoint:
        """A given checkpoint, which worker 0 has found undamaged.

        Raises:
            UserError: it is missing or damaged here.
        """
        name = f"{step:08d}" if revision == 1 else f"{step:08d}-{revision}"
        try:
            return _verified(self.path / name)
        except DamagedError as problem:
            raise UserError(
                f"Worker 0 resumes from checkpoint {name}, which this worker cannot read in "
                f"{self.path} ({problem}). All workers have to share --model_dir."
            ) from None

    def best(self) -> SavedCheckpoint | None:
        """The undamaged checkpoint with the lowest validation error, or None."""
        for saved in sorted(self._saved(), key=_error):
            if saved.error is not None:
                try:
                    return _verified(saved.path)
                except DamagedError as problem:
                    print(f"Skipping damaged checkpoint: {saved.path} ({problem})", flush=True)
        return None

    def copy_of(self, name: str) -> pathlib.Path | None:
        """A file of `copies` in the newest checkpoint that has it undamaged, or None."""
        for path in reversed(self._directories()):
            with contextlib.suppress(DamagedError):
                Manifest(path, _FACTS).check(name)
                return path / name
        return None

    def _directories(self) -> list[pathlib.Path]:
        """Oldest first."""
        return sorted(self._entries(""), key=_number)

    def _entries(self, suffix: str) -> list[pathlib.Path]:
        """Entries with the name of a checkpoint and this suffix."""
        try:
            entries = list(self.path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error.strerror}") from None
        return [
            path
            for path in entries
            if path.name.endswith(suffix)
            and _NAME.fullmatch(path.name.removesuffix(suffix))
            and _is_checkpoint(path)
        ]

    def _saved(self) -> list[SavedCheckpoint]:
        """The checkpoints with a manifest, oldest first; other files are not checked."""
        every = []
        for path in self._directories():
            with contextlib.suppress(DamagedError):
                every.append(_saved(path, Manifest(path, _FACTS)))
        return every

    def _delete_old(self, keep: int) -> None:
        every = self._saved()
        best = min(every, key=_error)
        for saved in every[:-keep]:
            if saved is not best or saved.error is None:
                # Renamed first, so that a kill leaves no incomplete one under a good name.
                partial = saved.path.with_name(saved.path.name + PARTIAL)
                _discard(partial)
                saved.path.rename(partial)
        for suffix in (PARTIAL, _DAMAGED):
            for path in self._entries(suffix):
                _discard(path)


class Checkpointer:
    """Saves model, optimizer, random states and `TrainState` together, and restores them.

    Args:
        options: of the run.
        network: to save.
        state: of the run.
        store: of the checkpoints.
        sync: of the workers; worker 0 writes.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        options: Options,
        network: TrainableNetwork,
        state: TrainState,
        store: CheckpointStore,
        sync: WorkerSync,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._options, self._network, self._state = options, network, state
        self._store, self._sync, self._clock = store, sync, clock
        saved = network.checkpointed
        frozen = {id(variable) for variable in saved.model.non_trainable_weights}
        self._checkpoint = tf.train.Checkpoint(
            model=saved.model,
            optimizer=saved.optimizer,
            state=state,
            # The states of dropout: Keras does not show them to TensorFlow's checkpoints.
            seeds=[v.value for v in saved.model.non_trainable_variables if id(v) not in frozen],
        )
        self._saved_at = clock()

    @property
    def due(self) -> bool:
        """Whether the last checkpoint is `--save_minutes` old."""
        return self._clock() - self._saved_at >= 60 * self._options.save_minutes

    def save(self, evaluation: Evaluation | None = None) -> None:
        """Saves, on worker 0.

        Args:
            evaluation: on the validation set at this step, if there was one.

        Raises:
            UserError: the disk is full, or cannot be written.
        """
        if self._sync.is_chief:
            self._network.copy_to_checkpointed()
            keep = self._options.keep_checkpoints
            self._store.save(self._checkpoint, self._state.step, evaluation, keep)
        self._saved_at = self._clock()

    def restore(self) -> bool:
        """Restores the newest undamaged checkpoint; False if there is none.

        Raises:
            UserError: it is of another model or optimizer, or this worker cannot read it.
        """
        saved = self._choose()
        if saved is None:
            return False
        try:
            saved.read(self._checkpoint).assert_consumed()
        except (AssertionError, ValueError, IndexError, tf.errors.OpError) as error:
            raise UserError(
                f"The checkpoint {saved.path} belongs to another model or optimizer "
                f"({first_line(error)}). Choose another --model_dir."
            ) from None
        self._network.copy_from_checkpointed()
        return True

    def _choose(self) -> SavedCheckpoint | None:
        """The newest one as worker 0 sees it; others may see an older state of a shared disk."""
        if not self._sync.is_chief:
            step, revision = (int(self._sync.sum(0)) for _ in range(2))
            return self._store.find(step, revision) if revision else None
        saved = self._store.newest(set_aside=True)
        for number in (saved.step, saved.revision) if saved else (0, 0):
            self._sync.sum(number)
        return saved


def _validation(evaluation: Evaluation | None) -> dict[str, float | int | None]:
    """The part of a validation that the manifest holds."""
    if evaluation is None:
        return {"error": None}
    return {
        "error": evaluation.top1_error,
        "top5_error": evaluation.top5_error,
        "examples": evaluation.examples,
    }


def _is_checkpoint(path: pathlib.Path) -> bool:
    """Whether a directory holds nothing else than files of a checkpoint; true for any link.

    20240101 may be somebody's photographs.
    """
    if path.is_symlink():
        return True
    try:
        names = os.listdir(path)
    except NotADirectoryError:
        return False
    except OSError:
        return True
    return all(name.startswith((_VARIABLES, *_OTHER_FILES)) for name in names)


def _discard(path: pathlib.Path) -> None:
    """Deletes a checkpoint, or a link to one, and nothing else."""
    if _is_checkpoint(path):
        remove(path)


def _verified(path: pathlib.Path) -> SavedCheckpoint:
    """A checkpoint of which every file was read.

    Raises:
        DamagedError: a file is missing or has changed.
    """
    manifest = Manifest(path, _FACTS)
    manifest.verify(f"{_VARIABLES}.index", f"{_VARIABLES}.")
    return _saved(path, manifest)


def _saved(path: pathlib.Path, manifest: Manifest) -> SavedCheckpoint:
    """The checkpoint that a manifest describes."""
    fields = {field.name for field in dataclasses.fields(SavedCheckpoint)} - {"path"}
    facts = {name: manifest.facts.get(name) for name in fields}
    if facts["step"] != _number(path)[0]:
        raise DamagedError(f"it says that it is of step {facts['step']}")
    return SavedCheckpoint(path, **facts)


def _number(path: pathlib.Path) -> tuple[int, int]:
    """Step and revision of a checkpoint."""
    step, revision = _NAME.fullmatch(path.name).groups()
    return int(step), int(revision or 1)


def _error(saved: SavedCheckpoint) -> float:
    return math.inf if saved.error is None else saved.error
