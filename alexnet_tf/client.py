"""Asks a server what is on photographs: TensorFlow Serving, or alexnet_tf.serve.

python -m alexnet_tf.client --server=http://127.0.0.1:8501 PHOTO.jpg FOLDER ...
python -m alexnet_tf.client --server=grpc://127.0.0.1:8500 PHOTO.jpg

A server that is busy is asked again, as often as --timeout allows. The exit code is 1 if there was
a file that could not be read.
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import numpy as np
from absl import flags

from alexnet_tf import app
from alexnet_tf.evaluation.prediction import Ask, Row, rows_of
from alexnet_tf.system.errors import UserError

_FLAGS = flags.FLAGS
_OUTPUTS = ("classes", "scores", "valid")
_TOO_LARGE, _BUSY = 413, 429  # of HTTP
_MAX_PAUSE = 10.0  # seconds, whatever the server asks for

# The ways in which what comes is no answer of TensorFlow Serving's.
_NO_ANSWER = (
    OSError,
    http.client.HTTPException,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)

AskSignature = Callable[[list[bytes], str], dict[str, np.ndarray]]  # files and signature to outputs


class TooLargeError(Exception):
    """The server takes no request of so many bytes, or hangs up while they are sent."""


def over_rest(server: str, model: str, seconds: float) -> AskSignature:
    """Asks over HTTP.

    Args:
        server: http://host:port.
        model: its name there.
        seconds: to wait for an answer.
    """

    def ask(files: list[bytes], signature: str) -> dict[str, np.ndarray]:
        body = {
            "signature_name": signature,
            "inputs": [{"b64": base64.b64encode(file).decode()} for file in files],
        }
        request = urllib.request.Request(
            f"{server.rstrip('/')}/v1/models/{model}:predict", json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        try:
            return _outputs(_send(request, seconds), len(files))
        except urllib.error.HTTPError as error:
            if error.code == _TOO_LARGE:
                raise TooLargeError(_words(error)) from None
            raise UserError(
                f"Expected an answer from {server}. Received: {error.code} {_words(error)}"
            ) from None
        except _NO_ANSWER as error:
            # Who does not want so much may hang up before everything is sent, and so unheard.
            if isinstance(getattr(error, "reason", error), ConnectionError) and len(files) > 1:
                raise TooLargeError(str(error)) from None
            raise UserError(f"Expected an answer from {server}. Received: {error!r:.200}") from None

    return ask


def _send(request: urllib.request.Request, seconds: float) -> object:
    """The JSON of an answer, if need be after some pauses."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code != _BUSY or time.monotonic() > deadline:
                raise
            wanted = error.headers.get("Retry-After", "1")
        time.sleep(min(float(wanted) if wanted.isdecimal() else 1.0, _MAX_PAUSE))


def _outputs(answer: dict, files: int) -> dict[str, np.ndarray]:
    """The arrays of an answer in columns, which must have a row for each file."""
    outputs = {name: answer["outputs"][name] for name in _OUTPUTS}
    outputs["classes"] = [[name.encode() for name in row] for row in outputs["classes"]]
    arrays = {name: np.array(values) for name, values in outputs.items()}
    if any(len(array) != files for array in arrays.values()):
        raise ValueError(f"not an answer about {files} files")
    return arrays


def _words(error: urllib.error.HTTPError) -> str:
    return " ".join(error.read(500).decode(errors="replace").split())


def over_grpc(server: str, model: str, seconds: float) -> AskSignature:
    """Asks over gRPC.

    Args:
        server: host:port.
        model: its name there.
        seconds: to wait for an answer.
    """
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_service_pb2_grpc

    from alexnet_tf.serving.rest import as_objects

    channel = grpc.insecure_channel(server)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask(files: list[bytes], signature: str) -> dict[str, np.ndarray]:
        request = predict_pb2.PredictRequest(
            model_spec=model_pb2.ModelSpec(name=model, signature_name=signature),
            inputs={"image_bytes": tf.make_tensor_proto(as_objects(files))},
            output_filter=_OUTPUTS,
        )
        try:
            outputs = stub.Predict(request, timeout=seconds).outputs
        except grpc.RpcError as error:
            raise UserError(
                f"Expected an answer from {server}. Received: {error.code().name} {error.details()}"
            ) from None
        if missing := [name for name in _OUTPUTS if name not in outputs]:
            raise UserError(f"Expected {missing[0]} from {server}. Received: {sorted(outputs)}")
        return {name: tf.make_ndarray(outputs[name]) for name in _OUTPUTS}

    return ask


def in_parts(ask: Callable[[list[bytes]], dict[str, np.ndarray]], most: int) -> Ask:
    """Asks about files in parts, in halves again where they are too much for the server.

    Args:
        ask: about one part.
        most: bytes of the files of a part, unless it is a single one.
    """

    def ask_in_parts(files: list[bytes]) -> list[Row]:
        half = len(files) // 2
        if not half or sum(map(len, files)) <= most:
            try:
                return rows_of(ask(files))
            except TooLargeError as error:
                if not half:
                    return [f"{len(files[0]):,} bytes are too many for the server ({error})"]
        return ask_in_parts(files[:half]) + ask_in_parts(files[half:])

    return ask_in_parts


def main(argv: list[str]) -> int:
    """Asks about all files; returns 1 if one could not be read."""
    from alexnet_tf.evaluation.prediction import find_images, predict

    files = find_images(argv)
    if not argv:
        raise UserError("Expected image files or folders. Received: none")
    scheme, _, address = _FLAGS.server.partition("://")
    if scheme == "grpc":
        ask = over_grpc(address, _FLAGS.model, _FLAGS.timeout)
    elif scheme in ("http", "https"):
        ask = over_rest(_FLAGS.server, _FLAGS.model, _FLAGS.timeout)
    else:
        raise UserError(f"Expected --server=http://... or grpc://... Received: {_FLAGS.server}")
    signature = "ten_view" if _FLAGS.views == "10" else "serving_default"
    asked = in_parts(lambda part: ask(part, signature), int(_FLAGS.batch_mb * 2**20))
    unreadable = 0
    for predictions in predict(asked, files, _FLAGS.batch_size):
        for prediction in predictions:
            if prediction.reason:
                unreadable += 1
                print(f"error: {prediction.path}: {prediction.reason}", file=sys.stderr)
            else:
                print(prediction)
    return 1 if unreadable else 0


if __name__ == "__main__":
    flags.DEFINE_string("server", "http://127.0.0.1:8501", "http://host:port or grpc://host:port")
    flags.DEFINE_string("model", "alexnet", "its name on the server")
    flags.DEFINE_enum("views", "1", ["1", "10"], "of each image, whose predictions are averaged")
    flags.DEFINE_integer("batch_size", 8, "images of one request", lower_bound=1)
    flags.DEFINE_float("batch_mb", 8.0, "of one request's files", lower_bound=0.001)
    flags.DEFINE_float("timeout", 60.0, "seconds to wait for an answer", lower_bound=0.1)
    app.run(main, needs_tensorflow=lambda: _FLAGS.server.startswith("grpc:"))
