"""Training on one replica and on several, and the gradients that they sum.

Each replica has its own core and --batch_size images, so the batch grows with the replicas. Ideal
scaling is the speed of one replica times their number.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

from alexnet_tf.models.layer_summary import layer_summary
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError
from tools.benchmark.contestants import Contestant, Settings, Turn
from tools.benchmark.training import CLASSES, gigaflop_of, train_on

_IMAGES, _EPOCHS = 1_281_167, 90  # ILSVRC-2012; paper §5: "roughly 90 cycles"
_WORKER_TIMEOUT = 120.0  # seconds to wait for a worker


def contestants(variant: str) -> dict[str, Contestant]:
    """The contestants by name, the single replica first."""
    gigaflop = gigaflop_of(variant)
    return {
        "one": Contestant("one replica on one core", _one, gigaflop),
        "replicas": Contestant(
            "one replica per core, in one process", _replicas, gigaflop, against="one"
        ),
        "workers": Contestant(
            "one process per core, over loopback", _workers, gigaflop, against="one"
        ),
    }


def remarks(settings: Settings, results: dict[str, dict], price: float) -> list[str]:
    """The scaling efficiency, the size of the gradients, and the time of the paper's training.

    Args:
        settings: of the measurement.
        results: of `rounds.take_rounds`.
        price: of this machine, dollars per hour; 0 if unknown.
    """
    rates = {
        name: statistics.median(result["rates"])
        for name, result in results.items()
        if "rates" in result
    }
    count = len(settings.cores)
    gradient = 4 * sum(
        layer.parameters for layer in layer_summary(get_variant(settings.variant), CLASSES)
    )
    lines = [
        f"{name}: {rates[name] / (count * rates['one']):.0%} of the ideal, "
        f"{count * rates['one']:,.1f} images/s"
        for name in rates
        if name != "one"
    ]
    lines.append(
        f"each step adds up {gradient / 1e6:,.1f} MB of gradients; in a ring each of {count} "
        f"replicas sends {2 * (count - 1) / count * gradient / 1e6:,.1f} MB"
    )
    days = _IMAGES * _EPOCHS / max(rates.values()) / 86_400
    cost = f", {24 * days * price:,.0f} dollars at {price:g} per hour" if price else ""
    lines.append(
        f"{_EPOCHS} epochs of ImageNet's {_IMAGES:,} images at the highest of these rates: "
        f"{days:,.1f} days{cost}"
    )
    return lines


def _one(settings: Settings) -> Turn:
    _pin(settings.cores[0])
    import tensorflow as tf

    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    return train_on(strategy, settings, settings.batch_size, "float32")


def _replicas(settings: Settings) -> Turn:
    from alexnet_tf.training.distributed import make_strategy

    count = len(settings.cores)
    strategy = make_strategy("mirrored", logical_cpus=count)
    return train_on(strategy, settings, count * settings.batch_size, "float32")


def _workers(settings: Settings) -> Turn:
    """Worker 0; it starts the other workers, which train until it ends."""
    from alexnet_tf.launch import free_ports

    if len(settings.cores) == 1:
        raise UserError("Expected two cores at least, for two workers. Received: one (--cores)")
    ports = free_ports(len(settings.cores))
    addresses = [f"127.0.0.1:{port}" for port in ports]
    for index in range(1, len(ports)):
        facts = [settings.variant, settings.batch_size, settings.cores, addresses, index]
        command = [sys.executable, "-m", "tools.benchmark.scaling", json.dumps(facts)]
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return _work(settings, addresses, 0)


def _work(settings: Settings, addresses: list[str], index: int) -> Turn:
    _pin(settings.cores[index])
    from alexnet_tf.training.cluster import join_cluster
    from alexnet_tf.training.distributed import make_strategy

    cluster = join_cluster(tuple(addresses), index, {}, _WORKER_TIMEOUT)
    strategy = make_strategy("multi_worker", cluster=cluster)
    return train_on(strategy, settings, len(addresses) * settings.batch_size, "float32")


def _pin(core: int) -> None:
    """Restricts the process to a core, before TensorFlow makes as many threads as it sees cores."""
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, [core])


def _follow(variant: str, batch_size: int, cores: list[int], addresses: list, index: int) -> None:
    """A worker that trains along with worker 0, until that one ends."""
    import tensorflow as tf

    turn = _work(Settings(variant, batch_size, 1, tuple(cores)), addresses, index)
    try:
        while True:
            turn()
    except tf.errors.OpError:
        os._exit(0)


if __name__ == "__main__":
    _follow(*json.loads(sys.argv[1]))
