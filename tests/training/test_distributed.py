"""Strategies that are refused, and TensorFlow's errors in one line."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.system.errors import UserError, WorkerLostError
from alexnet_tf.training.cluster import Cluster
from alexnet_tf.training.distributed import (
    check_batch_size,
    check_xla,
    make_strategy,
    translate_errors,
)

TWO = Cluster(("127.0.0.1:1", "127.0.0.1:2"), 0)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"name": "horovod"}, "one of .*Received: horovod"),
        ({"logical_cpus": 0}, "at least 1 logical CPU. Received: 0"),
        ({"name": "multi_worker"}, "--workers and --worker_index, or TF_CONFIG.*Received: none"),
        ({"name": "tpu"}, "--tpu=NAME or --tpu=local.*Received: none"),
        ({"cluster": TWO, "tpu": "local"}, "--workers or --tpu. Received: both"),
        ({"cluster": TWO, "name": "mirrored"}, "auto or multi_worker.*Received: mirrored"),
        ({"tpu": "local", "name": "one"}, "auto or tpu.*Received: one"),
        ({"towers": True, "cluster": TWO}, "single process.*Received: multi_worker"),
        ({"tpu": "local"}, "Expected a TPU. Received: --tpu=local"),  # there is none here
    ],
)
def test_arguments_that_exclude_each_other_are_refused(arguments, complaint):
    with pytest.raises(UserError, match=complaint) as refused:
        make_strategy(**arguments)
    assert "\n" not in str(refused.value)


def test_logical_cpus_stay_for_the_next_run_in_the_process():
    tf.config.list_logical_devices()  # TensorFlow has been used; the tests have two CPUs
    assert make_strategy("mirrored", logical_cpus=2).num_replicas_in_sync == 2
    with pytest.raises(UserError, match="--logical_cpus=3 before .* which now has 2. Start a new"):
        make_strategy("mirrored", logical_cpus=3)


@pytest.mark.parametrize(("batch_size", "accumulate"), [(7, 1), (0, 1), (8, 3)])
def test_a_batch_that_cannot_be_divided_is_refused(two_replicas, batch_size, accumulate):
    with pytest.raises(
        UserError, match=f"Received: {accumulate if batch_size == 8 else batch_size}"
    ):
        check_batch_size(batch_size, two_replicas, accumulate)


def test_xla_is_refused_where_it_is_impossible_or_always_on(two_replicas):
    with pytest.raises(UserError, match="--xla with a single replica.*Received: 2 of CPU"):
        check_xla(two_replicas, None)
    with pytest.raises(UserError, match="--tpu=local without --xla.* always compiled"):
        check_xla(tf.distribute.get_strategy(), "local")
    check_xla(tf.distribute.OneDeviceStrategy("/CPU:0"), None)


@pytest.mark.parametrize(
    "error, workers, expected, text",
    [
        (
            tf.errors.UnavailableError(None, None, "Socket closed"),
            2,
            WorkerLostError,
            "Another worker of 2",
        ),
        (
            tf.errors.UnavailableError(None, None, "/job:worker/task:1 is gone\n [[{x}]]"),
            2,
            WorkerLostError,
            "Worker 1 of 2 has stopped, says worker 0",
        ),
        (
            tf.errors.InternalError(None, None, "Collective ops: other shapes"),
            2,
            WorkerLostError,
            r"Another worker of 2 has stopped.*\(Collective ops: other shapes\)",
        ),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), 2, UserError, "--accumulate"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), 1, UserError, "--batch_size"),
    ],
)
def test_lost_workers_and_full_memory_are_one_line(error, workers, expected, text):
    cluster = Cluster(tuple(f"127.0.0.1:{port}" for port in range(1, workers + 1)))
    with pytest.raises(expected, match=text) as raised, translate_errors(cluster, "again"):
        raise error
    assert type(raised.value) is expected and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.InternalError(None, None, "XLA compilation failed"),
        tf.errors.ResourceExhaustedError(None, None, "events; No space left on device"),
        tf.errors.UnknownError(None, None, "anything"),
    ],
)
def test_a_workers_own_errors_are_not_blamed_on_others(error):
    with pytest.raises(type(error)), translate_errors(TWO, "again"):
        raise error


def test_runs_of_one_process_may_sum_gradients_of_different_sizes():
    """TensorFlow remembers the size of each numbered sum for as long as the process lives."""
    for size in (3, 5):
        strategy = make_strategy("mirrored", logical_cpus=2)

        @tf.function
        def total(strategy=strategy, size=size):
            def replica():
                return tf.distribute.get_replica_context().all_reduce("SUM", tf.ones([size]))

            return strategy.experimental_local_results(strategy.run(replica))

        for result in total():
            np.testing.assert_array_equal(result, [2.0] * size)
