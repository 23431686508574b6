"""A model directory on disk: what a run leaves behind, and how to find it again.

model.json        the card: variant, classes, dataset, options of the run
statistics.npz    mean image and principal components of the training set
checkpoints/      weights, velocities, random states and the run's state (checkpoints.py)
tensorboard/      logs
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
from collections.abc import Iterator

import tensorflow as tf

from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.evaluation.classifier import Classifier, Ensemble
from alexnet_tf.models.build import AlexNet
from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError, first_line
from alexnet_tf.system.files import locked
from alexnet_tf.training.checkpoints import CheckpointStore, Saved
from alexnet_tf.training.options import as_flag

# What must not change when a run goes on: of the card, and of the options in it. The place in
# the data is counted in batches of one shuffled order, hence the batch size and the seed; a loss
# scale is in a checkpoint or is not, hence the precision.
_FIXED = ("variant", "activation", "dataset", "classes")
_FIXED_OPTIONS = ("batch_size", "seed", "precision")
# Those, and options that say where a run is computed and kept, or how long it is: no word about
# them.
_FREE_OPTIONS = (
    *_FIXED,
    *("model_dir", "data_dir", "steps", "epochs", "cache", "strategy", "workers", "worker_index"),
    *(
        "worker_timeout",
        "tpu",
        "tower_devices",
        "logical_cpus",
        "accumulate",
        "steps_per_execution",
    ),
    *("stuck_after", "save_minutes", "keep_checkpoints", "profile", "export", "max_unreadable"),
)


@dataclasses.dataclass(frozen=True)
class RunMetadata:
    """What a model is, in words and numbers; `model.json`.

    Attributes:
        variant: name of the variant.
        activation: its nonlinearity.
        classes: names in label order.
        dataset, data_dir: what it was trained on.
        options: of the run, for the record.
        examples: of the training set.
    """

    variant: str
    activation: str
    classes: tuple[str, ...]
    dataset: str
    data_dir: str | None
    options: dict = dataclasses.field(default_factory=dict)
    examples: int | None = None

    def resolve_variant(self) -> Variant:
        """The row of the variant, with the run's activation."""
        return get_variant(self.variant, self.activation)


def _summary(classes: tuple[str, ...]) -> str:
    return f"{classes[0]}, ... ({len(classes)})"


class ModelDirectory:
    """Reads and writes a model directory.

    Args:
        path: of the directory.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path).expanduser()
        self.metadata_path = self.path / "model.json"
        self.statistics_path = self.path / "statistics.npz"
        self.checkpoints = CheckpointStore(self.path / "checkpoints")
        self.tensorboard = self.path / "tensorboard"
        self.saved_model = self.path / "saved_model"

    def check_possible(self) -> None:
        """Sees whether the directory can be written, and leaves nothing there.

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
                f"Expected --model_dir to be a directory that can be written. Received: "
                f"{self.path} ({error.strerror})"
            ) from None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Makes the directory if need be, and keeps other runs out of it.

        What was made for it is removed again if nothing has been put there.

        Raises:
            UserError: another run is at work there.
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

    def check_metadata(self, card: RunMetadata) -> bool:
        """Whether there is an earlier run here to go on with.

        Raises:
            UserError: there is one of another model or dataset.
        """
        if not self.metadata_path.exists():
            return False
        earlier = self.read_metadata()
        facts = {name: (getattr(earlier, name), getattr(card, name)) for name in _FIXED}
        if card.dataset == "folder":
            facts["--data_dir"] = (earlier.data_dir, card.data_dir)
        if earlier.examples is not None:
            facts["training images"] = (earlier.examples, card.examples)
        for name in _FIXED_OPTIONS:
            facts[f"--{name}"] = (earlier.options.get(name), card.options.get(name))
        for name, (before, now) in facts.items():
            if before != now:
                if name == "classes":
                    before, now = _summary(before), _summary(now)
                raise UserError(
                    f"Expected {self.path} to be new or a run with {name} {now}. Received: a run "
                    f"with {name} {before}; choose another --model_dir"
                )
        return True

    def changes(self, card: RunMetadata) -> list[str]:
        """What has changed since the card here, one line an option, of the options that may."""
        earlier = self.read_metadata().options
        now = json.loads(json.dumps(card.options))  # tuples are lists there
        return [
            f"--{name} {as_flag(earlier[name])} → {as_flag(value)}"
            for name, value in now.items()
            if name not in _FREE_OPTIONS and name in earlier and earlier[name] != value
        ]

    def write_metadata(self, card: RunMetadata) -> None:
        """Writes `model.json`, under another name first so that it is never half there."""
        partial = self.metadata_path.with_suffix(".partial")
        partial.write_text(json.dumps(dataclasses.asdict(card), indent=1) + "\n")
        os.replace(partial, self.metadata_path)

    def read_metadata(self) -> RunMetadata:
        """Reads `model.json`.

        Raises:
            UserError: missing or damaged.
        """
        try:
            values = json.loads(self.metadata_path.read_text())
            return RunMetadata(**{**values, "classes": tuple(values["classes"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"Expected --model_dir to be a directory that alexnet_tf.train wrote. Received: "
                f"{self.path} ({self.metadata_path.name}: "
                f"{getattr(error, 'strerror', None) or error})"
            ) from None

    def find_checkpoint(self, which: str = "newest") -> Saved:
        """A checkpoint to load, verified.

        Args:
            which: "newest", or "best" by validation error.

        Raises:
            UserError: there is none, or all are damaged.
        """
        store = self.checkpoints
        saved = store.best() if which == "best" else store.newest()
        if saved is None:
            kind = "validated checkpoint" if which == "best" else "checkpoint"
            raise UserError(f"Expected a {kind} in {store.path}. Received: none there")
        return saved

    def load(self, which: str = "newest") -> tuple[Classifier, RunMetadata, Saved]:
        """The trained classifier, its card and its checkpoint.

        Call it under a strategy's scope to have the weights there.

        Args:
            which: "newest", or "best" by validation error.

        Raises:
            UserError: something is missing or damaged.
        """
        card = self.read_metadata()
        saved = self.find_checkpoint(which)
        spec = card.resolve_variant()
        statistics = Statistics.load(str(self.statistics_path))
        model = AlexNet(spec, classes=len(card.classes))
        try:
            checkpoint = tf.train.Checkpoint(model=model)
            checkpoint.read(saved.prefix).expect_partial().assert_existing_objects_matched()
        except (ValueError, AssertionError, IndexError, tf.errors.OpError) as error:
            raise UserError(
                f"Expected a checkpoint of {card.variant}. Received: {saved.path} "
                f"({first_line(error)})"
            ) from None
        classifier = Classifier(model, Preprocessor(spec.preprocessing, statistics), card.classes)
        return classifier, card, saved


def load_classifier(
    paths: list[str], which: str = "newest"
) -> tuple[Classifier, list[RunMetadata], list[int]]:
    """One trained classifier, or several as one that averages their probabilities.

    Args:
        paths: of model directories.
        which: "newest", or "best" by validation error.

    Returns:
        The classifier, the cards of all, and their steps.

    Raises:
        UserError: one of them cannot be loaded, or they do not go together.
    """
    if not paths:
        raise UserError("Expected --model_dir to name a directory. Received: none")
    loaded = [ModelDirectory(path).load(which) for path in paths]
    classifiers, cards, saved = zip(*loaded, strict=True)
    classifier = classifiers[0] if len(loaded) == 1 else Ensemble(list(classifiers))
    return classifier, list(cards), [each.step for each in saved]
