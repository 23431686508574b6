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
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from alexnet_tf.serving.batching import Answer, Batcher, OverloadedError, Places
from alexnet_tf.serving.limits import Bodies, Limits, Rates, Room
from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.serving.middleware import OwnSite
from alexnet_tf.serving.requests import Parser, Question
from alexnet_tf.serving.rest import RequestError

_PAGE = pathlib.Path(__file__).parent / "page"
_PAGE_FILES = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}
# Threads that parse requests and encode answers; one more computes. JSON takes up to 25 times its
# length in memory (lists in lists), so that two requests of 16 MB take 0.8 GB.
_THREADS = 2

Values = Callable[[], dict[str, Any]]  # JSON values, made in a thread as it may take a while


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
        self._parser = Parser(model, limits)
        self._bodies, self._rates = Bodies(limits), Rates(limits.rate)
        self._threads = concurrent.futures.ThreadPoolExecutor(_THREADS)
        computer, places = concurrent.futures.ThreadPoolExecutor(1), Places(limits.waiting_images)
        self.batchers = {
            signature: Batcher(
                functools.partial(self.compute, signature),
                computer,
                places,
                limits.batch,
                limits.pixels,
            )
            for signature in model.functions
        }
        self.app = Starlette(
            routes=self._routes(),
            middleware=[Middleware(OwnSite, hosts=hosts)],
            exception_handlers={HTTPException: _not_found},
        )

    def _routes(self) -> list[Route]:
        asked = {
            "predict": self._asking(self._parser.predict),
            "classify": self._asking(self._parser.classify),
        }
        look = self._guarded(self._asking(self._parser.look))
        routes = [Route("/look", look, methods=["POST"])]
        routes += [Route(path, _page(file)) for path, file in _PAGE_FILES.items()]
        for path in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):
            routes += [
                Route(f"{path}:{method}", self._guarded(answer), methods=["POST"])
                for method, answer in asked.items()
            ]
            routes += [
                Route(f"{path}/metadata", self._guarded(self._metadata)),
                Route(path, self._guarded(self._status)),
            ]
        return routes

    def _guarded(
        self, answer: Callable[[Request, Room], Awaitable[Values]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """An answer as JSON, or what is wrong with the request."""

        async def guarded(request: Request) -> Response:
            """Answers, whatever happens."""
            try:
                self._rates.check(request.client.host if request.client else "")
                self._check_model(request)
                with self._bodies.room() as room:
                    values = await answer(request, room)
                    return _json(await self._in_thread(lambda: json.dumps(values())))
            except ClientDisconnect:
                return Response(status_code=499)  # nobody hears it
            except asyncio.CancelledError:  # by a second Ctrl-C
                return _refusal(RequestError("The server ends", 503))
            except HTTPException:
                raise  # which Starlette hands to `_not_found`
            except Exception as error:
                return _refusal(error)

        return guarded

    def _asking(
        self, parse: Callable[[bytes], Question]
    ) -> Callable[[Request, Room], Awaitable[Values]]:
        """What answers requests whose bodies are parsed so."""

        async def asking(request: Request, room: Room) -> Values:
            """Parses in another thread, so that others are heard meanwhile, and computes."""
            if (encoding := request.headers.get("Content-Encoding", "identity")) != "identity":
                raise RequestError(
                    f"Expected a body as it is. Received: Content-Encoding {encoding[:50]}", 415
                )
            length = request.headers.get("Content-Length", "0")
            announced = int(length) if length.isdecimal() else 0
            question = await self._in_thread(parse, await room.read(request.stream(), announced))
            return functools.partial(question.to_json, await self._answer(question))

        return asking

    async def _in_thread(self, function: Callable, *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

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

    async def _answer(self, question: Question) -> Answer:
        if not len(question.batch):  # TensorFlow's fused convolutions cannot do nothing
            return self._model.empty_answer(question.signature)
        batcher = self.batchers[question.signature]
        return await asyncio.wait_for(
            batcher(question.batch, question.pixels), self._limits.seconds
        )

    def compute(self, signature: str, batch: np.ndarray) -> Answer:
        """The model's answer, computed in the calling thread."""
        argument = self._model.argument(signature)
        answer = self._model.functions[signature](
            **{argument.name: tf.constant(batch, argument.dtype)}
        )
        return {name: tensor.numpy() for name, tensor in answer.items()}

    async def _status(self, request: Request, room: Room) -> Values:
        state = {
            "version": str(self._model.version),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return lambda: {"model_version_status": [state]}

    async def _metadata(self, request: Request, room: Room) -> Values:
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
        return lambda: {"model_spec": spec, "metadata": metadata}


def _json(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(text, status, headers, "application/json")


def _refusal(error: Exception) -> Response:
    """What went wrong, with HTTP's number for it."""
    headers: dict[str, str] = {}
    text, status = str(error), 500
    if isinstance(error, RequestError):
        status = error.status
    elif isinstance(error, OverloadedError):
        text, status = "Expected fewer requests at the same time", 429
    elif isinstance(error, tf.errors.InvalidArgumentError):
        text, status = f"Expected valid inputs. Received: {text.strip().splitlines()[0]}", 400
    elif isinstance(error, asyncio.TimeoutError):
        text, status = "No answer in time", 504
    else:
        text = "A failure of the server"
        print(f"error: {type(error).__name__}: {str(error)[:200]!r}", file=sys.stderr, flush=True)
    if status == 429:
        headers["Retry-After"] = "1"
    return _json(json.dumps({"error": text}), status, headers)


def _page(file: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        """Sends the file."""
        return FileResponse(_PAGE / file)

    return page


async def _not_found(request: Request, error: HTTPException) -> Response:
    """For addresses that mean nothing, or nothing in this way, in JSON as everything else."""
    allowed = (error.headers or {}).get("Allow")
    wanted = f"{allowed} of this address" if allowed else "a page or method of this server"
    text = f"Expected {wanted}. Received: {request.method} {request.url.path[:200]}"
    return _json(json.dumps({"error": text}), error.status_code, error.headers)
