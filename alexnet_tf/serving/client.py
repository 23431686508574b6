"""Clients of TensorFlow Serving's REST and gRPC APIs. The REST client needs no TensorFlow."""

from __future__ import annotations

import base64
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import numpy as np

from alexnet_tf.evaluation.prediction import PredictFn, Prediction, decode_outputs
from alexnet_tf.system.errors import UserError

_OUTPUTS = {"classes": 2, "scores": 2, "valid": 1}  # and their ranks
_PROBABILITIES = {"probabilities": 2}  # used if the server gives them
_MAX_ANSWER = 256 * 2**20  # bytes
_TOO_LARGE, _BUSY = 413, 429  # HTTP status codes
_MAX_PAUSE = 10.0  # seconds, whatever Retry-After says

# Errors that a damaged answer, or the answer of another kind of server, may raise.
_INVALID_ANSWER = (
    OSError,
    http.client.HTTPException,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)

# `classes`, `scores` [B, k] and `valid` [B], and perhaps `probabilities` [B, classes]
Outputs = dict[str, np.ndarray]
AskFn = Callable[[list[bytes], str], Outputs]  # from encoded images and the name of a signature


class TooLargeError(Exception):
    """A request is too large for the server."""


class RestClient:
    """Calls a model over HTTP. If the server is busy, it retries until the timeout.

    Args:
        server: http://host:port.
        model: its name on the server.
        timeout: seconds to wait for an answer.
        sleep: waits for some seconds.
    """

    def __init__(
        self, server: str, model: str, timeout: float, sleep: Callable[[float], None] = time.sleep
    ):
        self._server, self._timeout, self._sleep = server, timeout, sleep
        self._url = f"{server.rstrip('/')}/v1/models/{model}:predict"

    def __call__(self, files: list[bytes], signature: str) -> Outputs:
        """Computes a signature's outputs for encoded images.

        Raises:
            TooLargeError: the request is too large.
            UserError: there is no usable answer.
        """
        inputs = [{"b64": base64.b64encode(file).decode()} for file in files]
        body = json.dumps({"signature_name": signature, "inputs": inputs}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            return _parse(self._send(request), len(files))
        except urllib.error.HTTPError as error:
            text = " ".join(error.read(500).decode(errors="replace").split())
            if error.code == _TOO_LARGE:
                raise TooLargeError(text) from None
            raise UserError(f"{self._server} answered with error {error.code}: {text}") from None
        except _INVALID_ANSWER as error:
            # A server may close the connection before it has received all of a large request.
            if isinstance(getattr(error, "reason", error), ConnectionError) and len(files) > 1:
                raise TooLargeError(str(error)) from None
            raise UserError(f"No usable answer from {self._server}: {error!r:.200}") from None

    def _send(self, request: urllib.request.Request) -> object:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as response:
                    return json.loads(_read(response))
            except urllib.error.HTTPError as error:
                if error.code != _BUSY or time.monotonic() > deadline:
                    raise
                pause = error.headers.get("Retry-After", "1")
            self._sleep(min(float(pause) if pause.isdecimal() else 1.0, _MAX_PAUSE))


def _read(response: http.client.HTTPResponse) -> bytes:
    body = response.read(_MAX_ANSWER + 1)
    if len(body) > _MAX_ANSWER:
        raise ValueError(f"more than {_MAX_ANSWER:,} bytes")
    if response.length:  # with a limit, `read` does not complain
        raise http.client.IncompleteRead(body, response.length)
    return body


def _parse(answer: dict, files: int) -> Outputs:
    """Parses an answer in column format, which must have one row per file."""
    outputs = {name: answer["outputs"][name] for name in _OUTPUTS}
    outputs |= {
        name: answer["outputs"][name] for name in _PROBABILITIES if name in answer["outputs"]
    }
    outputs["classes"] = [[name.encode() for name in row] for row in outputs["classes"]]
    arrays = {name: np.array(values) for name, values in outputs.items()}
    for name, rank in {**_OUTPUTS, **_PROBABILITIES}.items():
        array = arrays.get(name, np.zeros([files, *[1] * (rank - 1)]))
        numeric = name == "classes" or array.dtype.kind in "fiub"
        if len(array) != files or array.ndim != rank or not numeric:
            raise ValueError(f"not an answer about {files} files")
    return arrays


class GrpcClient:
    """Calls a model over gRPC.

    Args:
        server: host:port.
        model: its name on the server.
        timeout: seconds to wait for an answer.
    """

    def __init__(self, server: str, model: str, timeout: float):
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        self._server, self._model, self._timeout = server, model, timeout
        channel = grpc.insecure_channel(server)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def __call__(self, files: list[bytes], signature: str) -> Outputs:
        """Computes a signature's outputs for encoded images.

        Raises:
            UserError: there is no usable answer.
        """
        import grpc
        import tensorflow as tf
        from tensorflow_serving.apis import model_pb2, predict_pb2

        from alexnet_tf.serving.rest import as_objects

        request = predict_pb2.PredictRequest(
            model_spec=model_pb2.ModelSpec(name=self._model, signature_name=signature),
            inputs={"image_bytes": tf.make_tensor_proto(as_objects(files))},
            output_filter=[*_OUTPUTS, *_PROBABILITIES],
        )
        try:
            outputs = self._stub.Predict(request, timeout=self._timeout).outputs
        except grpc.RpcError as error:
            raise UserError(
                f"{self._server} answered with error {error.code().name}: {error.details()}"
            ) from None
        if missing := [name for name in _OUTPUTS if name not in outputs]:
            raise UserError(
                f"Expected output {missing[0]} from {self._server}. Received: {sorted(outputs)}"
            )
        names = [name for name in (*_OUTPUTS, *_PROBABILITIES) if name in outputs]
        return {name: tf.make_ndarray(outputs[name]) for name in names}


def make_client(server: str, model: str, timeout: float) -> AskFn:
    """Makes the client for a server's URL.

    Raises:
        UserError: the URL begins with neither http:// nor grpc://.
    """
    scheme, _, address = server.partition("://")
    if scheme == "grpc":
        return GrpcClient(address, model, timeout)
    if scheme in ("http", "https"):
        return RestClient(server, model, timeout)
    raise UserError(f"Expected --server=http://... or grpc://... Received: {server}")


def split_requests(ask: AskFn, signature: str, max_bytes: int) -> PredictFn:
    """Splits a list of files into requests: in halves, until the server accepts them.

    Args:
        ask: sends one request.
        signature: name of the signature.
        max_bytes: of the files in one request; a single file may be larger.
    """

    def predict(files: list[bytes]) -> list[Prediction]:
        """Predictions of encoded images, in as many requests as the server needs."""
        half = len(files) // 2
        if not half or sum(map(len, files)) <= max_bytes:
            try:
                return decode_outputs(ask(files, signature))
            except TooLargeError as error:
                if not half:
                    reason = f"{len(files[0]):,} bytes are too many for the server ({error})"
                    return [Prediction(reason=reason)]
        return predict(files[:half]) + predict(files[half:])

    return predict
