"""The lines that a run begins with."""

from __future__ import annotations

import math

import tensorflow as tf

from alexnet_tf.data.dataset import ImageDataset
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.models.spec import Variant
from alexnet_tf.training.layer_options import describe_layers, weighted_layers
from alexnet_tf.training.network import TrainableNetwork
from alexnet_tf.training.schedule import TrainSchedule
from alexnet_tf.training.train_step import make_gradient_function


def summarize(
    variant: Variant,
    network: TrainableNetwork,
    data: ImageDataset,
    schedule: TrainSchedule,
    preprocessor: Preprocessor,
    strategy: tf.distribute.Strategy,
) -> str:
    """The network, the data and the length of a run; several lines.

    Args:
        variant: of the network.
        network: that is trained.
        data: training and validation sets.
        schedule: of the run.
        preprocessor: of the training set.
        strategy: of the run.
    """
    options, devices = schedule.options, network.devices(strategy)
    kind = tf.DeviceSpec.from_string(devices[0]).device_type
    lines = [
        f"AlexNet {variant.name}: {network.checkpointed.model.count_params():,} "
        f"parameters, {variant.preprocessing.crop_size} pixels, "
        f"{options.precision}, {len(devices)} {kind}{'s' if len(devices) > 1 else ''}",
        data.describe(),
        f"{schedule.total_steps:,} steps of {options.batch_size} images "
        f"({schedule.epoch(schedule.total_steps):g} epochs)",
    ]
    if options.frozen_layers:
        layers = describe_layers(options.frozen_layers, weighted_layers(variant))
        trained = sum(math.prod(v.shape) for v in network.model.trainable_variables)
        lines.append(f"frozen: {layers}; {trained:,} parameters are trained")
    compute_gradients = make_gradient_function(network, preprocessor, options.batch_size)
    return "\n".join(filter(None, [*lines, network.describe(compute_gradients)]))
