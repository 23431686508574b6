"""The client against the local server, and against one made of TensorFlow Serving's stubs."""

import concurrent.futures
import re

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests import commands
from tests.serving.servable import CLASSES, make_picture
from tools.served import serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(3):
        (folder / f"{seed}.jpg").write_bytes(make_picture(seed))
    (folder / "broken.jpg").write_bytes(b"broken")
    return folder


def check_answers(done, loaded, folder):
    """What the client printed is what the model says of the folder's pictures."""
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "broken.jpg: not a JPEG" in done.stderr
    blocks = re.split(r"^(?=/)", done.stdout, flags=re.MULTILINE)[1:]
    assert len(blocks) == 3
    for seed, block in enumerate(blocks):
        title, *rows = block.splitlines()
        assert title == str(folder / f"{seed}.jpg")
        file = tf.constant([make_picture(seed)])
        probabilities = loaded.functions["ten_view"](image_bytes=file)["probabilities"].numpy()[0]
        for place, row in zip(np.argsort(-probabilities)[:5], rows, strict=True):
            assert row.endswith(f" {CLASSES[place]}")
            assert float(row.split("%")[0]) == pytest.approx(100 * probabilities[place], abs=0.01)


def test_over_rest(exported, loaded, folder):
    pytest.importorskip("starlette", reason="needs the extra `serve`")
    with serving(exported) as served:
        host, port = served.address
        flags = (f"--server=http://{host}:{port}", "--views=10", "--batch_size=2")
        check_answers(commands.run("tools.client", *flags, folder), loaded, folder)


class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, loaded):
        self.loaded = loaded

    def Predict(self, request, context):  # noqa: N802 - TensorFlow Serving's name
        if request.model_spec.name != "alexnet":
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request")
        values = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        answer = self.loaded.functions[request.model_spec.signature_name](**values)
        outputs = {
            name: tf.make_tensor_proto(tensor.numpy())
            for name, tensor in answer.items()
            if name in request.output_filter
        }
        return predict_pb2.PredictResponse(model_spec=request.model_spec, outputs=outputs)


@pytest.fixture(scope="module")
def grpc_server(loaded):
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            Servicer(loaded), server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"grpc://127.0.0.1:{port}"
        server.stop(None)


def test_over_grpc(grpc_server, loaded, folder):
    done = commands.run("tools.client", f"--server={grpc_server}", "--views=10", folder)
    check_answers(done, loaded, folder)


def test_who_does_not_answer_is_named(grpc_server, folder, tmp_path):
    done = commands.run("tools.client", f"--server={grpc_server}", "--model=other", folder)
    assert done.returncode == 1
    assert "NOT_FOUND Servable not found" in done.stderr
    done = commands.run("tools.client", "--server=http://127.0.0.1:9", folder)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "Connection refused" in done.stderr
    done = commands.run("tools.client", "--server=ftp://127.0.0.1:9", folder)
    assert "Expected --server=http://... or grpc://..." in done.stderr
    assert commands.run("tools.client", tmp_path).returncode == 1
