"""Strategies that cannot be: one line that says what goes with what."""

import pytest

from alexnet_tf.errors import UserError
from alexnet_tf.training.cluster import Cluster
from alexnet_tf.training.strategies import check_batch_size, make_strategy

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
def test_what_does_not_go_together_is_refused(arguments, complaint):
    with pytest.raises(UserError, match=complaint) as refused:
        make_strategy(**arguments)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("batch_size", "accumulate"), [(7, 1), (0, 1), (8, 3)])
def test_a_batch_that_cannot_be_divided_is_refused(two_replicas, batch_size, accumulate):
    with pytest.raises(
        UserError, match=f"Received: {accumulate if batch_size == 8 else batch_size}"
    ):
        check_batch_size(batch_size, two_replicas, accumulate)
