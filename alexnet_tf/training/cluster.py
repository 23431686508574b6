"""The workers of a run, and their meeting at the start.

TensorFlow's own cluster waits for absent workers in silence and cannot be interrupted. So the
workers meet first, at the address of worker 0: each sends its flags there in one line, and gets an
answer in one line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import sys
import time

import tensorflow as tf

from alexnet_tf.system.errors import UserError

_MAX_LINE = 2**16  # bytes that a worker may send
_PAUSE = 0.2  # seconds between attempts to reach worker 0
_REMINDER = 10.0  # seconds between messages that name the absent workers
_SILENCE = 5.0  # seconds after which a silent connection is closed


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers, seen from one of them; a run in a single process is a cluster of one.

    Attributes:
        addresses: host:port of each worker.
        index: of this process.
    """

    addresses: tuple[str, ...] = ("",)
    index: int = 0

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this is worker 0, which alone prints and writes."""
        return self.index == 0

    def resolver(self) -> tf.distribute.cluster_resolver.ClusterResolver:
        """TensorFlow's view of the cluster."""
        return tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(self.addresses)}),
            task_type="worker",
            task_id=self.index,
            rpc_layer="grpc",
        )


def find_cluster(workers: tuple[str, ...], index: int | None) -> Cluster:
    """The cluster described by flags or, without them, by the environment variable TF_CONFIG.

    Args:
        workers: --workers.
        index: --worker_index.

    Raises:
        UserError: the description is wrong.
    """
    name = "--worker_index"
    config = os.environ.get("TF_CONFIG", "")
    if not workers and config.strip():
        found, own = _read_tf_config(config)
        if found:
            name, workers, index = "the index in TF_CONFIG", found, own
    if not workers:
        if index is not None:
            raise UserError(f"Expected --workers beside --worker_index. Received: {index} alone")
        return Cluster()
    for address in workers:
        host, port = _split(address)
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise UserError(f"Expected workers as host:port. Received: {address}")
    if len(set(workers)) < len(workers):
        raise UserError(f"Expected each worker once. Received: {','.join(workers)}")
    if index is None or not 0 <= index < len(workers):
        raise UserError(f"Expected {name} to be from 0 to {len(workers) - 1}. Received: {index}")
    return Cluster(tuple(workers), index)


def join_cluster(
    workers: tuple[str, ...], index: int | None, flags: dict[str, object], seconds: float
) -> Cluster:
    """`find_cluster`; returns when all workers have come with the same flags.

    Args:
        workers: --workers.
        index: --worker_index.
        flags: names to values; --worker_index may differ.
        seconds: to wait for the others.

    Raises:
        UserError: as in `find_cluster` and `meet`.
    """
    cluster = find_cluster(workers, index)
    if cluster.workers > 1:
        facts = {f"--{name}": value for name, value in flags.items() if name != "worker_index"}
        facts |= {
            "cluster": cluster.addresses,  # also from TF_CONFIG
            "number of GPUs": len(tf.config.list_physical_devices("GPU")),
            "TensorFlow version": tf.__version__,
        }
        meet(cluster, facts, seconds)
    return cluster


def _read_tf_config(text: str) -> tuple[tuple[str, ...], int]:
    """Addresses, and the index of this worker; a chief is the first worker.

    Without addresses in the cluster, as a single process of a hosted job has it, there are none,
    and the index is None.
    """
    try:
        values = json.loads(text)
        jobs, task = values.get("cluster") or {}, values.get("task") or {}
        jobs = {kind: addresses for kind, addresses in jobs.items() if addresses}
        if not jobs:
            return (), None
        chiefs, workers = (_addresses(jobs, kind) for kind in ("chief", "worker"))
        kind = task.get("type") or ("chief" if chiefs else "worker")
        for name in (kind, *jobs):
            if name not in ("chief", "worker"):
                raise TypeError(f"{name}: only chief and worker can train")
        index = int(task.get("index") or 0)
        if not 0 <= index < len(chiefs if kind == "chief" else workers):
            raise ValueError(f"the cluster has no {kind} {index}")
        index += len(chiefs) if kind == "worker" else 0
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            'Expected TF_CONFIG as {"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
            f'"worker", "index": 0}}}}. Received: {text[:200]!r} ({error})'
        ) from None
    return (*chiefs, *workers), index


def _addresses(jobs: dict[str, object], kind: str) -> list[str]:
    """The addresses of one job of TF_CONFIG; none if there is no such job."""
    addresses = jobs.get(kind, [])
    if not isinstance(addresses, list) or not all(isinstance(each, str) for each in addresses):
        raise TypeError(f"{kind}: not a list of host:port")
    return addresses


