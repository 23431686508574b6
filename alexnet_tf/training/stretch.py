"""A stretch of training, from one validation to the next."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from alexnet_tf.data.cache import StoppedError
from alexnet_tf.data.contact_sheet import first_batch
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress
from alexnet_tf.training.batches import training_batches
from alexnet_tf.training.divergence import diagnose
from alexnet_tf.training.gear import Gear
from alexnet_tf.training.logs import STEPS_BETWEEN_POINTS
from alexnet_tf.training.pace import Pace
from alexnet_tf.training.timetable import Rates
from alexnet_tf.training.watchdogs import Watchdogs


class Stretch:
    """Makes steps, and sees to all that comes with them.

    Args:
        gear: of the run.
        diverged: is told what is not finite, takes the run back or raises, and returns what there
            is to say.
        interrupt: whether this process has had a signal; asked while a cache is made, where the
            workers have nothing to agree about yet.
    """

    def __init__(self, gear: Gear, diverged: Callable[[str], str], interrupt: Callable[[], bool]):
        self.gear, self.diverged, self.interrupt = gear, diverged, interrupt
        self.watchdogs = Watchdogs(len(gear.source.classes), gear.options.stuck_after)
        self.pace = Pace(gear.options.steps_per_execution, gear.consensus)
        self.forget()

    def forget(self) -> None:
        """To be called when the run's state has changed otherwise than by training."""
        self._batches: Iterator | None = None  # made when the first is needed, then kept
        self._rates: Rates | None = None  # those that the optimizer was last given
        self._loss: float | None = None  # mean over the last call's steps

    def __call__(self, stop: Callable[[], bool]) -> None:
        """Trains until a validation is due, something is not finite, or the interrupt."""
        gear, state, images = self.gear, self.gear.state, self.gear.options.batch_size
        if self._batches is None:
            try:
                self._batches = self._make_batches()
            except StoppedError:
                stop()  # as the others do, who have made theirs: all must ask equally often
                return
        gear.logs.restart_clock()
        self.watchdogs.restart()
        self._set_rates()
        gear.callbacks.epoch_begins(state.step)
        self.heed_callbacks()
        with Progress(
            "training", gear.timetable.total_steps * images, "images", state.step * images
        ) as progress:
            while not stop():
                if not self._make_steps(progress) or gear.validation_due(state.step):
                    break
                if gear.saving.due:
                    gear.saving.save()

    def _make_steps(self, progress: Progress) -> bool:
        """The steps of one call; false if they went wrong and the run was taken back."""
        gear, state = self.gear, self.gear.state
        self._set_rates()
        if remark := gear.profiler.before(state.step):
            progress.write(remark)
        count = self._steps_together()
        gear.callbacks.batch_begins(state.step)
        self.heed_callbacks()
        rate = gear.parts.rate
        started = time.monotonic()
        with gear.profiler.step(state.step):
            sums = gear.parts.train_steps(self._batches, tf.constant(count))
            sums = {name: value.numpy().tolist() for name, value in sums.items()}
        self.pace.measured(sums["steps"], time.monotonic() - started)
        last = state.step + sums["steps"]
        if diagnosis := diagnose(last, rate, sums, gear.parts.layers, self._loss):
            progress.write(self.diverged(diagnosis))
            return False
        state.step, self._loss = last, sums["loss"] / sums["steps"]
        gear.logs.steps(state.step, sums, rate)
        gear.callbacks.batch_ends(state.step, sums)
        self.heed_callbacks()
        progress.advance(
            sums["steps"] * gear.options.batch_size,
            f"epoch {gear.timetable.epoch(state.step):.1f}, {gear.logs.text}",
        )
        for message in self.watchdogs.observe(state.step, sums):
            progress.write(message)
        try:
            gear.unreadable[gear.source.train.name].check()
        except UserError:  # so that another --max_unreadable need not begin again
            gear.saving.save()
            raise
        return True

    def _steps_together(self) -> int:
        """How many steps to make in one call: up to the next at which the host has to act."""
        gear, first, count, at_most = self.gear, self.gear.state.step, 1, self.pace.steps()
        now = gear.timetable.rates(first, gear.state)
        while (
            count < at_most
            and not gear.validation_due(first + count)
            and (first + count) % STEPS_BETWEEN_POINTS
            and gear.timetable.rates(first + count, gear.state) == now
            and not gear.profiler.acts_at(first + count)
        ):
            count += 1
        return count

    def _set_rates(self) -> None:
        """Tells the optimizer the rates of the next step, if they are others than before."""
        rates = self.gear.timetable.rates(self.gear.state.step, self.gear.state)
        if rates != self._rates:
            self.gear.parts.set_rates(rates)
            self._rates = rates

    def heed_callbacks(self) -> None:
        """Keeps what callbacks have made of the rate, for the steps and the runs that follow."""
        if not self.gear.callbacks.present or self._rates is None:
            return
        found = self.gear.parts.rate
        if found != np.float32(self._rates.rate) and self._rates.scheduled:
            self.gear.state.factor = found / self._rates.scheduled
            # What the schedule has next, which may be due now, the optimizer has not been told.
            self._rates = dataclasses.replace(self._rates, rate=found)

    def _make_batches(self) -> Iterator:
        """Those that are next; the first of a run is shown in the logs."""
        gear, split = self.gear, self.gear.source.train

        def show(batches: tf.data.Dataset) -> None:
            """Draws the first batch of a run."""
            if gear.state.step == 0 and gear.cluster.is_chief:
                gear.logs.first_batch(first_batch(batches, gear.parts.classifier.preprocessor))

        return training_batches(
            gear.strategy,
            split,
            gear.variant.preprocessing,
            gear.options,
            first_step=gear.state.step,
            unreadable=gear.unreadable[split.name],
            directory=gear.directory.path,
            show=show,
            stop=self.interrupt,
        )
