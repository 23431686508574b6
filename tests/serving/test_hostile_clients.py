"""Hostile requests over real connections; test_connections.py has slow clients."""

import contextlib
import http.client
import json
import socket
import time

import pytest

from tests.serving.servable import make_picture, make_scan_bomb
from tools.server_process import PREDICT, b64

pytest.importorskip("starlette", reason="needs the extra `serve`")

CLASSIFY = "/v1/models/alexnet:classify"
PATIENCE = 30  # seconds, on a busy machine


@pytest.mark.parametrize("icc", [False, True])
def test_an_expensive_image_does_not_delay_the_others(server, icc):
    bomb, good = make_scan_bomb(icc), make_picture(0)
    started = time.monotonic()
    _, answer = server.ask("POST", PREDICT, {"instances": [b64(bomb), b64(good)]})
    assert [row["valid"] for row in answer["predictions"]] == [False, True]
    examples = [{"image/encoded": b64(image)} for image in (bomb, good)]
    body = {"signature_name": "classify", "examples": examples}
    _, answer = server.ask("POST", CLASSIFY, body)
    assert [row[0][0] != "" for row in answer["results"]] == [False, True]
    assert server.ask("POST", "/explain", bomb)[0] == 415
    assert time.monotonic() - started < PATIENCE  # decoding a single one takes longer


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
        ("GET", {"Host": "PHOTOS.example"}, 200),  # host names have no case
        ("GET", {"Host": "photos.example.:80"}, 200),  # nor need of the root's dot
        ("POST", {}, 400),  # the body is wrong: the request was parsed
        ("POST", {"Host": "photos.example:81", "Origin": "http://photos.example:81"}, 400),
        ("POST", {"Host": "Photos.Example:81", "Origin": "http://photos.example:81"}, 400),
        ("POST", {"Host": "photos.example:81", "Origin": "http://photos.example"}, 403),
        ("POST", {"Origin": "http://evil.example"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("POST", {"Sec_Fetch_Site": "same-origin"}, 400),
    ],
)
def test_another_sites_page_is_refused(server, method, headers, status):
    path = PREDICT if method == "POST" else "/v1/models/alexnet"
    assert ask(server, method, path, **headers).status == status


def test_refusals_name_the_accepted_values(server):
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/v1/models/alexnet", None, {"Host": "evil.example:8501"})
        answer = json.load(connection.getresponse())
        assert answer["error"].startswith("Expected host 127.0.0.1 or photos.example")
        assert answer["error"].endswith("Received: evil.example")
    assert ask(server, "GET", PREDICT).headers["Allow"] == "POST"
    assert ask(server, "POST", PREDICT, Content_Encoding="gzip").status == 415


@pytest.mark.parametrize("path", ["/", "/page.js", "/v1/models/alexnet", "/none"])
def test_every_answer_has_security_headers(server, path):
    response = ask(server, "GET", path)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    policy = response.headers["Content-Security-Policy"]
    for rule in ("default-src", "frame-ancestors", "base-uri", "form-action"):
        assert f"{rule} 'none'" in policy


def test_nested_lists_are_refused(server):
    for depth in range(900, 1100, 5):
        body = b'{"instances": [' + b"[" * depth + b"]" * depth + b"]}"
        assert server.ask("POST", PREDICT, body)[0] == 400
    with contextlib.closing(http.client.HTTPConnection(*server.address)) as connection:
        connection.request("GET", "/v1/models/alexnet")
        assert connection.getresponse().status == 200


def send(server, head, body=b""):
    """Sends a request as it is; returns the status and whether the connection was closed."""
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
        response = http.client.HTTPResponse(connection)
        response.begin()
        response.read()
        return response.status, response.will_close


CHUNKED = b"2\r\n{}\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "headers, body, status",
    [
        ("Transfer-Encoding: chunked\nContent-Length: 2\n", CHUNKED, 400),
        ("Content-Length: 12\nTransfer-Encoding: chunked\n", CHUNKED, 400),
        ("Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n", CHUNKED, 400),
        ("Content-Length: 2\nContent-Length: 3\n", b"{}", 400),
        ("Host: localhost\nContent-Length: 2\n", b"{}", 400),
        ("Content-Length: 2\nOrigin: http://127.0.0.1\nOrigin: null\n", b"{}", 400),
        ("Content-Length: 2\nSec-Fetch-Site: none\nSec-Fetch-Site: cross-site\n", b"{}", 400),
        ("Content-Length: 2\nContent-Type: a/b\nContent-Type: text/html\n", b"{}", 400),
    ],
)
def test_headers_that_contradict_each_other_are_refused(server, headers, body, status):
    head = f"POST {PREDICT} HTTP/1.1\nHost: 127.0.0.1\n"
    assert send(server, head + headers, body) == (status, True)
    old = f"POST {PREDICT} HTTP/1.0\nHost: 127.0.0.1\nTransfer-Encoding: chunked\n"
    assert send(server, old, CHUNKED) == (400, True)


@pytest.mark.parametrize(
    "headers, status",
    [
        ("Content-Encoding: identity\nContent-Encoding: gzip\n", 415),
        ("Content-Encoding: identity, deflate\n", 415),
        ("Content-Encoding: br\n", 415),
        ("Content-Encoding: Identity\n", 400),  # the body is wrong: it was parsed
        ("", 400),
    ],
)
def test_every_content_encoding_counts(server, headers, status):
    head = f"POST {PREDICT} HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 2\n"
    assert send(server, head + headers, b"{}")[0] == status


@pytest.mark.parametrize(
    "text",
    [
        '{"signature_name": "classify", "examples": [{"x": [1.5, 1%s]}]}' % ("0" * 400),
        '{"signature_name": "classify", "examples": [{"x": [1, -1e999]}]}',
        '{"signature_name": "images", "instances": [1%s]}' % ("0" * 400),
        '{"signature_name": 1%s, "instances": [""]}' % ("0" * 400),
        '{"instances": [1e999]}',
        '{"instances": [{"\\ud800": ""}]}',
        '{"signature_name": "\\ud800", "instances": [""]}',
        '{"signature_name": "classify", "examples": [{"\\udfff": 1}]}',
    ],
)
def test_strange_numbers_and_texts_are_wrong_requests(server, text):
    path = CLASSIFY if "examples" in text else PREDICT
    status, answer = server.ask("POST", path, text.encode())
    assert status == 400 and answer["error"]
