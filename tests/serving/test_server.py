"""The server over real connections."""

import concurrent.futures
import contextlib
import re
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from alexnet_tf.serving.signatures import SIGNATURES
from tests import commands
from tests.serving.servable import CLASSES, make_picture
from tools.server_process import PREDICT, b64

pytest.importorskip("starlette", reason="needs the extra `serve`")

from prometheus_client.parser import text_string_to_metric_families

from alexnet_tf.serving.limits import Limits
from tests.serving.running import running_model

CLASSIFY = "/v1/models/alexnet:classify"
LOOK_INSIDE = {"signature_name": "look_inside"}


@pytest.fixture(scope="module")
def pictures():
    return [make_picture(seed, "PNG" if seed % 3 == 0 else "JPEG") for seed in range(20)]


@pytest.fixture(scope="module")
def expected(loaded, pictures):
    """Probabilities of the pictures, each computed alone."""
    function = loaded.functions["serving_default"]
    return [function(image_bytes=np.array([p]))["probabilities"].numpy()[0] for p in pictures]


def test_rows_columns_and_broken_images(server, pictures, expected):
    files = [b64(pictures[0]), b64(b"broken"), b64(pictures[1])]
    status, answer = server.ask("POST", PREDICT, {"instances": files})
    assert status == 200
    rows = answer["predictions"]
    assert [row["valid"] for row in rows] == [True, False, True]
    np.testing.assert_allclose(rows[0]["probabilities"], expected[0], atol=1e-5)
    best = np.argsort(-expected[2 - 1])[:5]
    assert rows[2]["classes"] == [CLASSES[i] for i in best]
    assert rows[1]["classes"] == [""] * 5
    status, answer = server.ask("POST", PREDICT, {"inputs": {"image_bytes": files}})
    assert answer["outputs"]["scores"] == [row["scores"] for row in rows]


@pytest.mark.parametrize("signature", sorted(set(SIGNATURES) - {"images", "classify"}))
def test_every_signature_can_be_named(server, pictures, signature):
    body = {"signature_name": signature, "instances": [b64(pictures[0])]}
    status, answer = server.ask("POST", PREDICT, body)
    assert status == 200
    assert answer["predictions"][0]["valid"] is True


def test_pixels_in_and_probabilities_out(server, loaded):
    square = np.random.default_rng(0).integers(0, 256, (1, 72, 72, 3), np.uint8)
    body = {"signature_name": "images", "inputs": square.tolist()}
    _, answer = server.ask("POST", PREDICT, body)
    direct = loaded.functions["images"](images=square)["probabilities"]
    np.testing.assert_allclose(answer["outputs"]["probabilities"], direct, atol=1e-5)


def test_classify(server, pictures, expected):
    body = {
        "signature_name": "classify",
        "examples": [{"image/encoded": b64(pictures[2])}, {"image/encoded": b64(b"")}],
    }
    status, answer = server.ask("POST", "/v1/models/alexnet/versions/1:classify", body)
    assert status == 200
    good, broken = answer["results"]
    assert good[0][0] == CLASSES[expected[2].argmax()]
    assert good[0][1] == pytest.approx(expected[2].max(), abs=1e-5)
    assert {score for _, score in broken} == {0.0}


def test_predict_may_name_the_signature_classify(server, pictures, expected):
    example = tf.train.Example()
    example.features.feature["image/encoded"].bytes_list.value.append(pictures[2])
    body = {"signature_name": "classify", "instances": [b64(example.SerializeToString())]}
    status, answer = server.ask("POST", PREDICT, body)
    assert status == 200
    scores = -np.sort(-expected[2])
    np.testing.assert_allclose(answer["predictions"][0]["scores"], scores, atol=1e-5)


def test_an_empty_batch_has_an_empty_answer(server):
    assert server.ask("POST", PREDICT, {"inputs": []})[1]["outputs"]["valid"] == []
    _, answer = server.ask("POST", PREDICT, {"inputs": [], "signature_name": "images"})
    assert answer == {"outputs": {"classes": [], "scores": [], "probabilities": []}}


def test_status_and_metadata_have_tensorflow_servings_format(server):
    status, answer = server.ask("GET", "/v1/models/alexnet")
    assert answer["model_version_status"][0]["state"] == "AVAILABLE"
    status, answer = server.ask("GET", "/v1/models/alexnet/versions/1/metadata")
    assert answer["model_spec"] == {"name": "alexnet", "signature_name": "", "version": "1"}
    # In the form of the server's own message:
    message = get_model_metadata_pb2.SignatureDefMap()
    json_format.ParseDict(answer["metadata"]["signature_def"], message)
    assert set(SIGNATURES) <= set(message.signature_def)
    image = message.signature_def["serving_default"].inputs["image_bytes"]
    assert [dim.size for dim in image.tensor_shape.dim] == [-1]


