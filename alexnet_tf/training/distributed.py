"""Devices and workers of a run: the strategy, its batches, and what workers agree on."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import re
from collections.abc import Callable, Iterator

import tensorflow as tf

from alexnet_tf.data.cache import open_decoded_cache
from alexnet_tf.data.dataset import Split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.pipeline import distribute, training_dataset
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system.errors import UserError, WorkerLostError, damage_of_data, first_line
from alexnet_tf.system.progress import quiet
from alexnet_tf.training.cluster import Cluster
from alexnet_tf.training.options import STRATEGIES, Options

RESTART_HINT = "the run resumes from its newest checkpoint"


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
        cluster: the workers, after they have met; None for a single process.
        tpu: its name, or "local".
        towers: whether the network places itself on devices, so that the strategy must not.

    Raises:
        UserError: arguments that exclude each other, or no such TPU.
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
        _split_cpu(logical_cpus)
    if several:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=cluster.resolver())
    if tpu:
        return _make_tpu_strategy(tpu)
    gpus = tf.config.list_logical_devices("GPU")
    if towers:
        return tf.distribute.get_strategy()
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        cpus = tf.config.list_logical_devices("CPU")
        devices = gpus or (cpus[:logical_cpus] if logical_cpus > 1 else cpus)
        return _mirrored(tuple(device.name for device in devices))
    return tf.distribute.OneDeviceStrategy("/GPU:0" if gpus else "/CPU:0")


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """The strategy of a process on these devices.

    It numbers its sums of gradients, and TensorFlow remembers the size of each number for as long
    as the process lives. A second strategy would begin at the same number again, and a second run
    with other weights would end with "Shape mismatch in the collective instance".
    """
    return tf.distribute.MirroredStrategy(list(devices))


def _split_cpu(count: int) -> None:
    """Divides the CPU into logical devices, unless an earlier run in the process has done so.

    Raises:
        UserError: TensorFlow has used the CPU with fewer.
    """
    device = tf.config.LogicalDeviceConfiguration()
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [device] * count)
    except RuntimeError:  # it has used a device
        found = len(tf.config.list_logical_devices("CPU"))
        if found < count:
            raise UserError(
                f"Expected --logical_cpus={count} before TensorFlow has used the CPU in this "
                f"process, which now has {found}. Start a new process."
            ) from None


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
    """Checks that a global batch divides by the replicas and the parts of each.

    Raises:
        UserError: it does not, or has no images.
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
    """Checks that the devices of a run support --xla.

    Args:
        strategy: of the run.
        tpu: its name, if there is one.

    Raises:
        UserError: they do not, or compile every step anyway.
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


class WorkerSync:
    """Sums over the workers of a run, between steps; with one worker, its own values.

    Args:
        strategy: over the workers.
        cluster: the workers.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster | None = None):
        self.strategy, self.cluster = strategy, cluster or Cluster()
        replicas = strategy.num_replicas_in_sync // self.workers  # of one worker

        @tf.function
        def add_up(value: tf.Tensor) -> tf.Tensor:
            """The sum over the workers, float64 scalar."""
            values = strategy.run(tf.identity, (value,))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None) / replicas

        self._add_up = add_up

    @property
    def workers(self) -> int:
        """How many there are."""
        return self.cluster.workers

    @property
    def is_chief(self) -> bool:
        """Whether this is worker 0, which alone prints and writes."""
        return self.cluster.is_chief

    def sum(self, value: float) -> float:
        """The sum of the values of all workers; all must ask at the same place."""
        if self.workers == 1:
            return value
        return float(self._add_up(tf.constant(value, tf.float64)).numpy())

    def any(self, flag: bool) -> bool:
        """Whether the flag is true on any worker; all must ask at the same place."""
        return self.sum(float(flag)) > 0

    def wait(self) -> None:
        """Returns when all workers have come here."""
        self.any(False)


