"""The loop: train to the next validation, validate, save, and again."""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Callable

from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.system.signals import Interrupt
from alexnet_tf.training.divergence import Divergence
from alexnet_tf.training.gear import Gear
from alexnet_tf.training.opening import describe_run
from alexnet_tf.training.result import Result
from alexnet_tf.training.stretch import Stretch


class Run:
    """One run: the order of its events.

    Args:
        gear: what it works with.
        interrupt: notes signals.
    """

    def __init__(self, gear: Gear, interrupt: Interrupt):
        self.gear, self.interrupt = gear, interrupt
        goes_back = gear.options.on_divergence == "back"
        self.diverged = Divergence(goes_back, gear.state, self._restore)
        self.train = Stretch(gear, self.diverged, interrupt)
        self.evaluation: Evaluation | None = None

    def __call__(self) -> Result:
        """Trains to the end, or until the interrupt; either way everything is saved."""
        gear, stopped_by = self.gear, None

        def stop() -> bool:  # a signal to one of the workers stops all, after the same step
            """Whether any worker has had a signal."""
            return gear.consensus.any(self.interrupt())

        with contextlib.ExitStack() as at_the_end:  # also of an error; the last one comes first
            for end in (gear.logs.close, gear.profiler.stop, gear.callbacks.end):
                at_the_end.callback(end)
            anything_to_do = self._work(stop)
            if stop():
                stopped_by = self.interrupt.signal or signal.SIGTERM  # of another worker
                gear.saving.save()
                print(
                    f"Stopped by {stopped_by.name} after step {gear.state.step:,} and saved; the "
                    "same command goes on from there.",
                    flush=True,
                )
                self.evaluation = None
        for name, unreadable in gear.unreadable.items():
            if len(unreadable):
                print(f"{name} images: {unreadable}", flush=True)
        return Result(
            gear.directory,
            gear.state.step,
            anything_to_do,
            self.evaluation,
            gear.parts.classifier,
            stopped_by,
        )

    def _work(self, stop: Callable[[], bool]) -> bool:
        """Trains and validates by turns; false if all of it was done before."""
        gear, state = self.gear, self.gear.state
        if not self._restore():
            gear.parts.scatter()
        opening = describe_run(gear.options, gear.variant, gear.source, gear.timetable, gear.parts)
        print(opening, flush=True)
        gear.logs.begin(state.step, gear.options)
        gear.callbacks.begin()
        while not stop():
            if state.validated_step < state.step and gear.validation_due(state.step):
                self._validate(stop)
            elif state.step < gear.timetable.total_steps and not state.ended:
                self.train(stop)
            else:
                break
        if stop() or self.evaluation is not None:
            return True
        print("The run is complete: nothing to train.", flush=True)
        self.evaluation = self._evaluate(stop)
        return False

    def _restore(self) -> bool:
        """Goes back to the newest whole checkpoint; false if there is none."""
        if not self.gear.saving.restore():
            return False
        self.train.forget()
        step, path = self.gear.state.step, self.gear.directory.path
        self.gear.logs.restarts_at(step)
        print(f"Going on after step {step:,} of the run in {path}")
        return True

    def _evaluate(self, stop: Callable[[], bool]) -> Evaluation | None:
        gear, split = self.gear, self.gear.source.validation
        gear.parts.gather()
        return gear.parts.evaluator(split, "validation", stop, gear.unreadable[split.name])

    def _validate(self, stop: Callable[[], bool]) -> None:
        """Validates, tells the schedule, saves and logs."""
        gear, state = self.gear, self.gear.state
        gear.callbacks.validation_begins()
        evaluation = self._evaluate(stop)
        if evaluation is None:  # interrupted: `validated_step` stays, the next start does it again
            return
        rate = gear.parts.rate  # of the last step; what is observed now is for the next
        if not math.isfinite(evaluation.loss):
            found = f"the validation's loss after step {state.step:,} is not finite"
            print(self.diverged(f"{found}, at a rate of {rate:g}"), flush=True)
            return
        self.evaluation, state.validated_step = evaluation, state.step
        state.ended = gear.timetable.schedule.observe(state.plateau, evaluation.top1_error)
        epoch = gear.timetable.epoch(state.step)
        print(f"epoch {epoch:g}, step {state.step:,}: {evaluation}", flush=True)
        gear.callbacks.epoch_ends(state.step, evaluation, rate)
        self.train.heed_callbacks()
        state.ended |= gear.callbacks.stop
        gear.saving.save(evaluation)  # before the logs: they can be done without
        gear.logs.validation(state.step, evaluation)