@pytest.mark.parametrize(
    "method, path, body, status, complaint",
    [
        ("POST", PREDICT, b"{", 400, "Expected JSON"),
        ("POST", PREDICT, {"instances": [5]}, 400, "b64"),
        ("POST", PREDICT, {"signature_name": "x", "instances": [""]}, 400, "serving_default"),
        ("POST", PREDICT, {"signature_name": None, "instances": [""]}, 400, "serving_default"),
        ("POST", PREDICT, {"instances": []}, 400, "at least one"),
        ("POST", CLASSIFY, {"examples": [{}]}, 400, "one of classify. Received: 'serving_def"),
        ("POST", CLASSIFY, {"signature_name": "classify", "examples": []}, 400, "at least one"),
        ("POST", PREDICT, {"instances": [""] * 65}, 413, "at most 64 images"),
        ("POST", PREDICT, {**LOOK_INSIDE, "instances": [""] * 12}, 413, "at most 11 images"),
        ("POST", PREDICT, b" " * 2**21, 413, "at most 1,048,576 bytes"),
        ("POST", "/v1/models/other:predict", {"instances": []}, 404, "Expected model alexnet"),
        ("GET", "/v1/models/alexnet/versions/2", None, 404, "version 1. Received: alexnet"),
        ("GET", "/v2", None, 404, "GET /v2"),
        ("GET", PREDICT, None, 405, "Expected method POST. Received: GET"),
        ("GET", "/explain", None, 405, "Expected method POST"),
        ("POST", "/explain", b"no image", 415, "Expected a JPEG"),
        ("POST", "/look", b"no image", 415, "Expected a JPEG"),  # the URL of version 0.1
    ],
)
def test_wrong_requests_are_refused(server, method, path, body, status, complaint):
    found, answer = server.ask(method, path, body)
    assert found == status
    assert complaint in answer["error"]


def get(server, path):
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response, response.read().decode()


@pytest.mark.parametrize("path", ["/metrics", "/monitoring/prometheus/metrics"])
def test_metrics_are_prometheus(loaded, pictures, path):
    with running_model(loaded, Limits(max_rate=5)) as server:  # health and metrics have no rate
        assert [get(server, "/healthz")[0].status for _ in range(30)] == [200] * 30
        for body in ({"instances": [b64(pictures[0])] * 3}, {}, {}):
            server.ask("POST", PREDICT, body)
        server.ask("GET", "/secret/of:client")
        response, text = get(server, path)
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    families = {
        family.name: {
            (sample.name, *sample.labels.values()): sample.value for sample in family.samples
        }
        for family in text_string_to_metric_families(text)
    }
    requests = families["alexnet_requests"]
    assert requests["alexnet_requests_total", "predict", "200"] == 1
    assert requests["alexnet_requests_total", "predict", "400"] == 2
    assert requests["alexnet_requests_total", "healthz", "200"] == 30
    assert requests["alexnet_requests_total", "other", "404"] == 1
    seconds = families["alexnet_request_seconds"]
    assert seconds["alexnet_request_seconds_count", "predict"] == 3
    assert 0 < seconds["alexnet_request_seconds_sum", "predict"] < 60
    assert families["alexnet_batch_images"]["alexnet_batch_images_sum",] == 3
    assert families["alexnet_requests_in_flight"]["alexnet_requests_in_flight",] == 1  # this one
    assert families["process_resident_memory_bytes"]["process_resident_memory_bytes",] > 1e8
    assert "secret" not in text


def test_a_slow_body_is_given_up_and_delays_nobody(loaded, pictures):
    limits = Limits(timeout=3)
    with running_model(loaded, limits) as server, socket.create_connection(server.address) as slow:
        slow.sendall(b"POST /explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
        started = time.monotonic()
        status, _ = server.ask("POST", PREDICT, {"instances": [b64(pictures[0])]})
        assert status == 200 and time.monotonic() - started < limits.timeout
        slow.settimeout(20)
        assert b" 408 " in slow.recv(1000).splitlines()[0]
        assert 0.9 * limits.timeout < time.monotonic() - started < 15


def test_many_at_the_same_time_each_get_their_own_answer(server, pictures, expected):
    def one(number):
        place = number % len(pictures)
        body = {"instances": [b64(pictures[place]), b64(b"broken")]}
        status, answer = server.ask("POST", PREDICT, body)
        good, broken = answer["predictions"]
        np.testing.assert_allclose(good["probabilities"], expected[place], atol=1e-5)
        return status == 200 and not broken["valid"]

    with concurrent.futures.ThreadPoolExecutor(40) as threads:
        assert all(threads.map(one, range(200)))


def test_the_rate_of_an_address_is_limited(loaded):
    with running_model(loaded, Limits(max_rate=5)) as server:
        answers = [server.ask("GET", "/v1/models/alexnet")[0] for _ in range(30)]
    assert answers.count(200) >= 10
    assert set(answers) == {200, 429}


def test_an_address_in_use_is_named_before_the_model_is_loaded(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = commands.run("alexnet_tf.serve", f"--saved_model={tmp_path}", f"--port={port}")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: Cannot listen on 127.0.0.1:{port}: Address already in")


@pytest.mark.parametrize("asked", [False, True])
def test_ctrl_c_ends_it_quietly(exported, asked):
    process = subprocess.Popen(
        commands.command("alexnet_tf.serve", f"--saved_model={exported}", "--port=0"),
        cwd=commands.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = next(line for line in process.stdout if line.startswith("REST"))
    with socket.socket() as connection:
        connection.settimeout(30)
        if asked:  # the server waits for the rest of this request until a second Ctrl-C
            connection.connect(("127.0.0.1", int(re.search(r":(\d+)/", line)[1])))
            connection.sendall(
                b"POST /explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1"
            )
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert not asked or connection.recv(1000).startswith(b"HTTP/1.1 503")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.slow
def test_sigterm_answers_every_waiting_request(exported):
    process = subprocess.Popen(
        commands.command("alexnet_tf.serve", f"--saved_model={exported}", "--port=0"),
        cwd=commands.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = next(line for line in process.stdout if line.startswith("REST"))
    address = ("127.0.0.1", int(re.search(r":(\d+)/", line)[1]))
    head = b"POST /explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1"
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(90)
        ]
        for connection in connections:
            connection.sendall(head)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        answers = [connection.recv(1000)[:12] for connection in connections]
    _, err = process.communicate(timeout=30)
    assert answers == [b"HTTP/1.1 503"] * 90
    assert "Traceback" not in err