@contextlib.contextmanager
def worker_scope(sync: WorkerSync, restart_hint: str) -> Iterator[None]:
    """Context of the work of all workers: only worker 0 prints, and all leave it together.

    Args:
        sync: of the workers, of which there may be one.
        restart_hint: what happens when all are started again.

    Raises:
        UserError: as in `translate_errors`.
    """
    with translate_errors(sync.cluster, restart_hint), quiet(not sync.is_chief):
        yield
        sync.wait()


@contextlib.contextmanager
def translate_errors(cluster: Cluster, restart_hint: str) -> Iterator[None]:
    """Turns TensorFlow's errors about lost workers and full memory into one line.

    All other errors of TensorFlow pass: this worker caused them itself.

    Args:
        cluster: the workers, of which there may be one.
        restart_hint: what happens when all are started again.

    Raises:
        WorkerLostError: another worker has stopped.
        UserError: this one is out of memory, or the dataset is damaged.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if _is_out_of_memory(error):
            raise UserError(
                f"Out of memory ({first_line(error)}). Try a lower --batch_size, or in training a "
                "higher --accumulate."
            ) from None
        if damage := damage_of_data(error):
            raise UserError(damage) from None
        if cluster.workers == 1 or not _is_of_another_worker(error):
            raise
        lost = sorted({int(n) for n in re.findall(r"task:(\d+)", str(error))} - {cluster.index})
        name = f"Worker {lost[0]}" if len(lost) == 1 else "Another worker"
        raise WorkerLostError(
            f"{name} of {cluster.workers} has stopped, says worker {cluster.index} "
            f"({first_line(error)}). Start all workers again, unless alexnet_tf.launch does so: "
            f"{restart_hint}."
        ) from None


def _is_out_of_memory(error: tf.errors.OpError) -> bool:
    """Whether memory is full; TensorFlow reports a full disk by the same error."""
    text = str(error).lower()
    return isinstance(error, tf.errors.ResourceExhaustedError) and "no space left" not in text


def _is_of_another_worker(error: tf.errors.OpError) -> bool:
    """Whether a connection has ended, or a sum lacks the part of a worker."""
    ends = (
        *(tf.errors.UnavailableError, tf.errors.AbortedError),
        *(tf.errors.CancelledError, tf.errors.DeadlineExceededError),
    )
    sums = (tf.errors.InternalError, tf.errors.FailedPreconditionError)
    return isinstance(error, ends) or (isinstance(error, sums) and "ollective" in str(error))


def training_batches(
    strategy: tf.distribute.Strategy,
    split: Split,
    preprocessing: Preprocessing,
    options: Options,
    start_step: int,
    decode_errors: DecodeErrors,
    directory: pathlib.Path,
    show: Callable[[tf.data.Dataset], None] = lambda batches: None,
    stop: Callable[[], bool] = lambda: False,
    cut: int = 0,
    end: int | None = None,
) -> Iterator:
    """Training batches from a step on, divided among the replicas.

    Args:
        strategy: of the run.
        split: the training set.
        preprocessing: of the variant.
        options: of the run.
        start_step: the step whose batch comes first.
        decode_errors: records images that do not decode.
        directory: of the run, for a cache on disk.
        show: is called with the batches of this worker, before they are divided among its
            replicas.
        stop: asked while a cache is filled whether to give up.
        cut: as in `data.pipeline.training_dataset`.
        end: as there.

    Raises:
        StoppedError: `stop` said so.
    """
    cache = None
    if options.cache != "none":
        file = directory / "cache" / "train.npy" if options.cache == "disk" else None
        cache = open_decoded_cache(split, preprocessing, decode_errors, file, stop)

    def make_dataset(shard_index: int, num_shards: int) -> tf.data.Dataset:
        """One worker's part of every batch."""
        batches = training_dataset(
            split,
            preprocessing,
            options.batch_size,
            options.seed,
            start_step=start_step,
            augmentations=options.augment,
            decode_errors=decode_errors,
            shard_index=shard_index,
            num_shards=num_shards,
            cache=cache,
            pca_noise_until=options.pca_noise_until,
            cut=cut,
            end=end,
        )
        show(batches)
        return batches

    return iter(distribute(strategy, make_dataset, options.batch_size))
