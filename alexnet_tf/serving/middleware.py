"""What stands between the network and the server: browsers that others sent, idle connections."""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "X-Content-Type-Options": "nosniff",
}
_LOOKS = 4  # at a connection, in the time that it has


class OwnSite:
    """Refuses what a browser sends for the page of another site, and keeps others' frames away.

    Args:
        app: that answers.
        hosts: names under which it may be addressed; "*" for any.
    """

    def __init__(self, app: ASGIApp, hosts: list[str]):
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""

        async def send_with_headers(message: Message) -> None:
            """Sends, and adds the headers to the beginning of an answer."""
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._answering(scope)(scope, receive, send_with_headers)

    def _answering(self, scope: Scope) -> ASGIApp:
        """What answers: that which there is for it, or a refusal."""
        if scope["type"] != "http":
            return self._app
        headers = Headers(scope=scope)
        host = re.sub(r":\d*$", "", headers.get("Host", ""))
        if "*" not in self._hosts and host not in self._hosts:
            text = f"Expected to be addressed as {', '.join(self._hosts)} (--allowed_hosts)"
            return JSONResponse({"error": f"{text}. Received: {host[:100]}"}, 400)
        if scope["method"] == "POST" and _foreign(headers):
            return JSONResponse({"error": "Expected no request of another site's page"}, 403)
        return self._app


def _foreign(headers: Headers) -> bool:
    """Whether a browser says that another site's page asks."""
    origin = headers.get("Origin")
    elsewhere = origin is not None and origin.partition("://")[2] != headers.get("Host")
    return elsewhere or headers.get("Sec-Fetch-Site") == "cross-site"


def impatient(seconds: float) -> type[H11Protocol]:
    """HTTP that hangs up on whoever does not send a request's head, or read an answer, in time.

    The server itself sees to bodies (limits.py).

    Args:
        seconds: for either.
    """

    class Impatient(H11Protocol):
        """Looks at itself now and then."""

        def connection_made(self, transport) -> None:  # noqa: ANN001 - as in the base class
            """Begins to look."""
            super().connection_made(transport)
            self._state, self._since = None, self.loop.time()
            self._look()

        def _look(self) -> None:
            idle = self.cycle is None or self.cycle.response_complete
            unread = self.flow.write_paused
            if (state := (id(self.cycle), idle, unread)) != self._state:
                self._state, self._since = state, self.loop.time()
            if (idle or unread) and self.loop.time() - self._since >= seconds:
                self.transport.abort()
            else:
                self._next_look = self.loop.call_later(seconds / _LOOKS, self._look)

        def connection_lost(self, exc: Exception | None) -> None:
            """Looks no more."""
            self._next_look.cancel()
            super().connection_lost(exc)

    return Impatient
