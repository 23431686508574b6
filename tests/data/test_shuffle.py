import itertools

import numpy as np
import pytest

from alexnet_tf.data import shuffle
from alexnet_tf.data.shuffle import shuffled_records
from tests.data.splits import sharded_split

LENGTHS = (7, 7, 1, 6, 7)
EXAMPLES = sum(LENGTHS)


def records(number, seed=3, start=0, lengths=LENGTHS):
    dataset = shuffled_records(sharded_split(lengths), seed, start)
    return list(itertools.islice(dataset.as_numpy_iterator(), number))


def epochs(number, **options):
    taken = records(number * EXAMPLES, **options)
    return np.array([record["index"] for record in taken]).reshape(number, EXAMPLES)


@pytest.fixture(params=[1, 5, 10, 1000], ids=lambda records: f"window of {records}")
def window(request, monkeypatch):
    monkeypatch.setattr(shuffle, "WINDOW_BYTES", 100 * request.param)
    return request.param


def test_every_example_once_an_epoch(window):
    for indices in epochs(3):
        assert sorted(indices) == list(range(EXAMPLES))


def test_every_epoch_and_every_seed_has_an_order_of_its_own(window):
    one, two = epochs(2)
    other = epochs(1, seed=4)[0]
    assert len({tuple(indices) for indices in (one, two, other)}) == 3


def test_places_and_epochs_are_told():
    for number, record in enumerate(records(2 * EXAMPLES)):
        assert (record["epoch"], record["position"]) == divmod(number, EXAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 9, 10, 27, 28, 40, 93])
def test_a_stream_can_start_anywhere(window, first):
    whole = records(first + 30)[first:]
    for one, other in zip(whole, records(30, start=first), strict=True):
        for name in one:
            assert one[name] == other[name]


def test_records_of_a_window_come_from_few_shards_and_windows_from_all(monkeypatch):
    monkeypatch.setattr(shuffle, "WINDOW_BYTES", 100 * 10)
    lengths = (10,) * 20
    indices = np.array([r["index"] for r in records(200, lengths=lengths)]).reshape(20, 10)
    assert all(len(set(window // 10)) <= 2 for window in indices)
    assert len({window[0] // 10 for window in indices}) > 10


def test_a_large_window_mixes_all_shards():
    """The first tenth of an epoch holds examples from everywhere."""
    lengths = (50,) * 8
    first = np.array([record["index"] for record in records(40, lengths=lengths)])
    assert len(set(first // 50)) >= 7
