"""Limits on requests: how large, how many, how often, how long.

uvicorn limits connections and the size of a request's head (server.py). Starlette limits the size
of one body, but not the memory of all bodies together nor the time that a body may take, and it
answers in plain text; an asyncio semaphore makes callers wait where a server should refuse.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator

from alexnet_tf.serving.rest import RequestError

_MAX_ADDRESSES = 10_000  # that `RateLimiter` remembers


@dataclasses.dataclass(frozen=True)
class Limits:
    """A request beyond one of these limits is answered with 408, 413, 429 or 504.

    Attributes:
        max_request_bytes: of one request's body, and of its encoded images.
        max_pending_bytes: of all requests that are being read or answered.
        max_images: per request.
        max_values: numbers and names per answer, unless it is about a single image.
        max_pixels: of one request's encoded images, as their headers give them, and of all that
            are computed together.
        max_batch: images of several requests that are computed together.
        max_pending_images: of all requests that are being answered.
        max_rate: requests a second from one address, on average; 0 for any number.
        timeout: seconds for a request to arrive, and the same for its answer, parsing included.
    """

    max_request_bytes: int = 16 * 2**20
    max_pending_bytes: int = 64 * 2**20
    max_images: int = 64
    max_values: int = 2_000_000
    max_pixels: int = 100_000_000
    max_batch: int = 32
    max_pending_images: int = 1024
    max_rate: float = 50.0
    timeout: float = 30.0


class OverloadedError(RequestError):
    """Too many other requests are waiting (429)."""

    def __init__(self):
        super().__init__("The server is busy. Try again later.", 429)


class RateLimiter:
    """Allows each address `max_rate` requests a second, and twice as many at once.

    Args:
        max_rate: requests a second; 0 for any number.
        clock: returns seconds, like `time.monotonic`.
    """

    def __init__(self, max_rate: float, clock: Callable[[], float] = time.monotonic):
        self._max_rate, self._clock = max_rate, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens and time

    def check(self, address: str) -> None:
        """Counts a request.

        Raises:
            RequestError: 429, the address has sent too many.
        """
        if not self._max_rate:
            return
        now, capacity = self._clock(), max(1.0, 2 * self._max_rate)
        tokens, updated = self._buckets.pop(address, (capacity, now))
        tokens = min(capacity, tokens + (now - updated) * self._max_rate)
        self._buckets[address] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._buckets) > _MAX_ADDRESSES:
            self._buckets.popitem(last=False)  # the least recent one
        if tokens < 1:
            raise RequestError(
                f"Too many requests from your address. At most {self._max_rate:g} a second are "
                "allowed (--max_rate).",
                429,
            )


class ConcurrencyLimiter:
    """Limits the rows that wait or are computed, over all batchers.

    Args:
        max_rows: the limit.
    """

    def __init__(self, max_rows: int):
        self._free = max_rows

    @contextlib.contextmanager
    def hold(self, rows: int) -> Iterator[None]:
        """Reserves rows until the context ends.

        Raises:
            OverloadedError: not enough are free.
        """
        if rows > self._free:
            raise OverloadedError
        self._free -= rows
        try:
            yield
        finally:
            self._free += rows


class BodyBudget:
    """Reads the bodies of requests and limits the memory of all of them together.

    Args:
        limits: the server's.
    """

    def __init__(self, limits: Limits):
        self._limits = limits
        self._held = 0  # bytes, of all requests

    @contextlib.asynccontextmanager
    async def read(
        self, stream: AsyncIterator[bytes], content_length: int = 0
    ) -> AsyncIterator[bytearray]:
        """Reads one body; its bytes count until the context ends.

        Clear the body when it is parsed. End the context when the request is answered: its decoded
        contents wait for the model and take as much memory as the body.

        Args:
            stream: the body in chunks.
            content_length: bytes that the request announces; 0 if it does not.

        Raises:
            RequestError: 408 too slow, 413 too large, 429 too many bodies at the same time.
        """
        held = 0

        async def collect() -> bytearray:
            nonlocal held
            body = bytearray()
            async for chunk in stream:
                self._check_size(held + len(chunk))
                if self._held + len(chunk) > self._limits.max_pending_bytes:
                    raise OverloadedError
                held += len(chunk)
                self._held += len(chunk)
                body += chunk
            return body

        self._check_size(content_length)
        try:
            try:
                body = await asyncio.wait_for(collect(), self._limits.timeout)
            except asyncio.TimeoutError:
                raise RequestError(
                    f"The request did not arrive within {self._limits.timeout:g} s.", 408
                ) from None
            yield body
        finally:
            self._held -= held

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_request_bytes:
            raise RequestError(
                f"The request is too large: at most {self._limits.max_request_bytes:,} bytes are "
                "allowed.",
                413,
            )
