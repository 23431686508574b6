"""The network as the training step sees it: a model, its optimizer, and how gradients are made.

`alexnet_tf.towers` has another one, which is split over two devices.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from alexnet_tf.training.optimizer import PaperSGD
from alexnet_tf.training.options import PRECISIONS, Options
from alexnet_tf.training.schedule import LearningRates

_POLICIES = dict(zip(PRECISIONS, ("float32", "mixed_bfloat16", "mixed_float16"), strict=True))


class TrainableNetwork:
    """A model and its optimizer, made under the scope of a strategy.

    Args:
        model: from normalised images to logits [B, classes].
        optimizer: built for it; with or without loss scaling. Leaves it to the training step to
            sum over replicas.

    Attributes:
        checkpointed: the network that is saved, evaluated and exported: this one.
    """

    def __init__(self, model: keras.Model, optimizer: keras.optimizers.Optimizer):
        self.model, self.optimizer = model, optimizer
        self.checkpointed: TrainableNetwork = self

    @property
    def sgd(self) -> PaperSGD:
        """The optimizer without loss scaling."""
        return getattr(self.optimizer, "inner_optimizer", self.optimizer)

    @property
    def layers(self) -> list[str]:
        """The layer of each trainable variable, in order."""
        return [variable.path.split("/")[-2] for variable in self.model.trainable_variables]

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step, which callbacks may have set."""
        return float(tf.convert_to_tensor(self.optimizer.learning_rate))

    def set_learning_rates(self, rates: LearningRates, multipliers: bool = True) -> None:
        """Sets the learning rates of the next step; `multipliers`: also the factors of layers."""
        self.optimizer.learning_rate = rates.learning_rate
        if multipliers:
            self.sgd.set_rate_multipliers(rates.multipliers)

    def gradients(self, tape: tf.GradientTape, loss: tf.Tensor) -> list[tf.Tensor]:
        """The gradients of a loss that the tape has recorded, in the order of the variables."""
        return tape.gradient(loss, self.model.trainable_variables)

    def norms(self, tensors: list[tf.Tensor | keras.Variable]) -> tf.Tensor:
        """The Euclidean norm of each, float32 [tensors]."""
        values = [t.value if isinstance(t, keras.Variable) else t for t in tensors]
        return tf.sqrt(2 * tf.stack([self.half_square(value) for value in values]))

    def half_square(self, value: tf.Tensor | tf.Variable) -> tf.Tensor:
        """Half the squared norm of a tensor."""
        return tf.nn.l2_loss(tf.convert_to_tensor(value))

    def copy_from_checkpointed(self) -> None:
        """Takes over the state of `checkpointed`, after it was built or restored."""

    def copy_to_checkpointed(self) -> None:
        """Hands the state to `checkpointed`, before it is evaluated or saved."""

    def devices(self, strategy: tf.distribute.Strategy) -> list[str]:
        """The names of the devices that hold weights; those of other workers count too."""
        return list(strategy.extended.worker_devices[:1]) * strategy.num_replicas_in_sync

    def describe(self, compute_gradients: Callable) -> str:
        """What to print of the network when a run begins, besides its size.

        Args:
            compute_gradients: `train_step.make_gradient_function`'s.
        """
        return ""


@contextlib.contextmanager
def network_scope(options: Options, strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Layers made inside have the seed, the precision and the devices of a run.

    All random numbers of the network follow from the seed.
    """
    keras.utils.set_random_seed(options.seed)
    before = keras.config.dtype_policy()
    with strategy.scope():
        keras.config.set_dtype_policy(_POLICIES[options.precision])
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)
