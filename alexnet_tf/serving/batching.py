"""Batches requests that arrive at the same time.

While one batch is computed, requests wait; all that have arrived by then form the next batch. So
no request waits for others to arrive, and batches grow with the load.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
from collections import deque
from collections.abc import Callable

import numpy as np

from alexnet_tf.serving.limits import ConcurrencyLimiter

Outputs = dict[str, np.ndarray]  # output name to an array of B rows


@dataclasses.dataclass(eq=False)
class _Pending:
    batch: np.ndarray
    cost: int
    outputs: asyncio.Future


class Batcher:
    """Batches concurrent calls of one function.

    Args:
        function: from an array of B rows to arrays of B rows; called in another thread, one call
            at a time.
        executor: runs the function; it has one thread.
        concurrency: limits the rows of all batchers that share it.
        max_batch: rows per call; a longer request is computed alone.
        max_cost: total cost of the requests per call; a costlier request is computed alone.
    """

    def __init__(
        self,
        function: Callable[[np.ndarray], Outputs],
        executor: concurrent.futures.Executor,
        concurrency: ConcurrencyLimiter,
        max_batch: int,
        max_cost: int,
    ):
        self._function, self._executor, self._concurrency = function, executor, concurrency
        self._max_batch, self._max_cost = max_batch, max_cost
        self._queue: deque[_Pending] = deque()
        self._worker: asyncio.Task | None = None

    async def __call__(self, batch: np.ndarray, cost: int = 0) -> Outputs:
        """Computes the function of some rows. A cancelled call leaves the queue.

        Args:
            batch: the rows.
            cost: counts towards `max_cost`, e.g. pixels to decode.

        Raises:
            OverloadedError: too many rows wait.
        """
        pending = _Pending(batch, cost, asyncio.get_running_loop().create_future())
        with self._concurrency.hold(len(batch)):
            self._queue.append(pending)
            if self._worker is None or self._worker.done():
                self._worker = asyncio.create_task(self._work())
            try:
                return await pending.outputs
            finally:
                if pending in self._queue:
                    self._queue.remove(pending)

    async def _work(self) -> None:
        while self._queue:
            group = self._next_group()
            if not await self._compute(group) and len(group) > 1:
                for pending in group:  # one of them made the whole batch fail
                    await self._compute([pending])

    def _next_group(self) -> list[_Pending]:
        group: list[_Pending] = []
        rows = cost = 0
        while self._queue:
            rows, cost = rows + len(self._queue[0].batch), cost + self._queue[0].cost
            if group and (rows > self._max_batch or cost > self._max_cost):
                break
            group.append(self._queue.popleft())
        return group

    async def _compute(self, group: list[_Pending]) -> bool:
        """Returns whether it succeeded; a request that fails alone gets the exception."""
        try:
            results = await self._call(group)
        except Exception as error:
            if len(group) == 1 and not group[0].outputs.done():
                group[0].outputs.set_exception(error)
            return False
        for pending, outputs in zip(group, results, strict=True):
            if not pending.outputs.done():  # else it was cancelled meanwhile
                pending.outputs.set_result(outputs)
        return True

    async def _call(self, group: list[_Pending]) -> list[Outputs]:
        batch = np.concatenate([pending.batch for pending in group])
        loop = asyncio.get_running_loop()
        outputs = await loop.run_in_executor(self._executor, self._function, batch)
        ends = np.cumsum([len(pending.batch) for pending in group])[:-1]
        parts = {name: np.split(array, ends) for name, array in outputs.items()}
        return [{name: part[i] for name, part in parts.items()} for i in range(len(group))]
