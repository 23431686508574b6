"""Which devices a run uses."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from alexnet_tf.system.errors import UserError, WorkerLostError, first_line
from alexnet_tf.system.progress import quiet
from alexnet_tf.training.cluster import Cluster
from alexnet_tf.training.options import STRATEGIES


def make_strategy(
    name: str = "auto",
    logical_cpus: int = 1,
    cluster: Cluster | None = None,
    tpu: str | None = None,
    towers: bool = False,
) -> tf.distribute.Strategy:
    """Makes the distribution strategy.

    Args:
        name: "one" device; "mirrored" over all GPUs, or all logical CPUs where there is no GPU;
            "multi_worker" over the cluster; "tpu"; "auto": the last two where there is a cluster
            or a TPU is named, else mirrored where there are several GPUs, else one.
        logical_cpus: splits the CPU into that many devices, to try replicas without GPUs. Must
            come before TensorFlow has used a device.
        cluster: the workers, who have met; None for a single process.
        tpu: its name, or "local".
        towers: whether the model sees to its devices itself, so that the strategy must not.

    Raises:
        UserError: a strategy that does not go with the rest, or no such TPU.
    """
    if name not in STRATEGIES:
        raise UserError(f"Expected --strategy to be one of {STRATEGIES}. Received: {name}")
    if logical_cpus < 1:
        raise UserError(f"Expected at least 1 logical CPU. Received: {logical_cpus}")
    several = cluster is not None and cluster.workers > 1
    wanted = "multi_worker" if several else "tpu" if tpu else None
    if several and tpu:
        raise UserError(f"Expected --workers or --tpu. Received: both ({tpu})")
    if name == "multi_worker" and not several:
        raise UserError(
            "Expected --workers and --worker_index, or TF_CONFIG, beside --strategy=multi_worker. "
            "Received: none with two workers or more"
        )
    if name == "tpu" and not tpu:
        raise UserError("Expected --tpu=NAME or --tpu=local beside --strategy=tpu. Received: none")
    if towers and (wanted or name not in ("auto", "one")):
        raise UserError(
            "Expected --tower_devices with a single process and --strategy=auto. Received: "
            f"{wanted or name}"
        )
    if wanted and name not in ("auto", wanted):
        raise UserError(f"Expected --strategy=auto or {wanted} with these flags. Received: {name}")
    if logical_cpus > 1:
        device = tf.config.LogicalDeviceConfiguration()
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [device] * logical_cpus)
    if several:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=cluster.resolver())
    if tpu:
        return _make_tpu_strategy(tpu)
    gpus = tf.config.list_logical_devices("GPU")
    if towers:
        return tf.distribute.get_strategy()
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.OneDeviceStrategy("/GPU:0" if gpus else "/CPU:0")


def _make_tpu_strategy(tpu: str) -> tf.distribute.TPUStrategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu)
        return tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, ValueError, RuntimeError, OSError, KeyError) as error:
        raise UserError(
            f"Expected a TPU. Received: --tpu={tpu} ({first_line(error)}); on a TPU VM it is "
            "local, and tensorflow-tpu has to be installed (BUILD.md)"
        ) from None


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


def check_xla(strategy: tf.distribute.Strategy, tpu: str | None) -> None:
    """Refuses --xla where it cannot be, or is anyway.

    Args:
        strategy: of the run.
        tpu: its name, if there is one.

    Raises:
        UserError: that.
    """
    if tpu:
        raise UserError(
            f"Expected --tpu={tpu} without --xla: its steps are always compiled. Received: both"
        )
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return
    kinds = {tf.DeviceSpec.from_string(d).device_type for d in strategy.extended.worker_devices}
    if kinds != {"GPU"}:
        raise UserError(
            "Expected --xla with a single replica, or with GPUs only: TensorFlow compiles no step "
            f"of several other devices. Received: {replicas} of {', '.join(sorted(kinds))}"
        )


class Consensus:
    """What the workers of a run agree on between steps; alone, a worker agrees with itself.

    Args:
        strategy: over the workers.
        cluster: the workers.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster):
        self.workers = cluster.workers
        replicas = strategy.num_replicas_in_sync // cluster.workers  # of one worker

        @tf.function
        def add_up(value: tf.Tensor) -> tf.Tensor:
            """The sum over the workers, float64 scalar."""
            values = strategy.run(tf.identity, (value,))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None) / replicas

        self._add_up = add_up

    def total(self, value: float) -> float:
        """The sum of what the workers have; all must ask at the same place."""
        if self.workers == 1:
            return value
        return float(self._add_up(tf.constant(value, tf.float64)).numpy())

    def any(self, flag: bool) -> bool:
        """Whether the flag is true on any worker; all must ask at the same place."""
        return self.total(float(flag)) > 0

    def wait(self) -> None:
        """Returns when all workers have come here."""
        self.any(False)


@contextlib.contextmanager
def together(strategy: tf.distribute.Strategy, cluster: Cluster, again: str) -> Iterator[None]:
    """Work of all workers: only worker 0 prints, and all leave at the same time.

    Args:
        strategy: over the workers.
        cluster: the workers, of whom there may be one.
        again: what happens when all are started again.

    Raises:
        UserError: as of `one_line_errors`.
    """
    with one_line_errors(cluster, again), quiet(not cluster.is_chief):
        yield
        Consensus(strategy, cluster).wait()


@contextlib.contextmanager
def one_line_errors(cluster: Cluster, again: str) -> Iterator[None]:
    """Says in one line that another worker has gone, or that there is no memory.

    All other errors of TensorFlow pass: they are this worker's own.

    Args:
        cluster: the workers, of whom there may be one.
        again: what happens when all are started again.

    Raises:
        WorkerLostError: another worker has gone.
        UserError: this one needs more memory than there is.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if _is_out_of_memory(error):
            raise UserError(
                "Expected room for the images of a step. Received: out of memory "
                f"({first_line(error)}). Try a lower --batch_size, or in training a "
                "higher --accumulate"
            ) from None
        if cluster.workers == 1 or not _is_of_another_worker(error):
            raise
        gone = sorted({int(n) for n in re.findall(r"task:(\d+)", str(error))} - {cluster.index})
        who = f"worker {', '.join(map(str, gone))}" if len(gone) == 1 else "another"
        raise WorkerLostError(
            f"Expected all {cluster.workers} workers to go on to the end. Received: worker "
            f"{cluster.index} heard that {who} has stopped ({first_line(error)}). Start all of "
            f"them again, unless alexnet_tf.launch does so: {again}"
        ) from None


def _is_out_of_memory(error: tf.errors.OpError) -> bool:
    """Whether it is memory; TensorFlow reports a full disk by the same error."""
    text = str(error).lower()
    return isinstance(error, tf.errors.ResourceExhaustedError) and "no space left" not in text


def _is_of_another_worker(error: tf.errors.OpError) -> bool:
    """Whether it comes of a connection that has ended, or of a sum that somebody is missing in."""
    ends = (
        *(tf.errors.UnavailableError, tf.errors.AbortedError),
        *(tf.errors.CancelledError, tf.errors.DeadlineExceededError),
    )
    sums = (tf.errors.InternalError, tf.errors.FailedPreconditionError)
    return isinstance(error, ends) or (isinstance(error, sums) and "ollective" in str(error))
