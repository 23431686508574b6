"""The training loop: train to the next validation, validate, save, and so on to the end."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.cache import StoppedError
from alexnet_tf.data.contact_sheet import first_batch
from alexnet_tf.data.dataset import ImageDataset
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.evaluation.evaluator import Evaluator
from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system import determinism
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress
from alexnet_tf.system.signals import Interrupt
from alexnet_tf.training.callbacks import Callbacks
from alexnet_tf.training.checkpoints import Checkpointer, CheckpointStore, TrainState
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.distributed import WorkerSync, training_batches
from alexnet_tf.training.loss import make_loss
from alexnet_tf.training.monitor import (
    MAX_LR_HALVINGS,
    NonFiniteLoss,
    TrainingMonitor,
    check_finite,
)
from alexnet_tf.training.network import TrainableNetwork
from alexnet_tf.training.options import Options
from alexnet_tf.training.schedule import LearningRates, Schedule, TrainSchedule
from alexnet_tf.training.summary import summarize
from alexnet_tf.training.tensorboard import STEPS_BETWEEN_POINTS, Profiler, TensorBoardLogs
from alexnet_tf.training.train_step import (
    ExecutionLength,
    TrainSteps,
    make_train_steps,
)


@dataclasses.dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        directory: of the run.
        step: training steps done in all.
        trained: whether there was anything left to do.
        evaluation: on the validation set; None if the run was interrupted.
        classifier: the trained network.
        interrupted_by: the signal that stopped the run early, or None.
    """

    directory: ModelDirectory
    step: int
    trained: bool
    evaluation: Evaluation | None
    classifier: Classifier
    interrupted_by: signal.Signals | None


