"""Which devices a run uses."""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.errors import UserError
from alexnet_tf.training.options import STRATEGIES


def make_strategy(name: str = "auto", logical_cpus: int = 1) -> tf.distribute.Strategy:
    """Makes the distribution strategy.

    Args:
        name: "one" device; "mirrored" over all GPUs, or all logical CPUs where there is no GPU;
            "auto": mirrored where there are several GPUs, else one.
        logical_cpus: splits the CPU into that many devices, to try replicas without GPUs. Must
            come before TensorFlow has used a device.

    Raises:
        UserError: an unknown name, or logical_cpus below 1.
    """
    if name not in STRATEGIES:
        raise UserError(f"Expected --strategy to be one of {STRATEGIES}. Received: {name}")
    if logical_cpus < 1:
        raise UserError(f"Expected at least 1 logical CPU. Received: {logical_cpus}")
    if logical_cpus > 1:
        device = tf.config.LogicalDeviceConfiguration()
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [device] * logical_cpus)
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.OneDeviceStrategy("/GPU:0" if gpus else "/CPU:0")


def check_batch_size(
    batch_size: int, strategy: tf.distribute.Strategy, accumulate: int = 1
) -> None:
    """Refuses a global batch that does not divide by the replicas and the parts of each.

    Raises:
        UserError: that, or a batch without images.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size < 1 or batch_size % replicas:
        raise UserError(
            f"Expected --batch_size to be a positive multiple of the {replicas} replicas (it is "
            f"the batch over all of them). Received: {batch_size}"
        )
    if batch_size // replicas % accumulate:
        raise UserError(
            f"Expected --accumulate to divide the {batch_size // replicas} images of a replica. "
            f"Received: {accumulate}"
        )
