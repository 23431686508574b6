"""A web server with TensorFlow Serving's REST API for one model, and a page to try it.

GET  /v1/models/NAME[/versions/N]                status
GET  /v1/models/NAME[/versions/N]/metadata       signatures
POST /v1/models/NAME[/versions/N]:predict        rest.py has the format
POST /v1/models/NAME[/versions/N]:classify
GET  /                                           the page
POST /explain                                    an image file; the page shows the answer
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import json
import pathlib
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import tensorflow as tf
import uvicorn
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from alexnet_tf.serving.batching import Batcher, Outputs
from alexnet_tf.serving.limits import BodyBudget, ConcurrencyLimiter, Limits, RateLimiter
from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.serving.middleware import (
    SECURITY_HEADERS,
    SameOriginMiddleware,
    idle_timeout_protocol,
)
from alexnet_tf.serving.requests import InferenceRequest, RequestParser
from alexnet_tf.serving.rest import RequestError
from alexnet_tf.system.errors import UserError

_PAGE = pathlib.Path(__file__).parent / "page"
_PAGE_FILES = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}
# Threads that parse requests and encode answers; one more computes. JSON takes up to 25 times its
# length in memory (lists in lists), so that two requests of 16 MB take 0.8 GB.
_THREADS = 2
_MAX_CONNECTIONS = 800  # a process may usually open 1,024 files
_BACKLOG = 512  # connections that wait to be accepted
_SHUTDOWN_SECONDS = 5  # for requests that are being answered at Ctrl-C
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
        self._threads = concurrent.futures.ThreadPoolExecutor(_THREADS)
        compute_thread = concurrent.futures.ThreadPoolExecutor(1)
        concurrency = ConcurrencyLimiter(limits.max_pending_images)
        self._batchers = {
            signature: Batcher(
                functools.partial(self.compute, signature),
                compute_thread,
                concurrency,
                limits.max_batch,
                limits.max_pixels,
            )
            for signature in model.functions
        }
        self.app = Starlette(
            routes=self._routes(),
            middleware=[Middleware(SameOriginMiddleware, hosts=hosts)],
            exception_handlers={HTTPException: _no_route},
        )

    def _routes(self) -> list[Route]:
        # Starlette's StaticFiles would answer every other URL, too, and a wrong method with 404.
        routes = [
            Route(path, functools.partial(_send_file, _PAGE / file))
            for path, file in _PAGE_FILES.items()
        ]
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
        self, parse: Callable[[bytes], InferenceRequest], request: Request
    ) -> Response:
        """Parses and encodes in threads, so that the server takes other requests meanwhile."""
        if (encoding := request.headers.get("Content-Encoding", "identity")) != "identity":
            raise RequestError(
                f"Expected a body that is not encoded. Received: Content-Encoding {encoding[:50]}",
                415,
            )
        length = request.headers.get("Content-Length", "0")
        length = int(length) if length.isdecimal() else 0
        async with self._bodies.read(request.stream(), length) as body:
            inference = await self._in_thread(parse, body)
            outputs = await self._outputs(inference)
            text = await self._in_thread(lambda: json.dumps(inference.to_json(outputs)))
            return _json(text)

    async def _in_thread(self, function: Callable, *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _outputs(self, inference: InferenceRequest) -> Outputs:
        if not len(inference.batch):  # TensorFlow's fused convolutions fail on empty batches
            return self._model.empty_outputs(inference.signature)
        batcher = self._batchers[inference.signature]
        return await asyncio.wait_for(
            batcher(inference.batch, inference.pixels), self._limits.timeout
        )

    def compute(self, signature: str, batch: np.ndarray) -> Outputs:
        """Computes the model's outputs in the calling thread."""
        return self._model.call(signature, batch)

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
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        limit_concurrency=_MAX_CONNECTIONS,
        http=idle_timeout_protocol(timeout),
        ws="none",
        lifespan="off",  # unused; uvicorn would print a traceback of it at a second Ctrl-C
    )
    return uvicorn.Server(config)


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
