"""TensorFlow Serving's REST API for one model, and a page to try it on.

GET  /v1/models/NAME[/versions/N]                whether it is there
GET  /v1/models/NAME[/versions/N]/metadata       its signatures
POST /v1/models/NAME[/versions/N]:predict        rest.py says how
POST /v1/models/NAME[/versions/N]:classify
GET  /                                           the page
POST /look                                       a photograph, answered with what the page shows
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import json
import pathlib
from collections.abc import Awaitable, Callable

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from alexnet_tf.preparation.picture import Refused, open_picture
from alexnet_tf.serving import rest
from alexnet_tf.serving.batching import Answer, Batcher, OverloadedError
from alexnet_tf.serving.limits import Bodies, Limits, Rates
from alexnet_tf.serving.loaded import LoadedModel
from alexnet_tf.serving.look import look
from alexnet_tf.serving.rest import RequestError
from alexnet_tf.serving.signatures import CLASSIFY

_PAGE = pathlib.Path(__file__).parent / "page"
_PAGE_FILES = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'",
    "X-Content-Type-Options": "nosniff",
}
# Threads that parse requests and encode answers; one more computes. JSON takes up to 25 times its
# length in memory (lists in lists), so that two requests of 16 MB take 0.8 GB.
_THREADS = 2


class Server:
    """Answers requests about one model.

    Args:
        model: loaded.
        name: of the model in addresses.
        limits: for all requests.
        hosts: names under which the server may be addressed; "*" for any. A server on the
            loopback interface names itself there, so that no web site can ask it things through
            the browser of whoever visits that site.
    """

    def __init__(self, model: LoadedModel, name: str, limits: Limits, hosts: list[str]):
        self._model, self._name, self._limits = model, name, limits
        self._bodies, self._rates = Bodies(limits), Rates(limits.rate)
        self._threads = concurrent.futures.ThreadPoolExecutor(_THREADS)
        self._computer = concurrent.futures.ThreadPoolExecutor(1)
        self._definitions = model.definitions()
        self.batchers = {
            signature: Batcher(
                functools.partial(self._compute, signature),
                self._computer,
                limits.batch,
                limits.waiting_images,
            )
            for signature in model.functions
        }
        model_path = "/v1/models/{name}"
        routes = [Route("/look", self._guarded(self._look), methods=["POST"])]
        routes += [Route(path, self._page(file)) for path, file in _PAGE_FILES.items()]
        for path in (model_path, model_path + "/versions/{version}"):
            routes += [
                Route(f"{path}:predict", self._guarded(self._predict), methods=["POST"]),
                Route(f"{path}:classify", self._guarded(self._classify), methods=["POST"]),
                Route(f"{path}/metadata", self._guarded(self._metadata)),
                Route(path, self._guarded(self._status)),
            ]
        self.app = Starlette(
            routes=routes,
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
            exception_handlers={HTTPException: _not_found},
        )

    def _guarded(
        self, answer: Callable[[Request], Awaitable[dict]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """An answer as JSON, or what is wrong with the request."""

        async def guarded(request: Request) -> Response:
            """Answers, whatever happens."""
            try:
                self._rates.check(request.client.host if request.client else "")
                self._check_model(request)
                values = await answer(request)
                status = 200
            except RequestError as error:
                values, status = {"error": str(error)}, error.status
            except OverloadedError:
                values, status = {"error": "Expected fewer requests at the same time"}, 429
            except tf.errors.InvalidArgumentError as error:
                first_line = str(error).strip().splitlines()[0]
                values, status = {"error": f"Expected valid inputs. Received: {first_line}"}, 400
            except asyncio.TimeoutError:
                values, status = {"error": "No answer in time"}, 504
            except ClientDisconnect:
                return Response(status_code=499)  # nobody hears it
            headers = {"Retry-After": "1"} if status == 429 else {}
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(self._threads, json.dumps, values)
            return Response(body, status, headers, "application/json")

        return guarded

    def _check_model(self, request: Request) -> None:
        name, version = (request.path_params.get(key) for key in ("name", "version"))
        if name not in (None, self._name) or version not in (None, str(self._model.version)):
            raise RequestError(
                f"Expected model {self._name}, version {self._model.version}. Received: "
                f"{name or self._name}, version {version or self._model.version}", 404
            )  # fmt: skip

    async def _predict(self, request: Request) -> dict:
        def parse(body: bytes) -> tuple[str, np.ndarray, bool]:
            """Signature, batch, and whether it came in rows."""
            values = rest.parse_body(body)
            signature = self._signature(values, "serving_default", "predict")
            return signature, *rest.parse_predict(values, self._model.argument(signature))

        signature, batch, rows = await self._parsed(request, parse)
        answer = await self._answer(signature, batch)
        return rest.format_predictions(answer, rows)

    async def _classify(self, request: Request) -> dict:
        def parse(body: bytes) -> tuple[str, np.ndarray]:
            """Signature and serialised examples."""
            values = rest.parse_body(body)
            signature = self._signature(values, CLASSIFY, "classify")
            return signature, rest.parse_classify(values)

        signature, batch = await self._parsed(request, parse)
        return rest.format_classifications(await self._answer(signature, batch))

    async def _look(self, request: Request) -> dict:
        batch = await self._parsed(request, lambda body: rest.as_objects([body]))
        answer = await self._answer("look_inside", batch)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, look, answer, self._model.labels)

    async def _status(self, request: Request) -> dict:
        state = {
            "version": str(self._model.version),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return {"model_version_status": [state]}

    async def _metadata(self, request: Request) -> dict:
        definitions = {
            name: json_format.MessageToDict(
                definition,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for name, definition in self._definitions.items()
        }
        return {
            "model_spec": {
                "name": self._name, "signature_name": "", "version": str(self._model.version)
            },
            "metadata": {"signature_def": {"signature_def": definitions}},
        }  # fmt: skip

    def _signature(self, values: dict, default: str, method: str) -> str:
        """The signature that a request names, which must be for the method it comes by."""
        name = values.get("signature_name") or default
        known = [n for n, d in self._definitions.items() if d.method_name.endswith(f"/{method}")]
        if name not in known:
            raise RequestError(
                f'Expected "signature_name" for {method} to be one of {", ".join(sorted(known))}. '
                f"Received: {str(name)[:100]}"
            )
        return name

    async def _parsed(self, request: Request, parse: Callable[[bytes], object]) -> object:
        """A request's body, parsed in another thread so that others are heard meanwhile."""
        length = request.headers.get("Content-Length", "0")
        body = await self._bodies.read(request.stream(), int(length) if length.isdecimal() else 0)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, parse, body)
        finally:
            self._bodies.release([body])

    async def _answer(self, signature: str, batch: np.ndarray) -> Answer:
        most = min(self._limits.images, self._limits.values // self._model.values(signature))
        if len(batch) > max(1, most):
            raise RequestError(
                f"Expected at most {max(1, most)} images for {signature}. Received: {len(batch)}",
                413,
            )
        if not len(batch):  # TensorFlow's fused convolutions cannot do nothing
            return self._model.empty_answer(signature)
        return await asyncio.wait_for(self.batchers[signature](batch), self._limits.seconds)

    def _compute(self, signature: str, batch: np.ndarray) -> Answer:
        argument = self._model.argument(signature)
        if argument.name == "image_bytes":
            batch = rest.as_objects(map(_not_too_large, batch))
        answer = self._model.functions[signature](
            **{argument.name: tf.constant(batch, argument.dtype)}
        )
        return {name: tensor.numpy() for name, tensor in answer.items()}

    @staticmethod
    def _page(file: str) -> Callable[[Request], Awaitable[Response]]:
        async def page(request: Request) -> Response:
            """Sends the file."""
            return FileResponse(_PAGE / file, headers=_HEADERS)

        return page


def _not_too_large(image: bytes) -> bytes:
    """The image, or nothing in its place: a small file may be of very many pixels."""
    try:
        open_picture(image)
    except Refused:
        return b""
    except Exception:
        return image  # whatever it is, the model says so
    return image


async def _not_found(request: Request, error: Exception) -> Response:
    """For addresses that mean nothing, in JSON as everything else."""
    text = (
        f"Expected a page or method of this server. Received: {request.method} {request.url.path}"
    )
    status = getattr(error, "status_code", 404)
    return Response(json.dumps({"error": text}), status, media_type="application/json")
