"""What a run is made of, built under its strategy."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import keras
import tensorflow as tf

from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.evaluation.evaluator import Evaluator
from alexnet_tf.models.build import AlexNet
from alexnet_tf.models.spec import Variant
from alexnet_tf.towers.training import Towers
from alexnet_tf.training.optimizers import make_optimizer
from alexnet_tf.training.options import PRECISIONS, Options
from alexnet_tf.training.sgd import PaperSGD
from alexnet_tf.training.steps import TrainSteps, make_train_steps
from alexnet_tf.training.timetable import Rates

_POLICIES = dict(zip(PRECISIONS, ("float32", "mixed_bfloat16", "mixed_float16"), strict=True))


@dataclasses.dataclass(frozen=True)
class Parts:
    """The network of a run and what works on it.

    Attributes:
        model: to logits.
        sgd: the paper's update.
        optimizer: the same, or what wraps it for float16.
        classifier: the model with its preprocessing and class names.
        evaluator: of the classifier.
        train_steps: `steps.make_train_steps`'s.
        replicas: how many devices have a copy each.
        kind: of these devices, "CPU", "GPU" or "TPU".
        towers: what is trained in place of the model, where it is split over two devices.
    """

    model: keras.Model
    sgd: PaperSGD
    optimizer: keras.optimizers.Optimizer
    classifier: Classifier
    evaluator: Evaluator
    train_steps: TrainSteps
    replicas: int
    kind: str
    towers: Towers | None

    @property
    def network(self) -> keras.Model:
        """The model that the steps train: where there are towers, theirs."""
        return self.towers.model if self.towers else self.model

    @property
    def layers(self) -> list[str]:
        """The layer of each trainable variable of what is trained, in order."""
        return [variable.path.split("/")[-2] for variable in self.network.trainable_variables]

    @property
    def rate(self) -> float:
        """The learning rate of the next step, which callbacks may have set."""
        optimizer = self.towers.optimizer if self.towers else self.optimizer
        return float(tf.convert_to_tensor(optimizer.learning_rate))

    def set_rates(self, rates: Rates) -> None:
        """Tells the optimizer the learning rates of the next step."""
        for part in filter(None, (self, self.towers)):
            part.optimizer.learning_rate = rates.rate
            part.sgd.set_rate_multipliers(rates.multipliers)

    def scatter(self) -> None:
        """To be called after the model has changed otherwise than by training."""
        if self.towers:
            self.towers.scatter()

    def gather(self) -> None:
        """To be called before the model, or its optimizer, is looked at."""
        if self.towers:
            self.towers.gather()


def make_parts(
    options: Options,
    variant: Variant,
    classes: tuple[str, ...],
    statistics: Statistics,
    strategy: tf.distribute.Strategy,
) -> Parts:
    """Builds the network as the options want it; all its random numbers follow from the seed."""
    keras.utils.set_random_seed(options.seed)
    with strategy.scope(), _dtype_policy(_POLICIES[options.precision]):
        model = AlexNet(variant, classes=len(classes))
        sgd, optimizer = make_optimizer(options, model)
        towers = None
        if options.tower_devices:
            towers = Towers(options, variant, len(classes), model, sgd, optimizer)
    preprocessor = Preprocessor(variant.preprocessing, statistics)
    classifier = Classifier(model, preprocessor, classes)
    evaluator = Evaluator(classifier, strategy, options.batch_size)
    train_steps = make_train_steps(
        strategy,
        towers.model if towers else model,
        towers.optimizer if towers else optimizer,
        preprocessor,
        options.batch_size,
        accumulate=options.accumulate,
        jit_compile=options.xla,
        colocate=towers is not None,
        timed=not options.deterministic,
    )
    devices = options.tower_devices or strategy.extended.worker_devices
    return Parts(
        model=model,
        sgd=sgd,
        optimizer=optimizer,
        classifier=classifier,
        evaluator=evaluator,
        train_steps=train_steps,
        replicas=strategy.num_replicas_in_sync,
        kind=tf.DeviceSpec.from_string(devices[0]).device_type,
        towers=towers,
    )


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Layers made inside have this policy, and others of the process keep theirs."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
