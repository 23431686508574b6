import asyncio

import pytest

from alexnet_tf.serving import limits
from alexnet_tf.serving.limits import Bodies, Limits, Rates
from alexnet_tf.serving.rest import RequestError

LIMITS = Limits(request_bytes=10, waiting_bytes=15, seconds=0.2)


async def stream(*chunks, pause=0.0):
    for chunk in chunks:
        await asyncio.sleep(pause)
        yield chunk


def read(bodies, *chunks, pause=0.0, announced=0):
    with bodies.room() as room:
        return asyncio.run(room.read(stream(*chunks, pause=pause), announced))


def test_a_body_is_read_whole_and_its_room_is_free_again():
    bodies = Bodies(LIMITS)
    for _ in range(3):
        assert read(bodies, b"12345", b"67890") == b"1234567890"


@pytest.mark.parametrize(
    "chunks, pause, status", [((b"12345", b"678901"), 0.0, 413), ((b"1",) * 5, 0.1, 408)]
)
def test_what_is_too_large_or_too_slow_is_refused_and_forgotten(chunks, pause, status):
    bodies = Bodies(LIMITS)
    for _ in range(3):
        with pytest.raises(RequestError) as error:
            read(bodies, *chunks, pause=pause)
        assert error.value.status == status
    assert read(bodies, b"1234567890") == b"1234567890"


def test_what_announces_too_much_is_not_even_read():
    with pytest.raises(RequestError) as error:
        read(Bodies(LIMITS), b"1", pause=60, announced=11)
    assert error.value.status == 413


def test_all_together_hold_no_more_than_they_may():
    bodies = Bodies(LIMITS)
    with bodies.room() as room:
        asyncio.run(room.read(stream(b"1234567890")))
        with pytest.raises(RequestError) as error:
            read(bodies, b"123", b"456")
        assert error.value.status == 429
        assert read(bodies, b"12345") == b"12345"
    assert read(bodies, b"123456") == b"123456"


def test_each_address_has_a_rate_and_may_ask_twice_as_much_at_once(monkeypatch):
    now = 100.0
    monkeypatch.setattr(limits.time, "monotonic", lambda: now)
    rates = Rates(5)

    def allowed(address, requests):
        count = 0
        for _ in range(requests):
            try:
                rates.check(address)
                count += 1
            except RequestError as error:
                assert error.status == 429
        return count

    assert allowed("a", 100) == 10
    assert allowed("b", 3) == 3
    now += 0.5
    assert allowed("a", 100) == 2
    now += 1000
    assert allowed("a", 100) == 10


def test_no_rate_is_no_limit():
    rates = Rates(0)
    for _ in range(1000):
        rates.check("a")
