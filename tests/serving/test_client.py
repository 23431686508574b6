"""The clients against the local server, and against one made of TensorFlow Serving's stubs."""

import concurrent.futures
import http.server
import json
import re
import subprocess
import sys
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from alexnet_tf.evaluation.prediction import Prediction
from alexnet_tf.serving.client import RestClient, TooLargeError, split_requests
from alexnet_tf.system.errors import UserError
from tests import commands
from tests.serving.servable import CLASSES, make_picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(3):
        (folder / f"{seed}.jpg").write_bytes(make_picture(seed))
    (folder / "broken.jpg").write_bytes(b"broken")
    return folder


def check_answers(done, loaded, folder):
    """Checks what the client printed against the model."""
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1 and "broken.jpg: not a JPEG" in done.stderr
    blocks = re.split(r"^(?=/)", done.stdout, flags=re.MULTILINE)[1:]
    assert len(blocks) == 3
    assert blocks[-1].splitlines()[-1].endswith("predicts one of the 7 classes that it knows.")
    for seed, block in enumerate(blocks):
        title, *rows = block.splitlines()
        assert title == str(folder / f"{seed}.jpg")
        file = tf.constant([make_picture(seed)])
        probabilities = loaded.functions["ten_view"](image_bytes=file)["probabilities"].numpy()[0]
        for place, row in zip(np.argsort(-probabilities)[:5], rows[:5], strict=True):
            assert row.endswith(f" {CLASSES[place]}")
            assert float(row.split("%")[0]) == pytest.approx(100 * probabilities[place], abs=0.01)


def test_over_rest(server, loaded, folder):
    host, port = server.address
    flags = (f"--server=http://{host}:{port}", "--views=10", "--batch_size=2")
    check_answers(commands.run("alexnet_tf.client", *flags, folder), loaded, folder)


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
    done = commands.run("alexnet_tf.client", f"--server={grpc_server}", "--views=10", folder)
    check_answers(done, loaded, folder)


def test_a_server_that_does_not_answer_is_named(grpc_server, folder, tmp_path):
    done = commands.run("alexnet_tf.client", f"--server={grpc_server}", "--model=other", folder)
    assert done.returncode == 1
    assert "answered with error NOT_FOUND: Servable not found" in done.stderr
    done = commands.run("alexnet_tf.client", "--server=http://127.0.0.1:9", folder)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "Connection refused" in done.stderr
    done = commands.run("alexnet_tf.client", "--server=ftp://127.0.0.1:9", folder)
    assert "Expected --server=http://... or grpc://..." in done.stderr
    assert commands.run("alexnet_tf.client", tmp_path).returncode == 1


@pytest.fixture
def strange_server():
    """Answers with the tuples of a list: status, headers and body; repeats the last one."""
    answers, sizes = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            sizes.append(int(self.headers["Content-Length"]))
            status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            for name, value in {"Content-Length": len(body), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", answers, sizes
        server.shutdown()


def good_answer(files=1, **changes):
    row = {"classes": ["a", "ö"], "scores": [0.75, 0.25], "valid": True}
    columns = {name: [value] * files for name, value in row.items()}
    return json.dumps({"outputs": {**columns, **changes}}).encode()


def test_a_busy_server_is_asked_again(strange_server):
    address, answers, sizes = strange_server
    pauses = []
    busy = [(429, {"Retry-After": after}, b"{}") for after in ("2", "1000", "Fri, 1 Jan")]
    answers[:] = [*busy, (200, {}, good_answer())]
    outputs = RestClient(address, "alexnet", 5, pauses.append)([b"file"], "ten_view")
    assert outputs["classes"].tolist() == [[b"a", "ö".encode()]]
    assert (pauses, len(sizes)) == ([2, 10, 1], 4)
    answers[:] = busy
    with pytest.raises(UserError, match="answered with error 429"):
        RestClient(address, "alexnet", 0.5, pauses.append)([b"file"], "ten_view")


@pytest.mark.parametrize(
    "status, headers, body",
    [
        (200, {}, b"<html>"),
        (200, {}, b"[]"),
        (200, {}, b"{}"),
        (200, {}, b'{"outputs": [[1]]}'),
        (200, {}, b'{"outputs": {"classes": [], "scores": []}}'),
        (200, {}, good_answer(classes=[[1]])),
        (200, {}, good_answer(scores=[[[0.5]]])),
        (200, {}, good_answer(scores=[["0.5"]])),
        (200, {}, good_answer(probabilities=[0.5])),
        (200, {}, good_answer(files=2)),
        (200, {"Content-Length": 1000}, good_answer()),
        (404, {}, b"two\nlines"),
        (400, {}, b""),
    ],
)
def test_another_servers_answer_is_reported_in_one_line(strange_server, status, headers, body):
    address, answers, _ = strange_server
    answers[:] = [(status, headers, body)]
    with pytest.raises(
        UserError, match=f"(No usable answer from )?{address}(: | answered with error)"
    ) as error:
        RestClient(address, "alexnet", 5)([b"file"], "ten_view")
    assert "\n" not in str(error.value)


def test_files_are_split_into_requests_that_the_server_accepts():
    asked = []

    def ask(files, signature):
        asked.append(files)
        if sum(map(len, files)) > 6:
            raise TooLargeError("at most 6")
        return {
            "classes": np.array([[file] for file in files]),
            "scores": np.ones([len(files), 1]),
            "valid": np.ones([len(files)], bool),
        }

    files = [b"1", b"22", b"333", b"4444", b"55555"]
    assert split_requests(ask, "ten_view", 10)(files) == [
        Prediction("", (file.decode(),), (1.0,)) for file in files
    ]
    assert asked == [
        *([b"1", b"22"], [b"333"], [b"4444", b"55555"], [b"4444"], [b"55555"]),
    ]
    too_large = "7 bytes are too many for the server (at most 6)"
    assert split_requests(ask, "ten_view", 10)([b"1", b"7777777"]) == [
        Prediction("", ("1",), (1.0,)),
        Prediction(reason=too_large),
    ]


def test_rest_needs_no_tensorflow():
    code = (
        "import sys, alexnet_tf.client, alexnet_tf.serving.client; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=commands.ROOT).returncode == 0
