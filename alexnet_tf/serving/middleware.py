"""Guards between the network and the application: other sites' pages, idle connections."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

# Tells browsers to run only the server's own scripts, and to refuse its page in a frame.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "X-Content-Type-Options": "nosniff",
}
_CHECKS_PER_TIMEOUT = 4


class SameOriginMiddleware:
    """Refuses requests to unknown host names, and requests that another site's page sends.

    Starlette's TrustedHostMiddleware checks host names only, and answers in plain text.

    Args:
        app: the application.
        hosts: names of this server; "*" for any.
    """

    def __init__(self, app: ASGIApp, hosts: list[str]):
        self._app, self._hosts = app, [host.lower() for host in hosts]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        app = self._refusal(Headers(scope=scope), scope) if scope["type"] == "http" else None
        await (app or self._app)(scope, receive, send)

    def _refusal(self, headers: Headers, scope: Scope) -> ASGIApp | None:
        host = headers.get("Host", "").lower()
        name = re.sub(r":\d*$", "", host)
        if "*" not in self._hosts and name not in self._hosts:
            error = f"Expected host {' or '.join(self._hosts)} (--allowed_hosts). Received: "
            return JSONResponse({"error": error + name[:100]}, 400)
        origin = headers.get("Origin")
        other_site = origin is not None and origin.lower().partition("://")[2] != host
        if scope["method"] == "POST" and (
            other_site or headers.get("Sec-Fetch-Site") == "cross-site"
        ):
            return JSONResponse({"error": "Pages of other sites may not use this server."}, 403)
        return None


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
