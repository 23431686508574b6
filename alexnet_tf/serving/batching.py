"""Requests that come at the same time are computed together.

While one batch is computed, requests wait; all that have come until it is done are the next one.
So nobody waits for company, and the busier the server is, the larger its batches are.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
from collections import deque
from collections.abc import Callable

import numpy as np

Answer = dict[str, np.ndarray]


class OverloadedError(Exception):
    """There are too many requests that wait already."""


@dataclasses.dataclass
class _Request:
    batch: np.ndarray
    answer: asyncio.Future


class Batcher:
    """Collects what concurrent requests ask of one function.

    Args:
        function: from an array of B rows to arrays of B rows; called in another thread, one call
            at a time.
        executor: of the threads.
        max_batch: rows of one call; a longer request is computed by itself.
        max_waiting: rows that may wait.
    """

    def __init__(
        self,
        function: Callable[[np.ndarray], Answer],
        executor: concurrent.futures.Executor,
        max_batch: int,
        max_waiting: int,
    ):
        self._function, self._executor = function, executor
        self._max_batch, self._max_waiting = max_batch, max_waiting
        self._waiting: deque[_Request] = deque()
        self._worker: asyncio.Task | None = None
        self.calls = self.rows = 0  # since the start

    async def __call__(self, batch: np.ndarray) -> Answer:
        """The function's answer to some rows.

        Raises:
            OverloadedError: too many wait.
        """
        if sum(len(request.batch) for request in self._waiting) + len(batch) > self._max_waiting:
            raise OverloadedError
        request = _Request(batch, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await request.answer

    async def _work(self) -> None:
        while self._waiting:
            requests = self._take()
            if requests and not await self._answer(requests) and len(requests) > 1:
                for request in requests:  # one of them spoilt it for the others
                    await self._answer([request])

    async def _answer(self, requests: list[_Request]) -> bool:
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
        """Those that are next, without those that have been given up."""
        taken: list[_Request] = []
        rows = 0
        while self._waiting:
            request = self._waiting[0]
            if taken and rows + len(request.batch) > self._max_batch:
                break
            self._waiting.popleft()
            if not request.answer.done():
                taken.append(request)
                rows += len(request.batch)
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
