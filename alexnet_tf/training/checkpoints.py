"""Checkpoints that are complete or absent.

checkpoints/00001234/       after step 1,234
    variables.*             TensorFlow's: weights, velocities, random states, the state of the run
    manifest.json           step, validation errors, and a SHA-256 checksum of every other file
checkpoints/*.partial/      being written, or left behind by a kill
checkpoints/*.damaged/      did not match its manifest; deleted when the next one is written

A checkpoint is written under another name, with its manifest last, forced to disk and then
renamed: the newest one without a suffix is always complete. If a file changes later, its checksum
does not match, and the checkpoint before is used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import pathlib
import re
import shutil
import time
from collections.abc import Callable

import tensorflow as tf

from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.system.errors import UserError, first_line
from alexnet_tf.system.files import atomic_rename, file_sha256, fsync_path, reason_of
from alexnet_tf.training.distributed import WorkerSync
from alexnet_tf.training.network import TrainableNetwork
from alexnet_tf.training.options import Options
from alexnet_tf.training.schedule import PlateauState

_NAME = re.compile(r"(\d{8})(?:-(\d+))?")  # step, and its revision if there are several
_PARTIAL, _DAMAGED = ".partial", ".damaged"
_MANIFEST = "manifest.json"
# Attributes of `TrainState` and their names in a checkpoint.
_FIELDS = {
    **{"step": "step", "cut": "cut", "validated_step": "validated_step", "ended": "ended"},
    **{"lr_halvings": "halvings", "lr_factor": "factor"},
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
        """Takes over the result of `serialize`."""
        values = json.loads(string_value)
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

    @property
    def prefix(self) -> str:
        """The path that TensorFlow reads."""
        return str(self.path / "variables")

    @property
    def revision(self) -> int:
        """Number among the checkpoints of the same step, from 1."""
        return _number(self.path)[1]


class CheckpointStore:
    """The checkpoints of a run.

    Args:
        path: the directory.
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
        partial = self.path / f"{name}{_PARTIAL}"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            checkpoint.write(str(partial / "variables"))
            write_manifest(partial, {"step": step, **_validation(evaluation)})
            atomic_rename(partial, self.path / name)
            self._delete_old(keep)
        except (OSError, tf.errors.OpError) as problem:
            shutil.rmtree(partial, ignore_errors=True)
            newest = max((path.name for path in self._directories()), default="none")
            raise UserError(
                f"Cannot write a checkpoint into {self.path}: {reason_of(problem)}. The newest one "
                f"there is {newest}. Free some space or repair the disk, and start again."
            ) from None

    @property
    def exists(self) -> bool:
        """Whether there is any checkpoint, damaged or not."""
        return bool(self._directories()) or any(self.path.glob(f"*{_DAMAGED}"))

    def newest(self, set_aside: bool = False) -> SavedCheckpoint | None:
        """The newest undamaged checkpoint; None if none was ever written.

        Damaged ones that are newer are named on standard output.

        Args:
            set_aside: whether to rename those, so that they are not read again.

        Raises:
            UserError: there are checkpoints, but all are damaged.
        """
        damaged = [path.name for path in self.path.glob(f"*{_DAMAGED}")]
        for path in reversed(self._directories()):
            try:
                return SavedCheckpoint(path, **verify(path))
            except DamagedError as problem:
                damaged.append(path.name)
                print(f"Skipping damaged checkpoint: {path} ({problem})", flush=True)
            if set_aside:
                aside = path.with_name(path.name + _DAMAGED)
                shutil.rmtree(aside, ignore_errors=True)
                with contextlib.suppress(OSError):  # a full disk: it is skipped again next time
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
            return SavedCheckpoint(self.path / name, **verify(self.path / name))
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
                    return SavedCheckpoint(saved.path, **verify(saved.path))
                except DamagedError as problem:
                    print(f"Skipping damaged checkpoint: {saved.path} ({problem})", flush=True)
        return None

    def _directories(self) -> list[pathlib.Path]:
        """Oldest first."""
        if not self.path.is_dir():
            return []
        return sorted((p for p in self.path.iterdir() if _NAME.fullmatch(p.name)), key=_number)

    def _saved(self) -> list[SavedCheckpoint]:
        """The checkpoints with a manifest, oldest first; other files are not checked."""
        every = []
        for path in self._directories():
            with contextlib.suppress(DamagedError):
                every.append(SavedCheckpoint(path, **_read_manifest(path)["facts"]))
        return every

    def _delete_old(self, keep: int) -> None:
        every = self._saved()
        best = min(every, key=_error)
        for saved in every[:-keep]:
            if saved is not best or saved.error is None:
                # Renamed first, so that a kill leaves no incomplete one under a good name.
                saved.path.rename(saved.path.with_name(saved.path.name + _PARTIAL))
        for suffix in (_PARTIAL, _DAMAGED):
            for path in self.path.glob(f"*{suffix}"):
                shutil.rmtree(path, ignore_errors=True)


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
        self._checkpoint = tf.train.Checkpoint(
            model=saved.model,
            optimizer=saved.optimizer,
            state=state,
            # The states of dropout: Keras does not show them to TensorFlow's checkpoints.
            seeds=[variable.value for variable in saved.model.non_trainable_variables],
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
            self._checkpoint.read(saved.prefix).assert_consumed()
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


def _number(path: pathlib.Path) -> tuple[int, int]:
    """Step and revision of a checkpoint."""
    step, revision = _NAME.fullmatch(path.name).groups()
    return int(step), int(revision or 1)


def _error(saved: SavedCheckpoint) -> float:
    return math.inf if saved.error is None else saved.error


class DamagedError(Exception):
    """A file of a directory is missing or has changed since it was written."""


def write_manifest(directory: pathlib.Path, facts: dict) -> None:
    """Writes `manifest.json` with the checksums of all files, and forces everything to disk.

    Args:
        directory: without folders in it.
        facts: JSON values to store with the checksums.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    files = {path.name: _checksum(path) for path in sorted(directory.iterdir())}
    content = json.dumps({"facts": facts, "files": files}, indent=1)
    # The first line is the checksum of the manifest itself.
    (directory / _MANIFEST).write_text(f"{hashlib.sha256(content.encode()).hexdigest()}\n{content}")
    for path in (*directory.iterdir(), directory):
        fsync_path(path)


def verify(directory: pathlib.Path) -> dict:
    """Reads every file and compares checksums; returns the `facts` of `write_manifest`.

    Raises:
        DamagedError: a file is missing or has changed.
    """
    values = _read_manifest(directory)
    for name, expected in values["files"].items():
        try:
            same = _checksum(directory / name) == expected
        except OSError as error:
            raise DamagedError(f"{name}: {error.strerror}") from None
        if not same:
            raise DamagedError(f"{name} has changed since it was written")
    return values["facts"]


def _read_manifest(directory: pathlib.Path) -> dict:
    try:
        digest, _, content = (directory / _MANIFEST).read_text().partition("\n")
    except OSError as error:
        raise DamagedError(f"{_MANIFEST}: {error.strerror}") from None
    except UnicodeDecodeError:
        digest = content = ""
    if hashlib.sha256(content.encode()).hexdigest() != digest:
        raise DamagedError(f"{_MANIFEST} has changed since it was written")
    return json.loads(content)


def _checksum(path: pathlib.Path) -> dict[str, int | str]:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
