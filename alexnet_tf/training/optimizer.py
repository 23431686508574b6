"""The paper's update rule (paper §5)."""

from __future__ import annotations

import re

import keras
import tensorflow as tf

from alexnet_tf.training.options import Options

# Arguments of version 0.1, in saved configurations.
_OLD_ARGUMENTS = {"undecayed": "exclude_from_weight_decay", "summed": "gradients_reduced"}


@keras.saving.register_keras_serializable(package="alexnet_tf")
class PaperSGD(keras.optimizers.Optimizer):
    """Momentum with the weight decay inside the velocity, scaled by the learning rate.

        v ← momentum · v - weight_decay · ε · w - ε · g
        w ← w + v

    g is the mean gradient over the batch; ε = learning_rate × the variable's multiplier. A
    variable whose multiplier is 0 is frozen: w stays as it is, and v becomes 0.

    Keras's own `SGD(weight_decay=...)` differs: its decay stays outside the velocity.

    Example:
        >>> optimizer = PaperSGD(0.01, rate_multipliers={"bias": 2.0})

    Args:
        learning_rate: ε. Default .01 (paper §5).
        momentum: default .9 (paper §5).
        weight_decay: default .0005 (paper §5).
        exclude_from_weight_decay: regular expression; variables whose path it matches are not
            decayed. Default "bias$", as in the original code (`layers/layer-params-145.cfg` sets
            no wc for them). None decays all, as printed in the paper.
        rate_multipliers: from regular expression to multiplier of ε; the product of all that
            match a variable's path. Default none.
        gradients_reduced: whether gradients are already summed over replicas when they are
            applied. Keras clips the gradient of each replica before it sums them; to clip the
            sum, as on one device, sum first. Default false.

    Raises:
        ValueError: a negative argument, or momentum outside [0, 1).
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 0.0005,
        exclude_from_weight_decay: str | None = "bias$",
        rate_multipliers: dict[str, float] | None = None,
        gradients_reduced: bool = False,
        name: str = "paper_sgd",
        **kwargs,
    ):
        if isinstance(learning_rate, (int, float)) and learning_rate < 0:
            raise ValueError(
                f"`learning_rate` must not be negative. Received: learning_rate={learning_rate}"
            )
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must lie in [0, 1). Received: momentum={momentum}")
        if weight_decay < 0:
            raise ValueError(
                f"`weight_decay` must not be negative. Received: weight_decay={weight_decay}"
            )
        if any(multiplier < 0 for multiplier in (rate_multipliers or {}).values()):
            raise ValueError(
                f"`rate_multipliers` must not be negative. Received: {rate_multipliers}"
            )
        # Keras's own weight_decay argument stays unset: it would decay a second time.
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum, self.decay = momentum, weight_decay
        self.excluded = exclude_from_weight_decay  # Keras has a method of the argument's name
        self.gradients_reduced = gradients_reduced
        self.initial_multipliers = dict(rate_multipliers or {})

    def build(self, variables: list) -> None:
        """Makes the velocities and the multipliers, both part of the optimizer's state."""
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")
        self._multipliers = [
            self.add_variable((), initializer="ones", name="rate_multiplier") for _ in variables
        ]
        self.set_rate_multipliers(self.initial_multipliers)

    def set_rate_multipliers(self, multipliers: dict[str, float]) -> None:
        """Replaces all multipliers; the arguments and errors are the constructor's."""
        for factor in self._multipliers:
            factor.assign(1.0)
        for pattern, multiplier in multipliers.items():
            self.multiply_rate(pattern, multiplier)

    def multiply_rate(self, pattern: str, multiplier: float) -> list[str]:
        """Multiplies the rate of matching variables from now on; 0 freezes them.

        Args:
            pattern: regular expression, searched in paths such as "conv1/kernel".
            multiplier: not negative.

        Returns:
            The paths that matched.

        Raises:
            ValueError: a negative multiplier, or no match.
        """
        if multiplier < 0:
            raise ValueError(f"`multiplier` must not be negative. Received: {multiplier}")
        matched = []
        for variable, factor in zip(self._trainable_variables, self._multipliers, strict=True):
            if re.search(pattern, variable.path):
                factor.assign(factor * multiplier)
                matched.append(variable.path)
        if not matched:
            raise ValueError(
                f"Expected a pattern that matches one of "
                f"{[v.path for v in self._trainable_variables]}. Received: {pattern!r}"
            )
        return matched

    def _all_reduce_sum_gradients(self, grads_and_vars: list) -> list:
        """Keras's sum over replicas, unless that is done already."""
        if self.gradients_reduced:
            return list(grads_and_vars)
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def update_step(
        self,
        gradient: tf.Tensor,
        variable: keras.Variable | tf.Variable,
        learning_rate: tf.Tensor,
    ) -> None:
        """Updates one variable and its velocity."""
        index = self._get_variable_index(variable)
        path = self._trainable_variables[index].path
        decays = self.excluded is None or not re.search(self.excluded, path)
        multiplier = tf.cast(self._multipliers[index], variable.dtype)
        weights = tf.convert_to_tensor(variable)
        gradient = tf.cast(gradient, weights.dtype)
        # One fused pass over w and v, v ← momentum · v - rate · (g + decay · w); w ← w + v,
        # which is the rule above with the learning rate factored out.
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable_handle(variable),
            accum=variable_handle(self.velocities[index]),
            lr=tf.cast(learning_rate, weights.dtype) * multiplier,
            grad=gradient + self.decay * weights if decays and self.decay else gradient,
            momentum=tf.cast(multiplier > 0, weights.dtype) * self.momentum,
        )

    def get_config(self) -> dict:
        """The arguments."""
        config = super().get_config()
        config.pop("weight_decay", None)
        return {
            **config,
            "momentum": self.momentum,
            "weight_decay": self.decay,
            "exclude_from_weight_decay": self.excluded,
            "rate_multipliers": self.initial_multipliers,
            "gradients_reduced": self.gradients_reduced,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> PaperSGD:
        """The optimizer of a configuration, also of one that version 0.1 saved."""
        config = {_OLD_ARGUMENTS.get(name, name): value for name, value in config.items()}
        config.pop("in_place", None)
        return super().from_config(config, custom_objects)


def variable_handle(variable: keras.Variable | tf.Variable) -> tf.Tensor:
    """The resource of a variable on the device that is being updated."""
    if isinstance(variable, keras.Variable):
        variable = variable.value
    return variable.handle


def make_optimizer(
    options: Options, model: keras.Model, kind: type[PaperSGD] = PaperSGD
) -> keras.optimizers.Optimizer:
    """The optimizer of a run, built for a model.

    Args:
        options: of the run.
        model: whose variables are trained.
        kind: class of the optimizer.

    Returns:
        `kind`, inside a `LossScaleOptimizer` where the precision is float16.
    """
    optimizer = kind(
        options.learning_rate,
        options.momentum,
        options.weight_decay,
        exclude_from_weight_decay=None if options.decay_biases else "bias$",
        gradients_reduced=True,  # by the training step
        global_clipnorm=options.clip_norm or None,
    )
    if options.precision == "float16":  # small gradients would round to zero
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer
