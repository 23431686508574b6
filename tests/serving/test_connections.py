"""Connections of slow and idle clients, to an application that answers at once."""

import contextlib
import re
import socket
import time

import pytest

pytest.importorskip("starlette", reason="needs the extra `serve`")

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from alexnet_tf.serving.web_server import listen
from alexnet_tf.system.errors import UserError
from tests.serving.running import running

SECONDS = 1.0  # the server's time-out
PATIENCE = 30.0  # on a busy machine
LARGE = bytes(64 * 2**20)  # more than the buffers of a connection hold


async def small(request):
    return Response(b"small")


async def large(request):
    return Response(LARGE)


@pytest.fixture(scope="module")
def server():
    app = Starlette(routes=[Route("/", small), Route("/large", large)])
    with running(app, SECONDS) as served:
        yield served


@contextlib.contextmanager
def connected(server):
    with socket.create_connection(server.address) as connection:
        connection.settimeout(PATIENCE)
        yield connection


def seconds_until_closed(connection):
    started = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(2**16):
            pass
    return time.monotonic() - started


@pytest.mark.parametrize("sent", [b"", b"GET /", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
def test_a_connection_without_a_request_is_closed(server, sent):
    with connected(server) as connection:
        connection.sendall(sent)
        assert 0.9 * SECONDS < seconds_until_closed(connection) < PATIENCE


def test_a_head_that_comes_byte_by_byte_is_given_up(server):
    started = time.monotonic()
    with connected(server) as connection, contextlib.suppress(BrokenPipeError, ConnectionError):
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        while time.monotonic() - started < PATIENCE:
            connection.sendall(b"x")
            time.sleep(0.1)
    assert time.monotonic() - started < PATIENCE


def test_a_client_that_does_not_read_is_given_up(server):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect(server.address)
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        received = connection.recv(1000)
        announced = int(re.search(rb"content-length: (\d+)", received)[1])
        time.sleep(3 * SECONDS)
        length = len(received)
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(2**20):
                length += len(more)
    assert length < announced == len(LARGE)  # the rest was thrown away


def test_a_client_that_asks_now_and_then_is_not_given_up(server):
    with contextlib.closing(server.connect()) as connection:
        for _ in range(6):
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"small"
            time.sleep(SECONDS / 2)


def test_small_answers_are_sent_at_once(server):
    """Without TCP_NODELAY each answer over a reused connection waits for an acknowledgement."""
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/")
        connection.getresponse().read()
        port = connection.sock.getsockname()[1]
        (accepted,) = (
            other.transport.get_extra_info("socket")
            for other in server.uvicorn.server_state.connections
            if other.client[1] == port
        )
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_address_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port}: Address already in use. Choose"):
            listen("127.0.0.1", port)
