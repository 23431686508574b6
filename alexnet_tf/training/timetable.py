"""What is due at which step of a run: learning rates, validations, the end."""

from __future__ import annotations

import dataclasses
import re

from alexnet_tf.models.spec import Variant
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.checkpoints import RunState
from alexnet_tf.training.options import Options
from alexnet_tf.training.schedules import AtEpochs, make_schedule


@dataclasses.dataclass(frozen=True)
class Rates:
    """The learning rates of a step.

    Attributes:
        rate: ε.
        scheduled: what it would be if no callback had changed it.
        multipliers: from regular expression to what ε is multiplied by for the variables whose
            path it matches, as `PaperSGD.set_rate_multipliers` takes them.
    """

    rate: float
    scheduled: float
    multipliers: dict[str, float]


class Timetable:
    """Counts a run's epochs in steps.

    Args:
        options: the run's.
        variant: whose layers may have rates of their own.
        examples: in the training set.

    Raises:
        UserError: no step at all, or rates of layers that there are not.
    """

    def __init__(self, options: Options, variant: Variant, examples: int):
        self.options = options
        self._examples = examples
        self.steps_per_epoch = examples / options.batch_size
        self.total_steps = options.steps or round(options.epochs * self.steps_per_epoch)
        if self.total_steps < 1:
            raise UserError(f"Expected at least one step. Received: --epochs={options.epochs:g}")
        self.validation_steps = max(1, round(options.validate_every * self.steps_per_epoch))
        self.schedule = make_schedule(options)
        self._layer_rates = parse_layer_rates(options.layer_rates, variant)

    def epoch(self, step: int) -> float:
        """Passes over the training set that `step` steps make."""
        # A quotient of whole numbers, so that it is whole where an epoch ends.
        return step * self.options.batch_size / self._examples

    def validation_due(self, step: int) -> bool:
        """Whether there is one after `step` steps."""
        return step % self.validation_steps == 0 or step >= self.total_steps

    def rates(self, step: int, state: RunState) -> Rates:
        """The rates of the step that follows `step` others."""
        options, epoch = self.options, self.epoch(step)
        factor = self.schedule.rate_factor(state.plateau, epoch)
        biases = options.bias_rate
        if options.bias_decay_epochs:
            own = AtEpochs(options.bias_decay_epochs).rate_factor(state.plateau, epoch)
            biases *= own / factor
        begun = {name: m for name, start, m in self._layer_rates if epoch >= start}
        scheduled = options.learning_rate * factor / 2**state.halvings
        return Rates(scheduled * state.factor, scheduled, {"bias$": biases, **begun})


def parse_layer_rates(
    layer_rates: tuple[str, ...], variant: Variant
) -> tuple[tuple[str, float, float], ...]:
    """Reads --layer_rates.

    Args:
        layer_rates: items such as "conv1:72:0" or "conv1/kernel:68:0.1".
        variant: whose layers they are.

    Returns:
        A regular expression, an epoch and a multiplier for each, in the order of the epochs.

    Raises:
        UserError: not of that form, or the variant has no such layer.
    """
    layers = [row.name for row in (*variant.convs, *variant.denses)]
    rates = []
    for item in layer_rates:
        match = re.fullmatch(r"(\w+)(/kernel|/bias)?:([\d.]+):(\d[\d.e-]*)", item)
        try:
            layer, variable, epoch, multiplier = match.groups()
            # Of the towers' halves as well, conv1a/conv1a/kernel and conv1b/conv1b/kernel.
            pattern = f"\\b{layer}[ab]?{variable or '/'}"
            rates.append((pattern, float(epoch), float(multiplier)))
        except (AttributeError, ValueError):
            raise UserError(
                "Expected --layer_rates=LAYER:EPOCH:MULTIPLIER,..., e.g. conv1:72:0. "
                f"Received: {item}"
            ) from None
        if layer not in layers:
            raise UserError(f"Expected --layer_rates of {', '.join(layers)}. Received: {item}")
    return tuple(sorted(rates, key=lambda rate: rate[1]))
