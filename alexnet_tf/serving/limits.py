"""What a server takes from strangers: how much, how often, how long."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator

from alexnet_tf.serving.rest import RequestError

_CLIENTS = 10_000  # addresses that are remembered


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits; a request beyond one of them is answered with 408, 413 or 429.

    Attributes:
        request_bytes: of one request.
        waiting_bytes: of all requests that are being read or answered.
        images: of one request.
        values: numbers and names of one answer, unless it is about a single image.
        pixels: of one request's encoded images, as their headers have them, and of all that are
            computed together.
        batch: images of several requests that are computed together.
        waiting_images: of all requests that are being answered.
        rate: requests a second from one address, on average; 0 for any number.
        seconds: for a request to arrive, and again to be answered.
    """

    request_bytes: int = 16 * 2**20
    waiting_bytes: int = 256 * 2**20
    images: int = 64
    values: int = 2_000_000
    pixels: int = 100_000_000
    batch: int = 32
    waiting_images: int = 1024
    rate: float = 50.0
    seconds: float = 30.0


class Rates:
    """Allows each address `rate` requests a second, and twice as many at once.

    Args:
        rate: requests a second; 0 for any number.
    """

    def __init__(self, rate: float):
        self._rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # left, at what time

    def check(self, address: str) -> None:
        """Counts a request.

        Raises:
            RequestError: 429, it is one too many.
        """
        if not self._rate:
            return
        now, most = time.monotonic(), max(1.0, 2 * self._rate)
        left, then = self._buckets.pop(address, (most, now))
        left = min(most, left + (now - then) * self._rate)
        self._buckets[address] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)  # that which was heard of the longest ago
        if left < 1:
            raise RequestError(f"Expected at most {self._rate:g} requests a second", 429)


class Bodies:
    """Reads the bodies of requests, and lets them take no more memory than it says.

    Args:
        limits: the server's.
    """

    def __init__(self, limits: Limits):
        self._limits = limits
        self._held = 0  # bytes

    @contextlib.contextmanager
    def room(self) -> Iterator[Room]:
        """Room for one request, until the context ends.

        That has to be when the request is answered: what was decoded from it, and waits for the
        model, takes as much as its body did.
        """
        room = Room(self, self._limits)
        try:
            yield room
        finally:
            self._held -= room.held

    def take(self, size: int) -> None:
        """Counts bytes.

        Raises:
            RequestError: 429, they are too many.
        """
        if self._held + size > self._limits.waiting_bytes:
            raise RequestError("Expected fewer requests at the same time", 429)
        self._held += size


class Room:
    """What one request takes of `Bodies`.

    Args:
        bodies: that it counts among.
        limits: the server's.
    """

    def __init__(self, bodies: Bodies, limits: Limits):
        self._bodies, self._limits = bodies, limits
        self.held = 0  # bytes

    async def read(self, stream: AsyncIterator[bytes], announced: int = 0) -> bytes:
        """The request's body.

        Args:
            stream: its pieces.
            announced: how many bytes it says it has; 0 if it does not say.

        Raises:
            RequestError: 408 too slow, 413 too large, 429 too many at once.
        """
        self._check_size(announced)
        try:
            return await asyncio.wait_for(self._collect(stream), self._limits.seconds)
        except asyncio.TimeoutError:
            raise RequestError(
                f"Expected a request within {self._limits.seconds:g} s", 408
            ) from None

    async def _collect(self, stream: AsyncIterator[bytes]) -> bytes:
        chunks: list[bytes] = []
        async for chunk in stream:
            self._check_size(self.held + len(chunk))
            self._bodies.take(len(chunk))
            self.held += len(chunk)
            chunks.append(chunk)
        return b"".join(chunks)

    def _check_size(self, size: int) -> None:
        if size > self._limits.request_bytes:
            raise RequestError(
                f"Expected a request of at most {self._limits.request_bytes:,} bytes", 413
            )
