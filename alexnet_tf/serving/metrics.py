"""Counts and times requests, for Prometheus."""

from __future__ import annotations

import time

import prometheus_client
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = ("/metrics", "/monitoring/prometheus/metrics")  # the second is TensorFlow Serving's
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)
_METHODS = ("predict", "classify", "explain", "metadata", "healthz", "metrics")


class Metrics:
    """The metrics of one server.

    The names are made of letters of our own: no label holds anything that a client sent.
    """

    def __init__(self):
        self._registry = prometheus_client.CollectorRegistry()
        self.requests = prometheus_client.Counter(
            "alexnet_requests", "Requests by kind and HTTP status", ["kind", "status"],
            registry=self._registry,
        )  # fmt: skip
        self.seconds = prometheus_client.Histogram(
            "alexnet_request_seconds", "Time from a request's head to the end of its answer",
            ["kind"], registry=self._registry, buckets=_SECONDS,
        )  # fmt: skip
        self.batch_images = prometheus_client.Histogram(
            "alexnet_batch_images", "Images that were computed together", registry=self._registry,
            buckets=_IMAGES,
        )  # fmt: skip
        self.in_flight = prometheus_client.Gauge(
            "alexnet_requests_in_flight", "Requests that are being read or answered",
            registry=self._registry,
        )  # fmt: skip
        prometheus_client.ProcessCollector(registry=self._registry)  # memory, files, CPU time

    def text(self) -> bytes:
        """Returns the current values in Prometheus's text format."""
        return prometheus_client.generate_latest(self._registry)


class MetricsMiddleware:
    """Counts every request, also those that other middleware refuses.

    Args:
        app: the application.
        metrics: gets the counts.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kind, started, status = _kind(scope["path"]), time.monotonic(), 0

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, send_and_see)
            finally:
                self._metrics.requests.labels(kind, status).inc()
                self._metrics.seconds.labels(kind).observe(time.monotonic() - started)


def _kind(path: str) -> str:
    """Returns one of a few words for a URL."""
    last = path.rpartition("/")[2].rpartition(":")[2]
    return last if last in _METHODS else "other"
