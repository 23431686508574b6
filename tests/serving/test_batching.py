import asyncio
import concurrent.futures
import threading

import numpy as np
import pytest

from alexnet_tf.serving.batching import Batcher
from alexnet_tf.serving.limits import ConcurrencyLimiter, OverloadedError


class Doubling:
    """Doubles rows, waiting for `go_on` first; 13 makes its batch fail."""

    def __init__(self):
        self.go_on = threading.Event()
        self.sizes = []

    def __call__(self, batch):
        self.sizes.append(len(batch))
        self.go_on.wait(10)
        if 13 in batch:
            raise ValueError("13")
        return {"double": 2 * batch, "row": np.arange(len(batch))}


@pytest.fixture
def doubling():
    return Doubling()


@pytest.fixture
def executor():
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        yield executor


def make_batcher(doubling, executor, max_batch=8, max_rows=100, max_cost=10):
    return Batcher(doubling, executor, ConcurrencyLimiter(max_rows), max_batch, max_cost)


def ask(batcher, doubling, batches):
    """Returns all outputs or errors of requests that come while the first is computed."""

    async def main():
        first = asyncio.create_task(batcher(np.array(batches[0])))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(batcher(np.array(batch))) for batch in batches[1:]]
        await asyncio.sleep(0.05)
        doubling.go_on.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    return asyncio.run(main())


def test_requests_that_come_meanwhile_are_computed_together(doubling, executor):
    batcher = make_batcher(doubling, executor, 5)
    answers = ask(batcher, doubling, [[1], [2, 3], [4], [5], [6], [7, 8]])
    assert [a["double"].tolist() for a in answers] == [[2], [4, 6], [8], [10], [12], [14, 16]]
    assert doubling.sizes == [1, 5, 2]


def test_a_long_request_is_computed_alone(doubling, executor):
    answers = ask(make_batcher(doubling, executor, 2), doubling, [[1], [2, 3, 4, 5], [6]])
    assert answers[1]["double"].tolist() == [4, 6, 8, 10]
    assert doubling.sizes == [1, 4, 1]


def test_a_failing_request_does_not_fail_the_others(doubling, executor):
    answers = ask(make_batcher(doubling, executor), doubling, [[1], [2], [13], [3]])
    assert [a["double"].tolist() for a in (answers[0], answers[1], answers[3])] == [[2], [4], [6]]
    assert isinstance(answers[2], ValueError)


def test_too_many_rows_are_refused_at_once(doubling, executor):
    batcher = make_batcher(doubling, executor, max_rows=3)
    answers = ask(batcher, doubling, [[1], [2, 3], [4, 5]])
    assert answers[1]["double"].tolist() == [4, 6]
    assert isinstance(answers[2], OverloadedError)


def test_a_cancelled_request_is_not_computed(doubling, executor):
    batcher = make_batcher(doubling, executor)

    async def main():
        first = asyncio.create_task(batcher(np.array([1])))
        await asyncio.sleep(0.05)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(batcher(np.array([2, 3])), 0.05)
        last = asyncio.create_task(batcher(np.array([4])))
        doubling.go_on.set()
        return await asyncio.gather(first, last)

    assert [a["double"].tolist() for a in asyncio.run(main())] == [[2], [8]]
    assert doubling.sizes == [1, 1]


def test_the_limit_is_shared_by_batchers(doubling, executor):
    limiter = ConcurrencyLimiter(3)
    one, other = (Batcher(doubling, executor, limiter, 8, 10) for _ in range(2))

    async def main():
        waiting = asyncio.create_task(one(np.array([1, 2])))
        await asyncio.sleep(0.05)
        with pytest.raises(OverloadedError):
            await other(np.array([3, 4]))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(other(np.array([3])), 0.05)
        doubling.go_on.set()
        await waiting
        return await other(np.array([5, 6, 7]))

    assert asyncio.run(main())["double"].tolist() == [10, 12, 14]


def test_expensive_requests_are_not_computed_together(doubling, executor):
    batcher = make_batcher(doubling, executor)

    async def main():
        tasks = []
        for value, cost in ((1, 0), (2, 6), (3, 4), (4, 5), (5, 50), (6, 0)):
            tasks.append(asyncio.create_task(batcher(np.array([value]), cost)))
            await asyncio.sleep(0.01)
        doubling.go_on.set()
        return await asyncio.gather(*tasks)

    answers = asyncio.run(main())
    assert [a["double"].tolist() for a in answers] == [[2], [4], [6], [8], [10], [12]]
    assert doubling.sizes == [1, 2, 1, 1, 1]  # 6 + 4; 5; 50 alone