def meet(cluster: Cluster, facts: dict, seconds: float) -> None:
    """Returns when all workers have come and have the same facts.

    Args:
        cluster: of more than one.
        facts: JSON values that must be equal, e.g. flags.
        seconds: to wait for the others.

    Raises:
        UserError: the port of this worker is in use, another one did not come, or facts differ.
    """
    facts = json.loads(json.dumps(facts))  # as they arrive at the other end
    complaint = (
        _receive_all(cluster, facts, seconds)
        if cluster.is_chief
        else _report(cluster, facts, seconds)
    )
    if complaint:
        raise UserError(complaint)


def _receive_all(cluster: Cluster, facts: dict, seconds: float) -> str:
    """`meet` on worker 0; returns an error message, or an empty string."""
    deadline = time.monotonic() + seconds
    connections: dict[int, socket.socket] = {}
    complaint = ""
    with _listen(cluster) as listener:
        while len(connections) < cluster.workers - 1 and not complaint:
            listener.settimeout(max(1e-3, min(_REMINDER, deadline - time.monotonic())))
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                absent = ", ".join(
                    f"worker {number} ({address})"
                    for number, address in enumerate(cluster.addresses)
                    if number and number not in connections
                )
                if time.monotonic() >= deadline:
                    complaint = (
                        f"{absent} did not start within {seconds:g} s (--worker_timeout). Start "
                        f"all {cluster.workers} workers, with the same --workers."
                    )
                else:
                    print(f"Waiting for {absent}", file=sys.stderr, flush=True)
                continue
            try:
                number, theirs = json.loads(_read_line(connection))
                known = 0 < number < cluster.workers and isinstance(theirs, dict)
            except (OSError, ValueError, TypeError):
                known = False
            if not known:  # not a worker
                connection.close()
                continue
            if number in connections:  # it was started again
                connections[number].close()
            connections[number] = connection
            complaint = _difference(facts, theirs, number)
    for connection in connections.values():
        with connection, contextlib.suppress(OSError):
            connection.sendall(json.dumps(complaint).encode() + b"\n")
    return complaint


def _report(cluster: Cluster, facts: dict, seconds: float) -> str:
    """`meet` on another worker."""
    _listen(cluster).close()  # only to check that TensorFlow can listen there
    host, port = _split(cluster.addresses[0])
    deadline, remind = time.monotonic() + seconds, time.monotonic() + _REMINDER
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, int(port)), timeout=_SILENCE) as connection:
                connection.sendall(json.dumps([cluster.index, facts]).encode() + b"\n")
                connection.settimeout(max(1.0, deadline - time.monotonic() + _SILENCE))
                return str(json.loads(_read_line(connection)))
        except (OSError, ValueError):
            time.sleep(_PAUSE)
        if time.monotonic() >= remind:
            remind += _REMINDER
            print(f"Waiting for worker 0 ({cluster.addresses[0]})", file=sys.stderr, flush=True)
    return (
        f"Worker 0 ({cluster.addresses[0]}) did not answer within {seconds:g} s "
        "(--worker_timeout). Start it, or correct --workers."
    )


def _split(address: str) -> tuple[str, str]:
    """Host, an IPv6 one without its brackets, and port; either may be empty."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def _listen(cluster: Cluster) -> socket.socket:
    """The port of this worker, which TensorFlow takes over when the socket is closed."""
    address = cluster.addresses[cluster.index]
    host, port = _split(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("", int(port)))
        listener.listen(cluster.workers)
    except OSError as error:
        listener.close()
        raise UserError(
            f"Worker {cluster.index} cannot listen on port {port} ({address}): {error.strerror}. "
            "Choose another port, or stop the program that uses it."
        ) from None
    return listener


def _read_line(connection: socket.socket) -> bytes:
    """One line of at most `_MAX_LINE` bytes; a longer or incomplete one is not valid JSON."""
    if connection.gettimeout() is None:
        connection.settimeout(_SILENCE)
    with connection.makefile("rb") as file:
        return file.readline(_MAX_LINE)


def _difference(ours: dict, theirs: dict, number: int) -> str:
    """A message about the first fact in which a worker differs from worker 0, or nothing."""
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            return (
                f"Expected the same {name} on all workers. Received: {ours.get(name)} on worker "
                f"0, {theirs.get(name)} on worker {number}"
            )
    return ""
