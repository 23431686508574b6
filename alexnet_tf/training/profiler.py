"""A recording of what a few training steps spend their time on."""

from __future__ import annotations

import pathlib

import tensorflow as tf

from alexnet_tf.system.errors import UserError


def parse_span(span: tuple[float, ...]) -> tuple[int, ...]:
    """Reads --profile: two steps, or nothing.

    Raises:
        UserError: anything else.
    """
    whole = all(step % 1 == 0 for step in span)
    if span and not (whole and len(span) == 2 and 0 <= span[0] < span[1]):
        raise UserError(
            "Expected --profile=START,STOP with two whole steps, the first lower. Received: "
            f"{','.join(f'{step:g}' for step in span)}"
        )
    return tuple(int(step) for step in span)


class Profiler:
    """Records from one step to another, for TensorBoard's Profile page.

    Args:
        span: two steps, before the first of which the recording starts, and before the second of
            which it ends; or nothing.
        directory: where TensorBoard looks for it.
        records: whether this worker does; the others only stop where it does.

    Raises:
        UserError: a span that is none.
    """

    def __init__(self, span: tuple[float, ...], directory: pathlib.Path, records: bool = True):
        self._span, self._directory, self._records = parse_span(span), directory, records
        self._recording = False

    def acts_at(self, step: int) -> bool:
        """Whether `before` has something to do before the step that follows `step` others."""
        return step in self._span

    def before(self, step: int) -> str | None:
        """Starts or stops, if it is time; returns what there is to say of it."""
        if self._recording and step >= self._span[1]:
            self.stop()
            return f"Steps {self._span[0]:,} to {step:,} are recorded in {self._directory}"
        begins = self._records and self._span and not self._recording
        if begins and self._span[0] <= step < self._span[1]:
            tf.profiler.experimental.start(str(self._directory))
            self._recording = True
        return None

    def step(self, number: int) -> tf.profiler.experimental.Trace:
        """A context that marks a training step, or several in one call, in the recording.

        Without it the Profile page cannot tell how long a step takes.

        Args:
            number: of the step.
        """
        return tf.profiler.experimental.Trace("train", step_num=number, _r=1)

    def stop(self) -> None:
        """Writes what is recorded, if a recording goes on."""
        if self._recording:
            tf.profiler.experimental.stop()
            self._recording = False