class Trainer:
    """Trains a network and validates, saves and logs on the way.

    Several workers run the same loop. Whatever one of them alone knows, a signal or the time that
    its steps take, they agree on through `sync`, which all must ask equally often.

    Args:
        options: of the run.
        dataset: training and validation sets.
        network: made for the classes of the dataset under the strategy of `sync`.
        directory: of the run.
        sync: of the workers; only worker 0 writes.
        callbacks: Keras's (callbacks.py).
        loss: in place of the cross-entropy (loss.py).
        schedule: from step to learning rate, in place of the options'.
        interrupt: says whether this process has received a signal.
        checkpoints: where to save; default: in the directory.
        make_steps: from network and preprocessor to the compiled step.
        make_batches: as `distributed.training_batches`.
        make_evaluator: from a classifier to its evaluator.
        clock: seconds, monotonic.

    Attributes:
        state: the state of the run, as the next checkpoint holds it.
        schedule: learning rates and validations.

    Raises:
        UserError: the options do not fit the dataset.
    """

    def __init__(
        self,
        options: Options,
        dataset: ImageDataset,
        network: TrainableNetwork,
        directory: ModelDirectory,
        sync: WorkerSync,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        *,
        loss: keras.losses.Loss | None = None,
        schedule: Schedule | None = None,
        interrupt: Interrupt | None = None,
        checkpoints: CheckpointStore | None = None,
        make_steps: Callable[[TrainableNetwork, Preprocessor], TrainSteps] | None = None,
        make_batches: Callable[..., Iterator] = training_batches,
        make_evaluator: Callable[[Classifier], Evaluator] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.options, self.dataset, self.network = options, dataset, network
        self.directory, self.sync, self.clock = directory, sync, clock
        self.variant = get_variant(options.variant, options.activation)
        self.state, self.loss = TrainState(), make_loss(options.label_smoothing, loss)
        self.schedule = TrainSchedule(options, dataset.train.examples, schedule)
        self.checkpoints = Checkpointer(
            options, network, self.state, checkpoints or directory.checkpoints, sync, clock
        )
        self.logs = TensorBoardLogs(
            directory.tensorboard,
            options.batch_size,
            network.checkpointed.model,
            self.variant.preprocessing.channels,
            network.layers,
            timed=not determinism.is_enabled(),
            enabled=sync.is_chief,
            clock=clock,
        )
        self.profiler = Profiler(options.profile, directory.tensorboard, sync.is_chief)
        stuck_after = 0 if loss else options.stuck_after  # its chance level is not known
        self.monitor = TrainingMonitor(len(dataset.classes), stuck_after, clock)
        self.execution = ExecutionLength(options.steps_per_execution, sync)
        self.callbacks = Callbacks(
            callbacks,
            network.checkpointed.model,
            network.checkpointed.optimizer,
            self.schedule,
        )
        self.decode_errors = {
            split.name: DecodeErrors(split, options.max_unreadable)
            for split in (dataset.train, dataset.validation)
        }
        self.evaluation: Evaluation | None = None
        self._interrupt = interrupt or Interrupt()
        self._make_steps = make_steps or self._compile_steps
        self._make_batches = make_batches
        self._make_evaluator = make_evaluator or self._evaluator_on_devices
        self._reset()

    def run(self, statistics: Statistics) -> Result:
        """Trains to the end or until a signal; either way everything is saved.

        Args:
            statistics: of the training set.

        Raises:
            UserError: the loss is not finite, too many images are unreadable, or the disk is full.
        """
        self.preprocessor = Preprocessor(self.variant.preprocessing, statistics)
        model = self.network.checkpointed.model
        self.classifier = Classifier(model, self.preprocessor, self.dataset.classes)
        self.evaluate = self._make_evaluator(self.classifier)
        self.train_steps = self._make_steps(self.network, self.preprocessor)
        stopped_by = None
        with self._interrupt, contextlib.ExitStack() as at_exit:  # also after an error
            for close in (self.logs.close, self.profiler.stop, self.callbacks.abandon):
                at_exit.callback(close)
            trained = self._train_and_validate()
            if self._stopped():
                stopped_by = self._interrupt.signal or signal.SIGTERM  # to another worker
                self.evaluation = None
                self.checkpoints.save()
                print(
                    f"Stopped by {stopped_by.name} after step {self.state.step:,} and saved. The "
                    "same command resumes the run.",
                    flush=True,
                )
        for name, errors in self.decode_errors.items():
            if len(errors):
                print(f"{name} images: {errors}", flush=True)
        return Result(
            self.directory, self.state.step, trained, self.evaluation, self.classifier, stopped_by
        )

    def _train_and_validate(self) -> bool:
        """The loop; False if the run was complete before."""
        state = self.state
        if not self._restore():
            self.network.copy_from_checkpointed()
        parts = (self.variant, self.network, self.dataset, self.schedule, self.preprocessor)
        print(summarize(*parts, self.sync.strategy), flush=True)
        self.logs.begin(state.step, self.options)
        self.callbacks.begin()
        while not self._stopped():
            try:
                if state.validated_step < state.step and self._validation_due():
                    self._validate()
                elif state.step < self.schedule.total_steps and not state.ended:
                    self._train_to_validation()
                else:
                    break
            except NonFiniteLoss as problem:
                self._go_back(problem)
        if self._stopped():
            return True
        trained = self.evaluation is not None
        if not trained:
            print("The run is complete: nothing to train.", flush=True)
        changed = self.sync.any(self.callbacks.end())
        if changed:
            print("A callback has changed the weights at the end: validated again", flush=True)
        if changed or not trained:
            self.evaluation = self._evaluate()
        if changed and self.evaluation is not None:
            self.checkpoints.save(self.evaluation)
        return trained

    def _train_to_validation(self) -> None:
        """Trains until a validation is due or a signal comes; saves on the way."""
        if self._batches is None:
            try:
                self._batches = self._open_batches()
            except StoppedError:
                self._stopped()  # the other workers, whose batches are ready, ask here too
                return
        self.logs.restart_clock()
        self.monitor.restart_clock()
        self._set_learning_rates()
        self.callbacks.epoch_begins(self.state.step)
        self._sync_lr_from_callbacks()
        done = self.schedule.images(self.state.step)
        with Progress("training", self.schedule.total_images, "images", done) as progress:
            while not self._stopped():
                self._execute(progress)
                if self._validation_due():
                    break
                if self.checkpoints.due:
                    self.checkpoints.save()

    def _execute(self, progress: Progress) -> None:
        """Makes the steps of one compiled call, and reports them."""
        state = self.state
        self._set_learning_rates()
        if message := self.profiler.before(state.step):
            progress.write(message)
        count = self._steps_to_next_event()
        self.callbacks.batch_begins(state.step)
        self._sync_lr_from_callbacks()
        learning_rate = self.network.learning_rate
        started = self.clock()
        with self.profiler.step(state.step):
            metrics = self.train_steps(self._batches, tf.constant(count))
            metrics = {name: value.numpy().tolist() for name, value in metrics.items()}
        steps = metrics["steps"]
        self.execution.record(steps, self.clock() - started)
        layers = self.network.layers
        check_finite(state.step + steps, learning_rate, metrics, layers, self._previous_loss)
        images = self.schedule.images(state.step + steps) - self.schedule.images(state.step)
        state.step, self._previous_loss = state.step + steps, metrics["loss"] / steps
        state.cut, metrics["images"] = self.schedule.cut_after(state.step), images
        self.logs.steps(state.step, metrics, learning_rate)
        self.callbacks.batch_ends(state.step, metrics)
        self._sync_lr_from_callbacks()
        epoch = self.schedule.epoch(state.step)
        progress.advance(images, f"epoch {epoch:.1f}, {self.logs.text}")
        for warning in self.monitor.observe(state.step, metrics):
            progress.write(warning)
        try:
            self.decode_errors[self.dataset.train.name].check()
        except UserError:  # the run can be resumed with a higher --max_unreadable
            self.checkpoints.save()
            raise

    def _validate(self) -> None:
        """Validates, updates the schedule, saves and logs."""
        state = self.state
        self.callbacks.validation_begins()
        evaluation = self._evaluate()
        if evaluation is None:  # stopped: the next start validates this step
            return
        learning_rate = self.network.learning_rate  # of the last step; the next may have another
        if not math.isfinite(evaluation.loss):
            raise NonFiniteLoss(
                f"the loss on the validation set after step {state.step:,} is not finite, at a "
                f"learning rate of {learning_rate:g}"
            )
        self.evaluation, state.validated_step = evaluation, state.step
        state.ended = self.schedule.observe(state, evaluation.top1_error)
        epoch = self.schedule.complete_epochs(state.step)
        print(f"epoch {epoch:g}, step {state.step:,}: {evaluation}", flush=True)
        self.callbacks.epoch_ends(state.step, evaluation, learning_rate)
        self._sync_lr_from_callbacks()
        state.ended |= self.callbacks.stop
        self.checkpoints.save(evaluation)  # before the logs, which may fail
        self.logs.validation(state.step, evaluation)

    def _evaluate(self) -> Evaluation | None:
        """The errors on the validation set; None if stopped."""
        split = self.dataset.validation
        self.network.copy_to_checkpointed()
        return self.evaluate(split, "validation", self._stopped, self.decode_errors[split.name])

    def _restore(self) -> bool:
        """Restores the newest undamaged checkpoint; False if there is none."""
        if not self.checkpoints.restore():
            return False
        self._reset()
        self.logs.restart_at(self.state.step)
        print(f"Resuming after step {self.state.step:,} of the run in {self.directory.path}")
        return True

    def _reset(self) -> None:
        """Forgets whatever belongs to another step than the restored one."""
        self.schedule.cut = self.state.cut
        self._batches: Iterator | None = None  # opened when training begins, then kept
        self._rates: LearningRates | None = None  # that were given to the optimizer
        self._previous_loss: float | None = None  # mean over the last call

    def _go_back(self, problem: NonFiniteLoss) -> None:
        """Resumes from the newest checkpoint at half the learning rate, or ends the run.

        Raises:
            UserError: the run ends, because it should or no checkpoint can help.
        """
        halvings = self.state.lr_halvings
        if self.options.on_divergence != "back":
            raise UserError(
                f"Training diverged: {problem}. Nothing of it was saved. Try a lower "
                "--learning_rate or, if few steps in many diverge, --on_divergence=back."
            )
        if halvings == MAX_LR_HALVINGS:
            raise UserError(
                f"Training diverged: {problem}. Nothing of it was saved. The learning rate was "
                f"halved {halvings} times: try another recipe."
            )
        if not self._restore():
            raise UserError(
                f"Training diverged before the first checkpoint: {problem}. Try a lower "
                "--learning_rate."
            )
        self.state.lr_halvings = halvings + 1
        print(
            f"Training diverged: {problem}\nThe learning rate is halved ({halvings + 1} of at "
            f"most {MAX_LR_HALVINGS} times)",
            flush=True,
        )

    def _stopped(self) -> bool:
        """Whether any worker has received a signal: all stop after the same step."""
        return self.sync.any(self._interrupt())

    def _validation_due(self) -> bool:
        return self.schedule.validation_due(self.state.step) or self.callbacks.stop

    def _steps_to_next_event(self) -> int:
        """Steps of the next call: up to the next one after which Python has something to do."""
        first, count, at_most = self.state.step, 1, self.execution.steps()
        rates = self.schedule.learning_rates(first, self.state)
        while (
            count < at_most
            and not self._event_after(first + count)
            and self.schedule.learning_rates(first + count, self.state) == rates
        ):
            count += 1
        return count

    def _event_after(self, step: int) -> bool:
        """Whether a validation, a point of a curve or a profile is due after `step` steps."""
        return (
            self.schedule.validation_due(step)
            or self.callbacks.stop
            or step % STEPS_BETWEEN_POINTS == 0
            or self.profiler.acts_at(step)
        )

    def _set_learning_rates(self) -> None:
        """Gives the optimizer the learning rates of the next step, if they have changed."""
        rates = self.schedule.learning_rates(self.state.step, self.state)
        if rates != self._rates:
            same = self._rates is not None and rates.multipliers == self._rates.multipliers
            self.network.set_learning_rates(rates, multipliers=not same)
            self._rates = rates

    def _sync_lr_from_callbacks(self) -> None:
        """Keeps a learning rate that callbacks have set, for later steps and later starts."""
        if not self.callbacks.present or self._rates is None:
            return
        found = self.network.learning_rate
        if found != np.float32(self._rates.learning_rate) and self._rates.scheduled:
            self.state.lr_factor = found / self._rates.scheduled
            # The optimizer has not got what the schedule has next, which may be due now.
            self._rates = dataclasses.replace(self._rates, learning_rate=found)

    def _open_batches(self) -> Iterator:
        """The batches from the next step on; the first one of a run is shown in the logs."""
        split = self.dataset.train

        def show(batches: tf.data.Dataset) -> None:
            """Draws the first batch of a run."""
            if self.state.step == 0 and self.sync.is_chief:
                self.logs.first_batch(first_batch(batches, self.preprocessor))

        return self._make_batches(
            self.sync.strategy,
            split,
            self.variant.preprocessing,
            self.options,
            start_step=self.state.step,
            cut=self.schedule.cut,
            end=self.schedule.end,
            decode_errors=self.decode_errors[split.name],
            directory=self.directory.path,
            show=show,
            stop=self._interrupt,  # not of all workers: the others may have no cache to fill
        )

    def _compile_steps(self, network: TrainableNetwork, preprocessor: Preprocessor) -> TrainSteps:
        options = self.options
        return make_train_steps(
            self.sync.strategy,
            network,
            preprocessor,
            options.batch_size,
            accumulate=options.accumulate,
            jit_compile=options.xla,
            timed=not determinism.is_enabled(),
            loss=self.loss,
        )

    def _evaluator_on_devices(self, classifier: Classifier) -> Evaluator:
        return Evaluator(classifier, self.sync.strategy, self.options.batch_size)
