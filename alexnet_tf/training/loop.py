"""The loop: train to the next validation, validate, save, and again."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Iterator

import keras
import tensorflow as tf

from alexnet_tf.classifier import Classifier
from alexnet_tf.data.pipeline import training_dataset
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.split import Source
from alexnet_tf.data.squares import make_squares
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.data.unreadable import Unreadable
from alexnet_tf.errors import UserError
from alexnet_tf.evaluation import Evaluation, Evaluator
from alexnet_tf.models.build import AlexNet
from alexnet_tf.models.spec import Variant
from alexnet_tf.progress import Progress
from alexnet_tf.training.checkpoints import ModelDirectory, RunState, make_manager
from alexnet_tf.training.interrupt import Interrupt
from alexnet_tf.training.logs import Logs
from alexnet_tf.training.options import PRECISIONS, Options
from alexnet_tf.training.schedules import AtEpochs, OnPlateau, parse_freezes
from alexnet_tf.training.sgd import PaperSGD
from alexnet_tf.training.steps import make_train_step

_POLICIES = dict(zip(PRECISIONS, ("float32", "mixed_bfloat16", "mixed_float16"), strict=True))


@dataclasses.dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        directory: where it lies.
        step: training steps done in all.
        trained: whether there was anything left to do.
        evaluation: on the validation set; None if the run was interrupted.
        classifier: the trained network.
        interrupted_by: the signal that ended it before its time, or None.
    """

    directory: ModelDirectory
    step: int
    trained: bool
    evaluation: Evaluation | None
    classifier: Classifier
    interrupted_by: signal.Signals | None


