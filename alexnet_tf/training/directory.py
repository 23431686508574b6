"""The directory of a run on disk.

model.json        `RunMetadata`: variant, classes, dataset, options of the run
statistics.npz    mean image and principal components of the training set
checkpoints/      weights, velocities, random states, state of the run (checkpoints.py)
tensorboard/      logs (tensorboard.py)
saved_model/<n>/  for TensorFlow Serving
model.keras       the network alone, for Keras
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator

import tensorflow as tf

from alexnet_tf.data import splits
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.evaluation.classifier import Classifier, Ensemble
from alexnet_tf.models.build import build_model
from alexnet_tf.system.errors import UserError, first_line
from alexnet_tf.system.files import (
    locked,
    make_directory,
    reason_of,
    write_atomically,
    writing_to,
)
from alexnet_tf.system.paths import local_path
from alexnet_tf.system.untrusted import read_bytes
from alexnet_tf.training.checkpoints import CheckpointStore, SavedCheckpoint
from alexnet_tf.training.metadata import RunMetadata, parse_metadata
from alexnet_tf.training.options import (
    as_flag,
    option_fields,
)
from alexnet_tf.weights.arrays import WeightFile
from alexnet_tf.weights.network import arrays_of

_MAX_CARD = 2**22  # bytes of model.json; 100,000 classes of ImageNet take 2 MB
# What must not change when a run is resumed: of the metadata, and of the options in it. The
# position in the data is counted in batches of one shuffled order, hence the batch size and the
# seed; a checkpoint has a loss scale or not, hence the precision, and velocities of the layers that
# are trained, hence --freeze.
_FIXED = ("variant", "activation", "dataset", "classes")
_FIXED_OPTIONS = (
    *("batch_size", "seed", "precision"),
    *("init_from", "init_checkpoint", "init_exclude", "freeze"),
)
# Options whose change is not printed: the fixed ones, and those that say where a run is computed
# and stored, or how long it is.
_UNREPORTED = (
    *_FIXED,
    *("model_dir", "data_dir", "steps", "epochs", "cache", "strategy", "workers", "worker_index"),
    *("worker_timeout", "tpu", "tower_devices", "logical_cpus", "accumulate"),
    *("steps_per_execution", "stuck_after", "save_minutes", "keep_checkpoints", "profile"),
    *("export", "max_unreadable", "validation_split"),
)


def _summary(classes: tuple[str, ...]) -> str:
    return f"{classes[0]}, ... ({len(classes)})"


class ModelDirectory:
    """The directory of a run, which is also that of its model.

    Args:
        path: need not exist yet.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = local_path(path, "--model_dir")
        self.metadata_path = self.path / "model.json"
        self.statistics_path = self.path / "statistics.npz"
        self.checkpoints = CheckpointStore(self.path / "checkpoints")
        self.tensorboard = self.path / "tensorboard"
        self.saved_model = self.path / "saved_model"
        self.keras_model = self.path / "model.keras"

    def check_writable(self) -> None:
        """Checks that the directory can be written, and leaves nothing there.

        Raises:
            UserError: it cannot.
        """
        try:
            nearest = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
            if not nearest.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, f"{nearest} is not a directory")
            tempfile.TemporaryFile(dir=nearest).close()
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.path} ({error.strerror}). Choose another --model_dir."
            ) from None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Makes the directory if needed, and keeps other runs out of it.

        If nothing is written there, it is removed again.

        Raises:
            UserError: another run is using it.
        """
        made = [path for path in (self.path, *self.path.parents) if not path.exists()]
        with writing_to(self.path):
            make_directory(self.path)
        try:
            with contextlib.ExitStack() as locks:
                locks.enter_context(locked(self.path, "--model_dir"))
                if self.checkpoints.path.is_symlink() and self.checkpoints.path.is_dir():
                    locks.enter_context(locked(self.checkpoints.path, "--model_dir"))
                yield
        finally:
            with contextlib.suppress(OSError):  # there is something in it
                for path in made:
                    path.rmdir()

    def begin(self, metadata: RunMetadata, compute_statistics: Callable[[], Statistics]) -> None:
        """Begins a run in the directory, or prepares to resume the one that is there.

        Changed options are printed.

        Args:
            metadata: of the run.
            compute_statistics: of the training set, where the directory has none yet.

        Raises:
            UserError: the directory holds another run, or cannot be written.
        """
        with self._writing():
            self._restore_copies()
        try:
            resumes = self.matches(metadata)
        except UserError:
            problem = self._problem(self.metadata_path)
            if problem and self.checkpoints.exists:
                raise UserError(
                    f"{self.metadata_path} {problem}, and no checkpoint has a copy. Delete it and "
                    "repeat the command of the run to go on, or choose another --model_dir."
                ) from None
            if self.checkpoints.exists or self.saved_model.exists():
                raise
            resumes = False  # an earlier run ended before it saved anything
        if resumes:
            for change in self.changed_options(metadata):
                print(f"Changed since the last start: {change}")
            if metadata.initial_weights is None:
                begun_with = self.read_metadata().initial_weights
                metadata = dataclasses.replace(metadata, initial_weights=begun_with)
        with self._writing():
            if not resumes or self._problem(self.statistics_path):
                compute_statistics().save(str(self.statistics_path))
            self.write_metadata(metadata)
            self.checkpoints.copies = {path.name: path.read_bytes() for path in self._copied}

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.path}: {reason_of(error)}. Free some space or repair the "
                "disk, and start again."
            ) from None

    @property
    def _copied(self) -> tuple[pathlib.Path, pathlib.Path]:
        """The files of which every checkpoint has a copy."""
        return self.metadata_path, self.statistics_path

    def _problem(self, path: pathlib.Path) -> str | None:
        """Why one of these files cannot be used, or None."""
        try:
            if path == self.metadata_path:
                parse_metadata(read_bytes(path, _MAX_CARD))
            else:
                Statistics.load(str(path))
        except (OSError, ValueError) as error:
            if not os.path.lexists(path):
                return "is missing"
            empty = path.is_file() and not path.stat().st_size
            return "is empty" if empty else f"is damaged ({first_line(error)})"
        return None

    def _usable(self, path: pathlib.Path) -> pathlib.Path:
        """One of these files; if it is lost or damaged, its copy in the newest checkpoint."""
        problem = self._problem(path)
        copy = self.checkpoints.copy_of(path.name) if problem else None
        if copy is None:
            return path
        print(f"{path} {problem}. Using the copy in {copy.parent}", file=sys.stderr, flush=True)
        return copy

    def _restore_copies(self) -> None:
        """Writes files that were lost or damaged again, from their copies in a checkpoint."""
        for path in self._copied:
            copy = self._usable(path)
            if copy != path:
                with write_atomically(path) as file:
                    file.write(copy.read_bytes())

    def matches(self, metadata: RunMetadata) -> bool:
        """Whether the directory holds a run that can be resumed with this metadata.

        Raises:
            UserError: it holds a run of another model or dataset.
        """
        if not self.metadata_path.exists():
            return False
        earlier = self.read_metadata()
        facts = {name: (getattr(earlier, name), getattr(metadata, name)) for name in _FIXED}
        before, now = earlier.data_digest, metadata.data_digest
        if before is not None and before == now:
            del facts["dataset"]  # the same data, perhaps in another place
        elif metadata.dataset == "folder":
            facts["--data_dir"] = (earlier.data_dir, metadata.data_dir)
        if earlier.examples is not None:
            facts["training images"] = (earlier.examples, metadata.examples)
        if before is not None:
            facts["training data of digest"] = (before[:12], now and now[:12])
        if earlier.validation_split != splits.EARLIER:
            facts["--validation_split"] = (earlier.validation_split, metadata.validation_split)
        for name in _FIXED_OPTIONS:
            default = option_fields()[name][0].default  # the version of an old run had no such one
            values = (each.options.get(name, default) for each in (earlier, metadata))
            facts[f"--{name}"] = tuple(map(as_flag, values))
        for name, (before, now) in facts.items():
            if before != now:
                if name == "classes":
                    before, now = _summary(before), _summary(now)
                raise UserError(
                    f"{self.path} holds a run with {name} {before}, which cannot be resumed with "
                    f"{name} {now}. Choose another --model_dir."
                )
        return True

    def validation_split(self) -> str | None:
        """The split that validates the run in the directory; None if there is no run.

        Raises:
            UserError: `model.json` is damaged.
        """
        if self.metadata_path.exists() and self.checkpoints.exists:
            return self.read_metadata().validation_split
        return None

    def changed_options(self, metadata: RunMetadata) -> list[str]:
        """The options that differ from `model.json`, one line each, of those that may."""
        earlier = self.read_metadata()
        before, now = earlier.options, json.loads(json.dumps(metadata.options))  # no tuples
        arguments = (earlier.arguments, metadata.arguments)
        return [
            f"--{name} {as_flag(before[name])} → {as_flag(value)}"
            for name, value in now.items()
            if name not in _UNREPORTED and name in before and before[name] != value
        ] + [
            f"{name} {' → '.join(each.get(name, 'none') for each in arguments)}"
            for name in sorted({*arguments[0], *arguments[1]})
            if arguments[0].get(name) != arguments[1].get(name)
        ]

    def write_metadata(self, metadata: RunMetadata) -> None:
        """Writes `model.json`, if it does not hold the same already."""
        content = f"{json.dumps(dataclasses.asdict(metadata), indent=1)}\n".encode()
        with contextlib.suppress(FileNotFoundError, UserError):
            if read_bytes(self.metadata_path) == content:
                return
        with write_atomically(self.metadata_path) as file:
            file.write(content)

    def read_metadata(self) -> RunMetadata:
        """Reads `model.json`, or its copy in a checkpoint; options have their present names.

        Raises:
            UserError: missing or damaged, and there is no copy.
        """
        try:
            return parse_metadata(read_bytes(self._usable(self.metadata_path), _MAX_CARD))
        except (OSError, ValueError) as error:
            raise UserError(
                f"Expected --model_dir to be a directory that alexnet_tf.train wrote. Received: "
                f"{self.path} ({self.metadata_path.name}: "
                f"{getattr(error, 'strerror', None) or error})"
            ) from None

    def find_checkpoint(self, which: str = "newest") -> SavedCheckpoint:
        """A checkpoint to load, with its checksums verified.

        Args:
            which: "newest", or "best" by validation error.

        Raises:
            UserError: there is none, or all are damaged.
        """
        store = self.checkpoints
        saved = store.best() if which == "best" else store.newest()
        if saved is None:
            kind = "validated checkpoint" if which == "best" else "checkpoint"
            raise UserError(f"There is no {kind} in {store.path}. Train the model first.")
        return saved

    def load(self, which: str = "newest") -> tuple[Classifier, RunMetadata, SavedCheckpoint]:
        """The trained classifier, its metadata and its checkpoint.

        Call it under a strategy's scope to have the weights there.

        Args:
            which: "newest", or "best" by validation error.

        Raises:
            UserError: something is missing or damaged.
        """
        metadata = self.read_metadata()
        saved = self.find_checkpoint(which)
        variant = metadata.resolve_variant()
        statistics = Statistics.load(str(self._usable(self.statistics_path)))
        model = build_model(variant, len(metadata.classes))
        try:
            checkpoint = tf.train.Checkpoint(model=model)
            saved.read(checkpoint).expect_partial().assert_existing_objects_matched()
        except (ValueError, AssertionError, IndexError, tf.errors.OpError) as error:
            raise UserError(
                f"Expected a checkpoint of {metadata.variant}. Received: {saved.path} "
                f"({first_line(error)})"
            ) from None
        preprocessor = Preprocessor(variant.preprocessing, statistics)
        return Classifier(model, preprocessor, metadata.classes), metadata, saved

    def read_weights(self, which: str = "best") -> WeightFile:
        """What the network of a run has learnt, by layer.

        Args:
            which: "best" by validation error (or the newest, if none was validated), or "newest".

        Raises:
            UserError: something is missing or damaged.
        """
        if which == "best" and self.checkpoints.best() is None:
            which = "newest"
        classifier, metadata, saved = self.load(which)
        return WeightFile(
            str(saved.path),
            "a checkpoint",
            arrays_of(classifier.model),
            (metadata.resolve_variant(),),
        )


def load_classifier(
    paths: list[str], which: str = "newest"
) -> tuple[Classifier, list[RunMetadata], list[int]]:
    """One trained classifier, or several as one that averages their probabilities.

    Args:
        paths: of model directories.
        which: "newest", or "best" by validation error.

    Returns:
        The classifier, and of each model its metadata and its step.

    Raises:
        UserError: one of them cannot be loaded, or their classes or image sizes differ.
    """
    if not paths:
        raise UserError("Expected --model_dir to name a directory. Received: none")
    loaded = [ModelDirectory(path).load(which) for path in paths]
    classifiers, metadata, saved = zip(*loaded, strict=True)
    classifier = classifiers[0] if len(loaded) == 1 else Ensemble(list(classifiers))
    return classifier, list(metadata), [each.step for each in saved]
