"""What the server does about those who mean it harm, over real connections."""

import contextlib
import http.client
import json
import re
import socket
import time

import pytest

from tests.serving.servable import make_picture, make_scan_bomb
from tools.load_server import b64
from tools.server_process import PREDICT, serving

pytest.importorskip("starlette", reason="needs the extra `serve`")

CLASSIFY = "/v1/models/alexnet:classify"
SECONDS = 6  # that the server gives everybody
PATIENCE = 5 * SECONDS  # on a machine that is busy with other things


@pytest.fixture(scope="module")
def server(exported):
    with serving(exported, f"--timeout={SECONDS}", "--allowed_hosts=127.0.0.1,photos.example") as s:
        yield s


@contextlib.contextmanager
def connected(server):
    with socket.create_connection(server.address) as connection:
        connection.settimeout(PATIENCE)
        yield connection


def seconds_until_closed(connection):
    started = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(2**16):
            pass
    return time.monotonic() - started


@pytest.mark.parametrize("icc", [False, True])
def test_no_image_holds_the_others_up(server, icc):
    bomb, good = make_scan_bomb(icc), make_picture(0)
    started = time.monotonic()
    _, answer = server.ask("POST", PREDICT, {"instances": [b64(bomb), b64(good)]})
    assert [row["valid"] for row in answer["predictions"]] == [False, True]
    examples = [{"image/encoded": b64(image)} for image in (bomb, good)]
    body = {"signature_name": "classify", "examples": examples}
    _, answer = server.ask("POST", CLASSIFY, body)
    assert [row[0][0] != "" for row in answer["results"]] == [False, True]
    assert server.ask("POST", "/look", bomb)[0] == 415
    assert time.monotonic() - started < PATIENCE  # a single one would take longer


@pytest.mark.parametrize(
    "sent", [b"", b"GET /", b"GET /v1/models/alexnet HTTP/1.1\r\nHost: 127.0.0.1\r\n"]
)
def test_a_connection_without_a_request_is_closed(server, sent):
    with connected(server) as connection:
        connection.sendall(sent)
        assert SECONDS - 1 < seconds_until_closed(connection) < PATIENCE


def test_a_head_that_comes_byte_by_byte_is_given_up(server):
    started = time.monotonic()
    with connected(server) as connection, contextlib.suppress(BrokenPipeError, ConnectionError):
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        while time.monotonic() - started < PATIENCE:
            connection.sendall(b"x")
            time.sleep(0.1)
    assert time.monotonic() - started < PATIENCE


def test_whoever_asks_and_does_not_read_is_given_up(server):
    body = json.dumps({"signature_name": "look_inside", "instances": [b64(make_picture(0))] * 8})
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect(server.address)
        connection.sendall(head.encode() + body.encode())
        received = connection.recv(1000)
        announced = int(re.search(rb"content-length: (\d+)", received)[1])
        time.sleep(2 * SECONDS)
        length = len(received)
        while more := connection.recv(2**20):
            length += len(more)
    assert length < announced  # the rest was thrown away


def test_whoever_goes_on_asking_is_not_given_up(server):
    with contextlib.closing(server.connect()) as connection:
        for _ in range(SECONDS + 2):
            connection.request("GET", "/v1/models/alexnet")
            assert connection.getresponse().read().startswith(b'{"model_version_status"')
            time.sleep(1)


def ask(server, method, path, **headers):
    with contextlib.closing(server.connect()) as connection:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, b"{}" if method == "POST" else None, headers)
        response = connection.getresponse()
        response.read()
        return response


@pytest.mark.parametrize(
    "method, headers, status",
    [
        ("GET", {"Host": "evil.example"}, 400),
        ("GET", {"Host": "photos.example"}, 200),
        ("POST", {}, 400),  # the body is wrong: it was asked
        ("POST", {"Host": "photos.example:81", "Origin": "http://photos.example:81"}, 400),
        ("POST", {"Host": "photos.example:81", "Origin": "http://photos.example"}, 403),
        ("POST", {"Origin": "http://evil.example"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("POST", {"Sec_Fetch_Site": "same-origin"}, 400),
    ],
)
def test_another_sites_page_cannot_ask_it(server, method, headers, status):
    path = PREDICT if method == "POST" else "/v1/models/alexnet"
    assert ask(server, method, path, **headers).status == status


def test_refusals_say_what_is_accepted(server):
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/v1/models/alexnet", None, {"Host": "evil.example:8501"})
        answer = json.load(connection.getresponse())
        assert answer["error"].startswith("Expected to be addressed as")
        assert answer["error"].endswith("Received: evil.example")
    assert ask(server, "GET", PREDICT).headers["Allow"] == "POST"
    assert ask(server, "POST", PREDICT, Content_Encoding="gzip").status == 415


@pytest.mark.parametrize("path", ["/", "/page.js", "/v1/models/alexnet", "/none"])
def test_every_answer_says_what_a_browser_may_do_with_it(server, path):
    response = ask(server, "GET", path)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    policy = response.headers["Content-Security-Policy"]
    for rule in ("default-src", "frame-ancestors", "base-uri", "form-action"):
        assert f"{rule} 'none'" in policy


def test_lists_in_lists_are_refused(server):
    for depth in range(900, 1100, 5):
        body = b'{"instances": [' + b"[" * depth + b"]" * depth + b"]}"
        assert server.ask("POST", PREDICT, body)[0] == 400
    with contextlib.closing(http.client.HTTPConnection(*server.address)) as connection:
        connection.request("GET", "/v1/models/alexnet")
        assert connection.getresponse().status == 200
