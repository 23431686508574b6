"""The update of a run."""

from __future__ import annotations

import keras

from alexnet_tf.training.options import Options
from alexnet_tf.training.sgd import PaperSGD


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
        in_place=bool(options.tower_devices),
        global_clipnorm=options.clip_norm or None,
    )
    optimizer = sgd
    if options.precision == "float16":  # small gradients would round to zero
        optimizer = keras.optimizers.LossScaleOptimizer(sgd)
    optimizer.build(model.trainable_variables)
    return sgd, optimizer
