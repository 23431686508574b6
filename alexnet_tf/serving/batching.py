"""Requests that come at the same time are computed together.

While one batch is computed, requests wait; all that have come until it is done are the next one.
So nobody waits for company, and the busier the server is, the larger its batches are.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

Answer = dict[str, np.ndarray]


class OverloadedError(Exception):
    """There are too many requests that wait already."""


class Places:
    """Rows that may wait or be computed, of all batchers together.

    Args:
        rows: how many.
    """

    def __init__(self, rows: int):
        self._left = rows

    @contextlib.contextmanager
    def taken(self, rows: int) -> Iterator[None]:
        """Takes some until the context ends.

        Raises:
            OverloadedError: there are not so many left.
        """
        if rows > self._left:
            raise OverloadedError
        self._left -= rows
        try:
            yield
        finally:
            self._left += rows


@dataclasses.dataclass(eq=False)
class _Request:
    batch: np.ndarray
    cost: int
    answer: asyncio.Future


class Batcher:
    """Collects what concurrent requests ask of one function.

    Args:
        function: from an array of B rows to arrays of B rows; called in another thread, one call
            at a time.
        executor: of the threads.
        places: for rows; shared with other batchers.
        max_batch: rows of one call; a longer request is computed by itself.
        max_cost: of one call, in the unit of requests' cost; likewise.
    """

    def __init__(
        self,
        function: Callable[[np.ndarray], Answer],
        executor: concurrent.futures.Executor,
        places: Places,
        max_batch: int,
        max_cost: int,
    ):
        self._function, self._executor, self._places = function, executor, places
        self._max_batch, self._max_cost = max_batch, max_cost
        self._waiting: deque[_Request] = deque()
        self._worker: asyncio.Task | None = None
        self.calls = self.rows = 0  # since the start

    async def __call__(self, batch: np.ndarray, cost: int = 0) -> Answer:
        """The function's answer to some rows; whoever gives up is forgotten.

        Args:
            batch: the rows.
            cost: what they take besides, e.g. pixels to decode.

        Raises:
            OverloadedError: too many wait.
        """
        request = _Request(batch, cost, asyncio.get_running_loop().create_future())
        with self._places.taken(len(batch)):
            self._waiting.append(request)
            if self._worker is None or self._worker.done():
                self._worker = asyncio.create_task(self._work())
            try:
                return await request.answer
            finally:
                if request in self._waiting:
                    self._waiting.remove(request)

    async def _work(self) -> None:
        while self._waiting:
            requests = self._take()
            if requests and not await self._serve(requests) and len(requests) > 1:
                for request in requests:  # one of them spoilt it for the others
                    await self._serve([request])

    async def _serve(self, requests: list[_Request]) -> bool:
        """Whether it went well; if not, a request that was alone is told why."""
        try:
            answers = await self._compute(requests)
        except Exception as error:
            if len(requests) == 1 and not requests[0].answer.done():
                requests[0].answer.set_exception(error)
            return False
        for request, answer in zip(requests, answers, strict=True):
            if not request.answer.done():  # it may have been given up meanwhile
                request.answer.set_result(answer)
        return True

    def _take(self) -> list[_Request]:
        """Those that are next."""
        taken: list[_Request] = []
        rows = cost = 0
        while self._waiting:
            request = self._waiting[0]
            rows, cost = rows + len(request.batch), cost + request.cost
            if taken and (rows > self._max_batch or cost > self._max_cost):
                break
            taken.append(self._waiting.popleft())
        return taken

    async def _compute(self, requests: list[_Request]) -> list[Answer]:
        batch = np.concatenate([request.batch for request in requests])
        self.calls += 1
        self.rows += len(batch)
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._executor, self._function, batch)
        ends = np.cumsum([len(request.batch) for request in requests])[:-1]
        parts = {name: np.split(array, ends) for name, array in answer.items()}
        return [{name: part[i] for name, part in parts.items()} for i in range(len(requests))]
