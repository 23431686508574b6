"""What a run is made of, built under its strategy."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import keras
import tensorflow as tf

from alexnet_tf.classifier import Classifier
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.evaluation import Evaluator
from alexnet_tf.models.build import AlexNet
from alexnet_tf.models.spec import Variant
from alexnet_tf.training.options import PRECISIONS, Options
from alexnet_tf.training.sgd import PaperSGD
from alexnet_tf.training.steps import TrainSteps, make_train_steps

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
    """

    model: keras.Model
    sgd: PaperSGD
    optimizer: keras.optimizers.Optimizer
    classifier: Classifier
    evaluator: Evaluator
    train_steps: TrainSteps


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
    preprocessor = Preprocessor(variant.preprocessing, statistics)
    classifier = Classifier(model, preprocessor, classes)
    evaluator = Evaluator(classifier, strategy, options.batch_size)
    train_steps = make_train_steps(
        strategy,
        model,
        optimizer,
        preprocessor,
        options.batch_size,
        options.accumulate,
        options.xla,
    )
    return Parts(model, sgd, optimizer, classifier, evaluator, train_steps)


def make_optimizer(
    options: Options, model: keras.Model
) -> tuple[PaperSGD, keras.optimizers.Optimizer]:
    """The paper's update as the options want it, and what wraps it for float16; both built."""
    sgd = PaperSGD(
        options.learning_rate,
        options.momentum,
        options.weight_decay,
        undecayed=None if options.decay_biases else "bias$",
        summed=True,  # by the step
        global_clipnorm=options.clip_norm or None,
    )
    optimizer = sgd
    if options.precision == "float16":  # small gradients would round to zero
        optimizer = keras.optimizers.LossScaleOptimizer(sgd)
    optimizer.build(model.trainable_variables)
    return sgd, optimizer


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Layers made inside have this policy, and others of the process keep theirs."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
