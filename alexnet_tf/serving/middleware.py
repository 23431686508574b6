"""Refuses requests that are ambiguous or that other web sites' pages send."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# Proxies and applications differ in which one of several they take.
_SINGLE_HEADERS = (
    *("Host", "Content-Length", "Transfer-Encoding", "Content-Type", "Origin", "Sec-Fetch-Site"),
)
# Tells browsers to run only the server's own scripts, and to refuse its page in a frame.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "X-Content-Type-Options": "nosniff",
}


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
        if error := _ambiguity(headers, scope["http_version"]):
            # Whatever follows on this connection may be the rest of the body.
            return JSONResponse({"error": error}, 400, {"Connection": "close"})
        host = headers.get("Host", "").lower()
        name = re.sub(r":\d*$", "", host).removesuffix(".")
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


def _ambiguity(headers: Headers, http_version: str) -> str:
    """Returns why two readers could understand a request differently; empty if they could not."""
    for name in _SINGLE_HEADERS:
        if (count := len(headers.getlist(name))) > 1:
            return f"Expected one header {name}. Received: {count}"
    if "Transfer-Encoding" in headers and "Content-Length" in headers:
        return "Expected Content-Length or Transfer-Encoding. Received: both"
    if "Transfer-Encoding" in headers and http_version == "1.0":
        return "Expected no Transfer-Encoding with HTTP/1.0"
    return ""
