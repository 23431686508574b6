"""Workers that find each other, and what they are told if they do not fit together."""

import json
import socket
import threading

import pytest

from alexnet_tf.launch import free_ports
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.cluster import Cluster, find_cluster, join_cluster, meet


def in_threads(clusters, facts, seconds=5.0):
    """Lets workers meet; returns what each raised, or None."""
    results = {}

    def one(cluster, fact):
        try:
            results[cluster.index] = meet(cluster, fact, seconds)
        except UserError as error:
            results[cluster.index] = str(error)

    threads = [threading.Thread(target=one, args=pair) for pair in zip(clusters, facts)]  # noqa: B905
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def three():
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(3))
    return [Cluster(addresses, index) for index in range(3)]


def test_workers_with_the_same_flags_meet(three):
    assert in_threads(three, [{"--seed": (1, 2)}] * 3) == {0: None, 1: None, 2: None}


def test_workers_with_other_flags_are_told(three):
    results = in_threads(three, [{"--seed": 1}, {"--seed": 1}, {"--seed": 2}])
    expected = "Expected the same --seed on all workers. Received: 1 on worker 0, 2 on worker 2"
    assert results[0] == results[2] == expected


def test_a_worker_that_never_comes_is_named(three):
    results = in_threads(three[:2], [{}, {}], seconds=1.0)
    assert (
        results[0].startswith("worker 2 (127.0.0.1:") and "did not start within 1 s" in results[0]
    )
    assert results[1] == results[0]
    results = in_threads(three[1:2], [{}], seconds=0.5)
    assert results[1].startswith("Worker 0 (127.0.0.1:") and "did not answer" in results[1]


def test_a_stranger_at_the_door_changes_nothing(three):
    def knock():
        for noise in (b"GET / HTTP/1.1\r\n\r\n", b"", b"[7, {}]\n", b"\xff" * 70_000 + b"\n"):
            with socket.create_connection(three[0].addresses[0].split(":"), timeout=5) as stranger:
                stranger.sendall(noise)

    stranger = threading.Timer(0.3, knock)
    stranger.start()
    late = threading.Timer(1.0, in_threads, (three[1:], [{}, {}]))
    late.start()
    assert in_threads(three[:1], [{}]) == {0: None}
    stranger.join(), late.join()


def test_workers_whose_clusters_differ_are_told():
    results = {}

    def join(index, ports):
        workers = tuple(f"127.0.0.1:{port}" for port in ports)
        try:
            results[index] = join_cluster(workers, index, {}, 5.0)
        except UserError as error:
            results[index] = str(error)

    ports = free_ports(3)
    other = threading.Thread(target=join, args=(1, (ports[0], ports[2])))
    other.start()
    join(0, ports[:2])
    other.join()
    assert results[0] == results[1]
    assert results[0].startswith("Expected the same cluster on all workers")


def test_an_ipv6_address_is_listened_to_without_its_brackets():
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("", 0))
        ports = probe.getsockname()[1], free_ports(1)[0]
    two = [Cluster(tuple(f"[::1]:{port}" for port in ports), index) for index in range(2)]
    assert in_threads(two, [{}, {}]) == {0: None, 1: None}


def test_a_port_in_use_is_named(three):
    with socket.socket() as other:
        other.bind(("", int(three[1].addresses[1].split(":")[1])))
        other.listen()
        with pytest.raises(UserError, match="Worker 1 cannot listen on port .*: Address already"):
            meet(three[1], {}, 1.0)


@pytest.mark.parametrize(
    "workers, index, complaint",
    [
        (("a:1", "b"), 0, "host:port. Received: b"),
        (("a:1", "b:port"), 0, "Received: b:port"),
        (("a:1", "[]:1"), 0, r"Received: \[\]:1"),
        (("a:1", "a:1"), 0, "each worker once"),
        (("a:1", "b:1"), 2, "from 0 to 1. Received: 2"),
        (("a:1", "b:1"), None, "Received: None"),
        ((), 1, "Received: 1 alone"),
    ],
)
def test_workers_that_cannot_be_are_refused(workers, index, complaint):
    with pytest.raises(UserError, match=complaint):
        find_cluster(workers, index)


@pytest.mark.parametrize(
    "text, expected",
    [
        ('{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}', 1),
        (
            '{"cluster": {"chief": ["a:1"], "worker": ["b:2"]},'
            ' "task": {"type": "worker", "index": 0}}',
            1,
        ),
        ('{"cluster": {"chief": ["a:1"], "worker": ["b:2"]}, "task": {"type": "chief"}}', 0),
    ],
)
def test_tf_config_is_read(monkeypatch, text, expected):
    monkeypatch.setenv("TF_CONFIG", text)
    assert find_cluster((), None) == Cluster(("a:1", "b:2"), expected)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{}", '{"cluster": {}}', '{"cluster": null, "task": null}',
        '{"task": {"type": "chief", "index": 0}, "environment": "cloud"}',
        '{"cluster": {"worker": [], "ps": []}, "task": {"type": "evaluator"}}',
    ],
)  # fmt: skip
def test_a_tf_config_without_a_cluster_is_a_single_process(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert find_cluster((), None) == Cluster()
    assert find_cluster(("a:1", "b:1"), 1).index == 1
    with pytest.raises(UserError, match="Received: 0 alone"):
        find_cluster((), 0)


def test_a_tf_config_of_a_chief_alone_is_a_single_process(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"chief": ["a:1"]}, "task": {"type": "chief"}}')
    assert find_cluster((), None).workers == 1


@pytest.mark.parametrize(
    "cluster, task, complaint",
    [
        ({"chief": ["a:1"], "ps": ["b:1"]}, {"type": "chief"}, "ps: only chief and worker"),
        ({"worker": ["a:1"]}, {"type": "evaluator"}, "evaluator: only chief and worker"),
        ({"chief": ["a:1"], "worker": ["b:1"]}, {"type": "chief", "index": 1}, "no chief 1"),
        ({"worker": ["a:1"]}, {"type": "worker", "index": -1}, "no worker -1"),
        ({"worker": "a:1"}, {}, "worker: not a list"),
        ({"worker": {"0": "a:1"}}, {}, "worker: not a list"),
        ({"worker": [3]}, {}, "worker: not a list"),
        ({"worker": ["a:1"]}, {"index": "first"}, "invalid literal"),
        ({"worker": ["a:1"]}, "worker", "no attribute"),
    ],
)
def test_a_wrong_tf_config_is_refused_in_one_line(monkeypatch, cluster, task, complaint):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    with pytest.raises(UserError, match=complaint) as error:
        find_cluster((), None)
    assert "\n" not in str(error.value)


def test_a_tf_config_that_is_none_is_refused(monkeypatch):
    others = '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker"}}'
    evaluator = '{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}'
    for text in ("{", "[]", '{"cluster": 3}', others, evaluator):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(UserError, match="Expected TF_CONFIG as"):
            find_cluster((), None)