class Run:
    """One run: model, optimizer, data, logs and state, and the order of events.

    Args:
        options: the run's.
        variant: the network.
        source: training and validation sets.
        statistics: of the training set.
        directory: where to write.
        strategy: where to compute.
    """

    def __init__(
        self,
        options: Options,
        variant: Variant,
        source: Source,
        statistics: Statistics,
        directory: ModelDirectory,
        strategy: tf.distribute.Strategy,
    ):
        self.options, self.variant, self.source = options, variant, source
        self.directory, self.strategy = directory, strategy
        self.batches_per_epoch = source.train.examples / options.batch_size
        self.total_steps = options.steps or round(options.epochs * self.batches_per_epoch)
        if self.total_steps < 1:
            raise UserError(f"Expected at least one step. Received: --epochs={options.epochs:g}")
        self.validation_steps = max(1, round(options.validate_every * self.batches_per_epoch))
        self.schedule = (
            OnPlateau(options.plateau_patience, options.plateau_reductions)
            if options.plateau_patience
            else AtEpochs(options.decay_epochs)
        )
        keras.utils.set_random_seed(options.seed)
        preprocessor = Preprocessor(variant.preprocessing, statistics)
        with strategy.scope(), _dtype_policy(_POLICIES[options.precision]):
            self.model = AlexNet(variant, classes=len(source.classes))
            self.sgd, self.optimizer = make_optimizer(options, self.model)
        self.freezes = parse_freezes(options.freeze, variant)
        self.classifier = Classifier(self.model, preprocessor, source.classes)
        self.evaluator = Evaluator(self.classifier, strategy, options.batch_size)
        self.train_step = make_train_step(
            strategy, self.model, self.optimizer, preprocessor, options.batch_size, options.xla
        )
        self.state = RunState()
        self.manager = make_manager(
            directory, self.model, self.optimizer, self.state, options.keep_checkpoints
        )
        self.logs = Logs(directory, options.batch_size)
        self.unreadable = {
            split.name: Unreadable(split, options.max_unreadable)
            for split in (source.train, source.validation)
        }
        self.evaluation: Evaluation | None = None
        self._rate: float | None = None  # the rate that the optimizer was last given
        self._frozen: list[str] | None = None  # the layers that it was last told to freeze
        self._batches = None  # made when the first is needed, then kept for the whole run

    def __call__(self, interrupt: Interrupt) -> Result:
        """Trains to the end, or until the interrupt; either way everything is saved."""
        self._restore()
        complete = False
        print(self._description(), flush=True)
        while not interrupt():
            if self.state.validated_step < self.state.step and self._validation_due():
                self._validate(interrupt)
            elif self.state.step < self.total_steps and not self.state.ended:
                self._train_to_validation(interrupt)
            else:
                break
        if not interrupt() and self.evaluation is None:  # the run was complete before
            complete = True
            print("The run is complete: nothing to train.", flush=True)
            self.evaluation = self._evaluate(interrupt)
        if interrupt():
            self._save()
            print(
                f"Stopped by {interrupt.signal.name} after step {self.state.step:,} and saved; the "
                "same command goes on from there.",
                flush=True,
            )
            self.evaluation = None
        self.logs.close()
        for name, unreadable in self.unreadable.items():
            if len(unreadable):
                print(f"{name} images: {unreadable}", flush=True)
        return Result(
            self.directory,
            self.state.step,
            not complete,
            self.evaluation,
            self.classifier,
            interrupt.signal,
        )

    def _restore(self) -> None:
        latest = self.directory.find_checkpoint()
        if latest is None:
            return
        try:
            self.manager.checkpoint.restore(latest).assert_consumed()
        except (AssertionError, ValueError, IndexError, tf.errors.OpError) as error:
            first_line = str(error).strip().splitlines()[0]
            raise UserError(
                f"Expected a checkpoint of this model and optimizer. Received: {latest} "
                f"({first_line}); choose another --model_dir, or name an older one in "
                f"{self.directory.checkpoints / 'checkpoint'}"
            ) from None
        print(f"Going on after step {self.state.step:,} of the run in {self.directory.path}")

    def _save(self) -> None:
        self.manager.save(self.state.step)

    def _description(self) -> str:
        devices = self.strategy.num_replicas_in_sync
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        return (
            f"AlexNet {self.variant.name}: {self.model.count_params():,} parameters, "
            f"{self.variant.preprocessing.crop_size} pixels, {self.options.precision}, "
            f"{devices} {kind}{'s' if devices > 1 else ''}\n"
            f"{self.source.name}: {self.source.train.examples:,} training and "
            f"{self.source.validation.examples:,} validation images of "
            f"{len(self.source.classes):,} classes\n"
            f"{self.total_steps:,} steps of {self.options.batch_size} images "
            f"({self.total_steps / self.batches_per_epoch:g} epochs)"
        )

    def _epoch(self) -> float:
        return self.state.step / self.batches_per_epoch

    def _validation_due(self) -> bool:
        step = self.state.step
        return step % self.validation_steps == 0 or step >= self.total_steps

    def _train_to_validation(self, interrupt: Interrupt) -> None:
        """Trains until the next validation is due, or the interrupt."""
        state, images = self.state, self.options.batch_size
        if self._batches is None:
            self._batches = iter(self._training_batches())
        self.logs.restart_clock()
        with Progress(
            "training", self.total_steps * images, "images", state.step * images
        ) as progress:
            while not interrupt():
                rate = self._prepare_step()
                metrics = self.train_step(self._batches)
                state.step += 1
                self.logs.step(state.step, metrics, rate)
                progress.advance(images, f"epoch {self._epoch():.1f}, {self.logs.text}")
                self.unreadable[self.source.train.name].check()
                if self._validation_due():
                    break
        self.logs.read(state.step)  # all of it, so that no loss that is not finite gets saved

    def _training_batches(self) -> tf.distribute.DistributedDataset:
        split, spec = self.source.train, self.variant.preprocessing
        unreadable, squares = self.unreadable[split.name], None
        if self.options.cache != "none":
            file = self.directory.path / "cache" / "train.npy"
            on_disk = self.options.cache == "disk"
            squares = make_squares(split, spec, unreadable, file if on_disk else None)
        dataset = training_dataset(
            split,
            spec,
            self.options.batch_size,
            self.options.seed,
            self.state.step,
            self.options.augment,
            unreadable,
            squares=squares,
        )
        return self.strategy.experimental_distribute_dataset(dataset)

    def _prepare_step(self) -> float:
        """Sets the learning rate, freezes layers whose epoch has come, returns the rate."""
        epoch = self._epoch()
        rate = self.options.learning_rate * self.schedule.rate_factor(self.state.plateau, epoch)
        if rate != self._rate:
            self.optimizer.learning_rate = self._rate = rate
        frozen = [layer for layer, start in self.freezes.items() if epoch >= start]
        if frozen != self._frozen:
            self.sgd.set_rate_multipliers(
                {"bias$": self.options.bias_rate, **{f"^{layer}/": 0.0 for layer in frozen}}
            )
            self._frozen = frozen
        return rate

    def _evaluate(self, interrupt: Interrupt) -> Evaluation | None:
        split = self.source.validation
        return self.evaluator(split, "validation", interrupt, self.unreadable[split.name])

    def _validate(self, interrupt: Interrupt) -> None:
        """Validates, tells the schedule, logs and saves."""
        evaluation = self._evaluate(interrupt)
        if evaluation is None:  # interrupted: `validated_step` stays, the next start does it again
            return
        self.evaluation, self.state.validated_step = evaluation, self.state.step
        self.state.ended = self.schedule.observe(self.state.plateau, evaluation.top1_error)
        print(f"epoch {self._epoch():g}, step {self.state.step:,}: {evaluation}", flush=True)
        self.logs.validation(self.state.step, evaluation)
        self._save()


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Layers made inside have this policy, and others of the process keep theirs."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def make_optimizer(
    options: Options, model: keras.Model
) -> tuple[PaperSGD, keras.optimizers.Optimizer]:
    """The paper's update as the options want it, and what wraps it for float16; both built."""
    sgd = PaperSGD(
        options.learning_rate,
        options.momentum,
        options.weight_decay,
        undecayed=None if options.decay_biases else "bias$",
    )
    optimizer = sgd
    if options.precision == "float16":  # small gradients would round to zero
        optimizer = keras.optimizers.LossScaleOptimizer(sgd)
    optimizer.build(model.trainable_variables)
    return sgd, optimizer
