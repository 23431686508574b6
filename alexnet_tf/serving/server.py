"""A web server with TensorFlow Serving's REST API for one model, and a page to try it.

GET  /v1/models/NAME[/versions/N]                status
GET  /v1/models/NAME[/versions/N]/metadata       signatures
POST /v1/models/NAME[/versions/N]:predict        rest.py has the format
POST /v1/models/NAME[/versions/N]:classify
GET  /                                           the page
POST /explain                                    an image file; the page shows the answer
GET  /healthz                                    whether the server answers
GET  /metrics                                    metrics.py; also under TensorFlow Serving's path
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import json
import pathlib
import sys
from collections.abc import Awaitable, Callable

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from alexnet_tf.serving import metrics
from alexnet_tf.serving.batching import Batcher, Outputs
from alexnet_tf.serving.limits import BodyBudget, ConcurrencyLimiter, Limits, RateLimiter
from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.serving.memory import MemoryTrimmer
from alexnet_tf.serving.metrics import Metrics, MetricsMiddleware
from alexnet_tf.serving.middleware import SameOriginMiddleware
from alexnet_tf.serving.requests import InferenceRequest, RequestParser
from alexnet_tf.serving.rest import RequestError
from alexnet_tf.serving.signatures import TEN_VIEWS

_PAGE = pathlib.Path(__file__).parent / "page"
_PAGE_FILES = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}
LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")

Handler = Callable[[Request], Awaitable[Response]]


class Server:
    """The application: answers requests about one model.

    Args:
        model: loaded.
        name: of the model in URLs.
        limits: of all requests.
        hosts: host names of the server; "*" for any. A server on the loopback interface accepts
            only its own names, so that no web site can reach it through a visitor's browser.

    Attributes:
        app: the ASGI application.
    """

    def __init__(self, model: LoadedModel, name: str, limits: Limits, hosts: list[str]):
        self._model, self._name, self._limits = model, name, limits
        self._parser = RequestParser(model, limits)
        self._bodies, self._rates = BodyBudget(limits), RateLimiter(limits.max_rate)
        # One thread each: a parsed request takes far more memory than its body.
        self._parse_thread = concurrent.futures.ThreadPoolExecutor(1)
        self._format_thread = concurrent.futures.ThreadPoolExecutor(1)
        compute_thread = concurrent.futures.ThreadPoolExecutor(1)
        self._trimmer = MemoryTrimmer(self._format_thread)
        self._metrics = Metrics()
        concurrency = ConcurrencyLimiter(limits.max_pending_images)
        self._batchers = {
            signature: Batcher(
                functools.partial(self.compute, signature),
                compute_thread,
                concurrency,
                self._rows(signature),
                limits.max_pixels,
            )
            for signature in model.functions
        }
        self.app = Starlette(
            routes=self._routes(),
            middleware=[
                Middleware(MetricsMiddleware, metrics=self._metrics),
                Middleware(SameOriginMiddleware, hosts=hosts),
            ],
            exception_handlers={HTTPException: _no_route},
        )

    def _routes(self) -> list[Route]:
        # Starlette's StaticFiles would answer every other URL, too, and a wrong method with 404.
        routes = [
            Route(path, functools.partial(_send_file, _PAGE / file))
            for path, file in _PAGE_FILES.items()
        ]
        # Neither is limited in rate: they are asked while the server is busy.
        routes += [Route("/healthz", self._health)]
        routes += [Route(path, self._show_metrics) for path in metrics.PATHS]
        explain = self._endpoint(functools.partial(self._infer, self._parser.explain))
        # The second is the URL of version 0.1.
        routes += [Route(path, explain, methods=["POST"]) for path in ("/explain", "/look")]
        parsers = {"predict": self._parser.predict, "classify": self._parser.classify}
        for path in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):
            for method, parse in parsers.items():
                endpoint = self._endpoint(functools.partial(self._infer, parse))
                routes.append(Route(f"{path}:{method}", endpoint, methods=["POST"]))
            routes += [
                Route(f"{path}/metadata", self._endpoint(self._metadata)),
                Route(path, self._endpoint(self._status)),
            ]
        return routes

    def _endpoint(self, handle: Handler) -> Handler:
        """Checks a request before it is handled, and turns exceptions into answers.

        Starlette's handler of all exceptions raises them again, and uvicorn prints a traceback.
        """

        async def endpoint(request: Request) -> Response:
            """Answers a request."""
            try:
                self._rates.check(request.client.host if request.client else "")
                self._check_model(request)
                return await handle(request)
            except ClientDisconnect:
                return Response(status_code=499)  # nobody receives it
            except asyncio.CancelledError:  # at a second Ctrl-C
                return _error(RequestError("The server is shutting down.", 503))
            except HTTPException:
                raise  # to `_no_route`
            except Exception as error:
                return _error(error)

        return endpoint

    def _check_model(self, request: Request) -> None:
        name, version = (request.path_params.get(key) for key in ("name", "version"))
        if (version or name or "").endswith((":predict", ":classify")):
            raise HTTPException(405, headers={"Allow": "POST"})
        if name not in (None, self._name) or version not in (None, str(self._model.version)):
            raise RequestError(
                f"Expected model {self._name}, version {self._model.version}. Received: "
                f"{(name or self._name)[:100]}" + (f", version {version[:100]}" if version else ""),
                404,
            )

    async def _infer(
        self, parse: Callable[[bytearray], InferenceRequest], request: Request
    ) -> Response:
        """Works in threads, so that the server takes other requests meanwhile."""
        codings = ",".join(request.headers.getlist("Content-Encoding"))
        if any(coding.strip().lower() != "identity" for coding in codings.split(",") if coding):
            raise RequestError(
                f"Expected a body that is not encoded. Received: Content-Encoding {codings[:50]}",
                415,
            )
        length = request.headers.get("Content-Length", "0")
        length = int(length) if length.isdecimal() else 0
        try:
            async with self._bodies.read(request.stream(), length) as body:
                return await asyncio.wait_for(self._answer(parse, body), self._limits.timeout)
        finally:
            self._trimmer.request()

    async def _answer(
        self, parse: Callable[[bytearray], InferenceRequest], body: bytearray
    ) -> Response:
        loop = asyncio.get_running_loop()
        inference = await loop.run_in_executor(self._parse_thread, _parse, parse, body)
        body.clear()
        if isinstance(inference, RequestError):
            raise inference
        outputs = await self._outputs(inference)
        text = await loop.run_in_executor(
            self._format_thread, lambda: json.dumps(inference.to_json(outputs))
        )
        return _json(text)

    async def _outputs(self, inference: InferenceRequest) -> Outputs:
        if not len(inference.batch):  # TensorFlow's fused convolutions fail on empty batches
            return self._model.empty_outputs(inference.signature)
        return await self._batchers[inference.signature](inference.batch, inference.pixels)

    def compute(self, signature: str, batch: np.ndarray) -> Outputs:
        """Computes the model's outputs in the calling thread."""
        rows = self._rows(signature)
        parts = []
        for start in range(0, len(batch), rows):
            part = batch[start : start + rows]
            self._metrics.batch_images.observe(len(part))
            parts.append(self._model.call(signature, part))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _rows(self, signature: str) -> int:
        """Returns how many images are computed together; memory grows with their views."""
        return max(1, self._limits.max_batch // (10 if signature in TEN_VIEWS else 1))

    async def _health(self, request: Request) -> Response:
        return _json(json.dumps({"status": "ok"}))

    async def _show_metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _status(self, request: Request) -> Response:
        state = {
            "version": str(self._model.version),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return _json(json.dumps({"model_version_status": [state]}))

    async def _metadata(self, request: Request) -> Response:
        definitions = {
            name: json_format.MessageToDict(
                definition,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for name, definition in self._model.definitions.items()
        }
        spec = {"name": self._name, "signature_name": "", "version": str(self._model.version)}
        metadata = {"signature_def": {"signature_def": definitions}}
        return _json(json.dumps({"model_spec": spec, "metadata": metadata}))


def _parse(
    parse: Callable[[bytearray], InferenceRequest], body: bytearray
) -> InferenceRequest | RequestError:
    """Returns an error in place of raising it, without what it would keep alive: all values."""
    try:
        return parse(body)
    except RequestError as error:
        return RequestError(str(error), error.status)


def _json(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(text, status, headers, "application/json")


def _error(error: Exception) -> Response:
    """Turns an exception into an answer with an HTTP status."""
    if isinstance(error, RequestError):
        text, status = str(error), error.status
    elif isinstance(error, tf.errors.InvalidArgumentError):
        first_line = str(error).strip().splitlines()[0]
        text, status = f"The model refuses the inputs: {first_line}", 400
    elif isinstance(error, asyncio.TimeoutError):
        text, status = "The model did not answer in time. Try again later.", 504
    else:
        text, status = "The server failed. Its log has the reason.", 500
        print(f"error: {type(error).__name__}: {str(error)[:200]!r}", file=sys.stderr, flush=True)
    headers = {"Retry-After": "1"} if status == 429 else {}
    return _json(json.dumps({"error": text}), status, headers)


async def _send_file(path: pathlib.Path, request: Request) -> Response:
    return FileResponse(path)


async def _no_route(request: Request, error: HTTPException) -> Response:
    """Answers unknown URLs and methods in JSON, like everything else."""
    allowed = (error.headers or {}).get("Allow")
    expected = f"method {allowed}" if allowed else "a URL and method of this server"
    text = f"Expected {expected}. Received: {request.method} {request.url.path[:200]}"
    return _json(json.dumps({"error": text}), error.status_code, error.headers)
