"""The web server: its socket, connections that are idle, and how it ends."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from alexnet_tf.serving.middleware import SECURITY_HEADERS
from alexnet_tf.system.errors import UserError

_MAX_CONNECTIONS = 800  # a process may usually open 1,024 files
_BACKLOG = 512  # connections that wait to be accepted
_SHUTDOWN_SECONDS = 5  # for requests that are being answered at Ctrl-C
_GOODBYE_SECONDS = 5  # more, to tell clients that their requests are not answered
_CHECKS_PER_TIMEOUT = 4


def listen(host: str, port: int) -> socket.socket:
    """Opens the server's socket.

    Args:
        host: address of an interface.
        port: 0 for any.

    Raises:
        UserError: the address is in use or is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that name TCP as their protocol. Without it, answers
    # over a reused connection wait some 40 ms for the client's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UserError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another --host or --port."
        ) from None
    return listener


def web_server(app: ASGIApp, timeout: float) -> uvicorn.Server:
    """Returns a web server for an application; `run(sockets=[listener])` runs it until Ctrl-C.

    Args:
        app: the application.
        timeout: seconds for a client to send a request's head, and to read an answer.
    """
    config = uvicorn.Config(
        app,
        log_level="error",
        headers=list(SECURITY_HEADERS.items()),
        server_header=False,
        proxy_headers=False,  # else a client could claim another address and evade the rate limit
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS + _GOODBYE_SECONDS,
        limit_concurrency=_MAX_CONNECTIONS,
        http=idle_timeout_protocol(timeout),
        ws="none",
        lifespan="off",  # unused; uvicorn would print a traceback of it at a second Ctrl-C
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """Answers every request that it has accepted, also at its end.

    uvicorn cancels requests that take too long and ends at once, before each of them has been
    answered with status 503.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts no more connections, and waits for the requests of the others."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(0.1)  # accepted connections send their requests
        late = asyncio.get_running_loop().call_later(_SHUTDOWN_SECONDS, self._cancel_requests)
        await super().shutdown(sockets)
        late.cancel()

    def _cancel_requests(self) -> None:
        for task in self.server_state.tasks:
            task.cancel()


def idle_timeout_protocol(seconds: float) -> type[H11Protocol]:
    """Makes a protocol that closes connections of clients that are too slow.

    uvicorn's `timeout_keep_alive` counts only between requests: a client could take for ever to
    send its first request's head, or to read an answer. limits.py limits the time of bodies.

    Args:
        seconds: to send a request's head, and to read an answer.
    """

    class IdleTimeoutProtocol(H11Protocol):
        """Checks its own state at intervals."""

        def connection_made(self, transport) -> None:  # noqa: ANN001 - as in the base class
            """Starts checking."""
            super().connection_made(transport)
            self._last_state, self._last_change = None, self.loop.time()
            self._check()

        def _check(self) -> None:
            idle = self.cycle is None or self.cycle.response_complete
            unread = self.flow.write_paused
            if (state := (id(self.cycle), idle, unread)) != self._last_state:
                self._last_state, self._last_change = state, self.loop.time()
            if (idle or unread) and self.loop.time() - self._last_change >= seconds:
                self.transport.abort()
            else:
                self._next_check = self.loop.call_later(seconds / _CHECKS_PER_TIMEOUT, self._check)

        def connection_lost(self, exc: Exception | None) -> None:
            """Stops checking."""
            self._next_check.cancel()
            super().connection_lost(exc)

    return IdleTimeoutProtocol
