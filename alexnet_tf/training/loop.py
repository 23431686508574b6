"""The loop: train to the next validation, validate, save, and again."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

from alexnet_tf.data.contact_sheet import first_batch
from alexnet_tf.data.split import Source
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.data.unreadable import Unreadable
from alexnet_tf.errors import UserError
from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.models.spec import Variant
from alexnet_tf.progress import Progress
from alexnet_tf.training.batches import training_batches
from alexnet_tf.training.callbacks import Callbacks
from alexnet_tf.training.checkpoints import RunState
from alexnet_tf.training.cluster import Cluster
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.divergence import Divergence, diagnose
from alexnet_tf.training.interrupt import Interrupt
from alexnet_tf.training.logs import STEPS_BETWEEN_POINTS, Logs, NoLogs
from alexnet_tf.training.opening import describe_run
from alexnet_tf.training.options import Options
from alexnet_tf.training.pace import Pace
from alexnet_tf.training.parts import make_parts
from alexnet_tf.training.profiler import Profiler
from alexnet_tf.training.result import Result
from alexnet_tf.training.saving import Saving
from alexnet_tf.training.strategies import Consensus
from alexnet_tf.training.timetable import Rates, Timetable
from alexnet_tf.training.watchdogs import Watchdogs


class Run:
    """One run: model, optimizer, data, logs and state, and the order of events.

    Args:
        options: the run's.
        variant: the network.
        source: training and validation sets.
        statistics: of the training set.
        directory: where to write.
        strategy: where to compute.
        cluster: the workers, of which this is one; only worker 0 writes.
        callbacks: Keras's, to be called on the way (callbacks.py).
    """

    def __init__(
        self,
        options: Options,
        variant: Variant,
        source: Source,
        statistics: Statistics,
        directory: ModelDirectory,
        strategy: tf.distribute.Strategy,
        cluster: Cluster,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ):
        self.cluster, self.consensus = cluster, Consensus(strategy, cluster)
        self.options, self.variant, self.source = options, variant, source
        self.directory, self.strategy = directory, strategy
        self.timetable = Timetable(options, variant, source.train.examples)
        self.parts = make_parts(options, variant, source.classes, statistics, strategy)
        self.state = RunState()
        self.saving = Saving(
            options,
            self.parts,
            self.state,
            directory.checkpoints,
            cluster.is_chief,
            self.consensus,
        )
        self.diverged = Divergence(options.on_divergence == "back", self.state, self._restore)
        self.logs = NoLogs()
        if cluster.is_chief:
            self.logs = Logs(
                directory,
                options.batch_size,
                self.parts.model,
                variant.preprocessing.channels,
                self.parts.layers,
                timed=not options.deterministic,
            )
        self.unreadable = {
            split.name: Unreadable(split, options.max_unreadable)
            for split in (source.train, source.validation)
        }
        self.profiler = Profiler(options.profile, directory.tensorboard, cluster.is_chief)
        self.watchdogs = Watchdogs(len(source.classes), options.stuck_after)
        self.pace = Pace(options.steps_per_call, self.consensus)
        self.callbacks = Callbacks(
            callbacks,
            self.parts.model,
            self.parts.optimizer,
            options.batch_size,
            self.timetable.total_steps,
            self.timetable.validation_steps,
        )
        self.evaluation: Evaluation | None = None
        self._rates: Rates | None = None  # those that the optimizer was last given
        self._loss: float | None = None  # mean over the last call's steps
        self._batches = None  # made when the first is needed, then kept for the whole run

    def __call__(self, interrupt: Interrupt) -> Result:
        """Trains to the end, or until the interrupt; either way everything is saved."""

        def stop() -> bool:  # a signal to one of the workers stops all, after the same step
            """Whether any worker has had a signal."""
            return self.consensus.any(interrupt())

        with contextlib.ExitStack() as at_the_end:  # also if something is raised; last one first
            for end in (self.logs.close, self.profiler.stop, self.callbacks.end):
                at_the_end.callback(end)
            nothing_to_do = self._work(stop)
            stopped_by = None
            if stop():
                stopped_by = interrupt.signal or signal.SIGTERM  # of another worker
                self.saving.save()
                print(
                    f"Stopped by {stopped_by.name} after step {self.state.step:,} and saved; the "
                    "same command goes on from there.",
                    flush=True,
                )
                self.evaluation = None
        for name, unreadable in self.unreadable.items():
            if len(unreadable):
                print(f"{name} images: {unreadable}", flush=True)
        return Result(
            self.directory,
            self.state.step,
            not nothing_to_do,
            self.evaluation,
            self.parts.classifier,
            stopped_by,
        )

    def _work(self, stop: Callable[[], bool]) -> bool:
        """Trains and validates by turns; True if that was done before."""
        if not self._restore():
            self.parts.scatter()
        opening = describe_run(self.options, self.variant, self.source, self.timetable, self.parts)
        print(opening, flush=True)
        self.logs.begin(self.state.step, self.options)
        self.callbacks.begin()
        while not stop():
            step = self.state.step
            if self.state.validated_step < step and self._validation_due(step):
                self._validate(stop)
            elif step < self.timetable.total_steps and not self.state.ended:
                self._train_to_validation(stop)
            else:
                break
        if stop() or self.evaluation is not None:
            return False
        print("The run is complete: nothing to train.", flush=True)
        self.evaluation = self._evaluate(stop)
        return True

    def _restore(self) -> bool:
        """Goes back to the newest whole checkpoint; False if there is none."""
        if not self.saving.restore():
            return False
        self._rates = self._loss = self._batches = None
        print(f"Going on after step {self.state.step:,} of the run in {self.directory.path}")
        return True

    def _make_batches(self) -> Iterator:
        """Those that are next; the first of a run is shown in the logs."""

        def show(batches: tf.data.Dataset) -> None:
            """Draws the first batch of a run."""
            if self.state.step == 0 and self.cluster.is_chief:
                picture = first_batch(batches, self.parts.classifier.preprocessor)
                self.logs.first_batch(picture)

        split = self.source.train
        return training_batches(
            self.strategy,
            split,
            self.variant.preprocessing,
            self.options,
            first_step=self.state.step,
            unreadable=self.unreadable[split.name],
            directory=self.directory.path,
            show=show,
        )

    def _validation_due(self, step: int) -> bool:
        return self.timetable.validation_due(step) or self.callbacks.stop

    def _train_to_validation(self, stop: Callable[[], bool]) -> None:
        """Trains until the next validation is due, something is not finite, or the interrupt."""
        state, images = self.state, self.options.batch_size
        if self._batches is None:
            self._batches = self._make_batches()
        self.logs.restart_clock()
        self.watchdogs.restart()
        self.callbacks.epoch_begins(state.step)
        with Progress(
            "training", self.timetable.total_steps * images, "images", state.step * images
        ) as progress:
            while not stop():
                if not self._train(progress) or self._validation_due(state.step):
                    break
                if self.saving.due:
                    self.saving.save()

    def _train(self, progress: Progress) -> bool:
        """Makes the steps of one call; False if that went wrong and the run was taken back."""
        state = self.state
        self._set_rates()
        if remark := self.profiler.before(state.step):
            progress.write(remark)
        count = self._steps_together()
        self.callbacks.batch_begins(state.step)
        rate = self.parts.rate
        started = time.monotonic()
        with self.profiler.step(state.step):
            sums = self.parts.train_steps(self._batches, tf.constant(count))
            sums = {name: value.numpy().tolist() for name, value in sums.items()}
        self.pace.measured(sums["steps"], time.monotonic() - started)
        last = state.step + sums["steps"]
        if diagnosis := diagnose(last, rate, sums, self.parts.layers, self._loss):
            progress.write(self.diverged(diagnosis))
            return False
        state.step, self._loss = last, sums["loss"] / sums["steps"]
        self.logs.steps(state.step, sums, rate)
        self.callbacks.batch_ends(state.step, sums)
        progress.advance(
            sums["steps"] * self.options.batch_size,
            f"epoch {self.timetable.epoch(state.step):.1f}, {self.logs.text}",
        )
        for message in self.watchdogs.observe(state.step, sums):
            progress.write(message)
        try:
            self.unreadable[self.source.train.name].check()
        except UserError:  # so that another --max_unreadable need not begin again
            self.saving.save()
            raise
        return True

    def _steps_together(self) -> int:
        """How many steps to make in one call: up to the next at which the host has to act."""
        first, count, at_most = self.state.step, 1, self.pace.steps()
        now = self.timetable.rates(first, self.state)
        while (
            count < at_most
            and not self._validation_due(first + count)
            and (first + count) % STEPS_BETWEEN_POINTS
            and self.timetable.rates(first + count, self.state) == now
            and not self.profiler.acts_at(first + count)
        ):
            count += 1
        return count

    def _set_rates(self) -> None:
        """Tells the optimizer the rates of the next step, if they are others than before."""
        rates = self.timetable.rates(self.state.step, self.state)
        if rates != self._rates:
            self.parts.set_rates(rates)
            self._rates = rates

    def _evaluate(self, stop: Callable[[], bool]) -> Evaluation | None:
        self.parts.gather()
        split = self.source.validation
        return self.parts.evaluator(split, "validation", stop, self.unreadable[split.name])

    def _validate(self, stop: Callable[[], bool]) -> None:
        """Validates, tells the schedule, saves and logs."""
        self.callbacks.validation_begins()
        evaluation = self._evaluate(stop)
        if evaluation is None:  # interrupted: `validated_step` stays, the next start does it again
            return
        state, timetable, rate = self.state, self.timetable, self.parts.rate
        if not math.isfinite(evaluation.loss):
            found = f"the validation's loss after step {state.step:,} is not finite"
            print(self.diverged(f"{found}, at a rate of {rate:g}"), flush=True)
            return
        self.evaluation, state.validated_step = evaluation, state.step
        state.ended = timetable.schedule.observe(state.plateau, evaluation.top1_error)
        print(
            f"epoch {timetable.epoch(state.step):g}, step {state.step:,}: {evaluation}", flush=True
        )
        self.callbacks.epoch_ends(state.step, evaluation, rate)
        state.ended |= self.callbacks.stop
        self.saving.save(evaluation.top1_error)
        self.logs.validation(state.step, evaluation)
