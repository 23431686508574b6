"""The directory of a run on disk.

model.json        `RunMetadata`: variant, classes, dataset, options of the run
statistics.npz    mean image and principal components of the training set
checkpoints/      weights, velocities, random states, state of the run (checkpoints.py)
tensorboard/      logs (tensorboard.py)
saved_model/<n>/  for TensorFlow Serving
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator

import tensorflow as tf

from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.evaluation.classifier import Classifier, Ensemble
from alexnet_tf.models.build import build_model
from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError, first_line
from alexnet_tf.system.files import locked, reason_of, write_atomically
from alexnet_tf.training.checkpoints import CheckpointStore, SavedCheckpoint
from alexnet_tf.training.options import as_flag, with_current_names
from alexnet_tf.weights.arrays import WeightFile
from alexnet_tf.weights.network import arrays_of

# What must not change when a run is resumed: of the metadata, and of the options in it. The
# position in the data is counted in batches of one shuffled order, hence the batch size and the
# seed; a checkpoint has a loss scale or not, hence the precision.
_FIXED = ("variant", "activation", "dataset", "classes")
_FIXED_OPTIONS = ("batch_size", "seed", "precision")
# Options whose change is not printed: the fixed ones, and those that say where a run is computed
# and stored, or how long it is.
_UNREPORTED = (
    *_FIXED,
    *("model_dir", "data_dir", "steps", "epochs", "cache", "strategy", "workers", "worker_index"),
    *("worker_timeout", "tpu", "tower_devices", "logical_cpus", "accumulate"),
    *("steps_per_execution", "stuck_after", "save_minutes", "keep_checkpoints", "profile"),
    *("export", "max_unreadable"),
)


@dataclasses.dataclass(frozen=True)
class RunMetadata:
    """The contents of `model.json`.

    Attributes:
        variant: name of the variant.
        activation: its nonlinearity.
        classes: names in label order.
        dataset, data_dir: that it was trained on.
        options: of the run.
        examples: in the training set; None in runs of old versions.
    """

    variant: str
    activation: str
    classes: tuple[str, ...]
    dataset: str
    data_dir: str | None
    options: dict = dataclasses.field(default_factory=dict)
    examples: int | None = None

    def resolve_variant(self) -> Variant:
        """The variant with the run's activation."""
        return get_variant(self.variant, self.activation)


def _summary(classes: tuple[str, ...]) -> str:
    return f"{classes[0]}, ... ({len(classes)})"


class ModelDirectory:
    """The directory of a run, which is also that of its model.

    Args:
        path: need not exist yet.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path).expanduser()
        self.metadata_path = self.path / "model.json"
        self.statistics_path = self.path / "statistics.npz"
        self.checkpoints = CheckpointStore(self.path / "checkpoints")
        self.tensorboard = self.path / "tensorboard"
        self.saved_model = self.path / "saved_model"

    def check_writable(self) -> None:
        """Checks that the directory can be written, and leaves nothing there.

        Raises:
            UserError: it cannot.
        """
        nearest = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        try:
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
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self.path, "--model_dir"):
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
        try:
            resumes = self.matches(metadata)
        except UserError:
            if self.checkpoints.exists or self.saved_model.exists():
                raise
            resumes = False  # an earlier run ended before it saved anything
        if resumes:
            for change in self.changed_options(metadata):
                print(f"Changed since the last start: {change}")
        try:
            if not resumes or not self.statistics_path.exists():
                compute_statistics().save(str(self.statistics_path))
            self.write_metadata(metadata)
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.path}: {reason_of(error)}. Free some space or repair the "
                "disk, and start again."
            ) from None

    def matches(self, metadata: RunMetadata) -> bool:
        """Whether the directory holds a run that can be resumed with this metadata.

        Raises:
            UserError: it holds a run of another model or dataset.
        """
        if not self.metadata_path.exists():
            return False
        earlier = self.read_metadata()
        facts = {name: (getattr(earlier, name), getattr(metadata, name)) for name in _FIXED}
        if metadata.dataset == "folder":
            facts["--data_dir"] = (earlier.data_dir, metadata.data_dir)
        if earlier.examples is not None:
            facts["training images"] = (earlier.examples, metadata.examples)
        for name in _FIXED_OPTIONS:
            facts[f"--{name}"] = (earlier.options.get(name), metadata.options.get(name))
        for name, (before, now) in facts.items():
            if before != now:
                if name == "classes":
                    before, now = _summary(before), _summary(now)
                raise UserError(
                    f"{self.path} holds a run with {name} {before}, which cannot be resumed with "
                    f"{name} {now}. Choose another --model_dir."
                )
        return True

    def changed_options(self, metadata: RunMetadata) -> list[str]:
        """The options that differ from `model.json`, one line each, of those that may."""
        earlier = self.read_metadata().options
        now = json.loads(json.dumps(metadata.options))  # tuples are lists there
        return [
            f"--{name} {as_flag(earlier[name])} → {as_flag(value)}"
            for name, value in now.items()
            if name not in _UNREPORTED and name in earlier and earlier[name] != value
        ]

    def write_metadata(self, metadata: RunMetadata) -> None:
        """Writes `model.json`."""
        with write_atomically(self.metadata_path) as partial:
            partial.write_text(json.dumps(dataclasses.asdict(metadata), indent=1) + "\n")

    def read_metadata(self) -> RunMetadata:
        """Reads `model.json`; options have their present names.

        Raises:
            UserError: missing or damaged.
        """
        try:
            values = json.loads(self.metadata_path.read_text())
            changes = {"classes": tuple(values["classes"])}
            if "options" in values:
                changes["options"] = with_current_names(values["options"])
            return RunMetadata(**{**values, **changes})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
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
        statistics = Statistics.load(str(self.statistics_path))
        model = build_model(variant, len(metadata.classes))
        try:
            checkpoint = tf.train.Checkpoint(model=model)
            checkpoint.read(saved.prefix).expect_partial().assert_existing_objects_matched()
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
