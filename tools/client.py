"""Asks a server what is on photographs: TensorFlow Serving, or alexnet_tf.serve.

python -m tools.client --server=http://127.0.0.1:8501 PHOTO.jpg FOLDER ...
python -m tools.client --server=grpc://127.0.0.1:8500 PHOTO.jpg

The exit code is 1 if there was a file that could not be read.
"""

from __future__ import annotations

import base64
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable

import numpy as np
from absl import flags

from alexnet_tf import app
from alexnet_tf.errors import UserError

_FLAGS = flags.FLAGS
_OUTPUTS = ("classes", "scores", "valid")

Ask = Callable[[list[bytes], str], dict[str, np.ndarray]]  # files and a signature to outputs


def rest(server: str, model: str, seconds: float) -> Ask:
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
            with urllib.request.urlopen(request, timeout=seconds) as response:
                outputs = json.load(response)["outputs"]
        except urllib.error.HTTPError as error:
            raise UserError(
                f"Expected an answer from {server}. Received: {error.code} "
                f"{error.read(500).decode(errors='replace')}"
            ) from None
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"Expected an answer from {server}. Received: {error}") from None
        outputs["classes"] = [[name.encode() for name in row] for row in outputs["classes"]]
        return {name: np.array(outputs[name]) for name in _OUTPUTS}

    return ask


def grpc(server: str, model: str, seconds: float) -> Ask:
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
        return {name: tf.make_ndarray(outputs[name]) for name in _OUTPUTS}

    return ask


def main(argv: list[str]) -> int:
    """Asks about all files; returns 1 if one could not be read."""
    from alexnet_tf.prediction import find_images, predict

    paths = find_images(argv)
    if not paths:
        raise UserError(f"Expected image files or folders. Received: {', '.join(argv) or 'none'}")
    scheme, _, address = _FLAGS.server.partition("://")
    if scheme == "grpc":
        ask = grpc(address, _FLAGS.model, _FLAGS.timeout)
    elif scheme in ("http", "https"):
        ask = rest(_FLAGS.server, _FLAGS.model, _FLAGS.timeout)
    else:
        raise UserError(f"Expected --server=http://... or grpc://... Received: {_FLAGS.server}")
    signature = "ten_view" if _FLAGS.views == "10" else "serving_default"
    unreadable = 0
    for predictions in predict(lambda files: ask(files, signature), paths, _FLAGS.batch_size):
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
    flags.DEFINE_float("timeout", 60.0, "seconds to wait for an answer", lower_bound=0.1)
    app.run(main)
