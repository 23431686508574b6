import asyncio
import contextlib

import pytest

from alexnet_tf.serving.limits import BodyBudget, Limits, RateLimiter
from alexnet_tf.serving.rest import RequestError

LIMITS = Limits(max_request_bytes=10, max_pending_bytes=15, timeout=0.2)


async def stream(*chunks, pause=0.0):
    for chunk in chunks:
        await asyncio.sleep(pause)
        yield chunk


async def read(budget, *chunks, pause=0.0, content_length=0):
    async with budget.read(stream(*chunks, pause=pause), content_length) as body:
        return body


def refused(budget, *chunks, **options):
    """The status with which a body is refused."""
    with pytest.raises(RequestError) as error:
        asyncio.run(read(budget, *chunks, **options))
    return error.value.status


def test_a_body_is_read_whole_and_its_bytes_are_free_again():
    budget = BodyBudget(LIMITS)
    for _ in range(3):
        assert asyncio.run(read(budget, b"12345", b"67890")) == b"1234567890"


@pytest.mark.parametrize(
    "chunks, pause, status", [((b"12345", b"678901"), 0.0, 413), ((b"1",) * 5, 0.1, 408)]
)
def test_a_body_that_is_too_large_or_too_slow_is_refused_and_freed(chunks, pause, status):
    budget = BodyBudget(LIMITS)
    for _ in range(3):
        assert refused(budget, *chunks, pause=pause) == status
    assert asyncio.run(read(budget, b"1234567890")) == b"1234567890"


def test_a_body_that_announces_too_many_bytes_is_not_even_read():
    assert refused(BodyBudget(LIMITS), b"1", pause=60, content_length=11) == 413


def test_all_bodies_together_are_limited():
    budget = BodyBudget(LIMITS)

    async def main():
        async with budget.read(stream(b"1234567890")):
            with pytest.raises(RequestError) as error:
                await read(budget, b"123", b"456")
            assert error.value.status == 429
            assert await read(budget, b"12345") == b"12345"
        assert await read(budget, b"123456") == b"123456"

    asyncio.run(main())


def test_each_address_has_a_rate_and_may_send_twice_as_many_at_once():
    now = 100.0
    limiter = RateLimiter(5, clock=lambda: now)

    def allowed(address, requests):
        count = 0
        for _ in range(requests):
            with contextlib.suppress(RequestError):
                limiter.check(address)
                count += 1
        return count

    assert allowed("a", 100) == 10
    with pytest.raises(RequestError, match="At most 5 a second") as error:
        limiter.check("a")
    assert error.value.status == 429
    assert allowed("b", 3) == 3
    now += 0.5
    assert allowed("a", 100) == 2
    now += 1000
    assert allowed("a", 100) == 10


def test_no_rate_is_no_limit():
    limiter = RateLimiter(0)
    for _ in range(1000):
        limiter.check("a")
