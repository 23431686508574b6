"""The server's own limits, with a model that is busy until the test releases it."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import pytest

pytest.importorskip("starlette", reason="needs the extra `serve`")

from alexnet_tf.serving import web_server
from alexnet_tf.serving.limits import Limits
from alexnet_tf.serving.memory import MemoryTrimmer
from alexnet_tf.serving.server import Server
from tests.serving.running import running
from tests.serving.servable import make_picture
from tools.server_process import PREDICT, b64

MB = 2**20


class Busy(Server):
    """Computes only after `go_on`."""

    def __init__(self, model, **limits):
        self.go_on = threading.Event()
        super().__init__(model, "alexnet", Limits(max_rate=0, **limits), ["*"])

    def compute(self, signature, batch):
        assert self.go_on.wait(60)
        return super().compute(signature, batch)


async def ask(server, path, body):
    """Calls the application as a web server does; returns status and JSON."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": b"", "headers": [(b"host", b"x")], "client": ("1.2.3.4", 5),
        "scheme": "http", "http_version": "1.1",
    }  # fmt: skip
    await server.app(scope, receive, send)
    text = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(text)


def ask_all(server, requests):
    """Sends requests; returns the statuses of those refused at once, and then of all."""

    async def main():
        tasks = [asyncio.create_task(ask(server, *request)) for request in requests]
        counts = [0]  # of answers, until none has come for a while
        while not counts[-1] or len(set(counts[-10:])) > 1:
            await asyncio.sleep(0.05)
            counts.append(sum(task.done() for task in tasks))
            if len(counts) > 40 and not counts[-1]:  # nothing is refused
                break
        refused = [task.result()[0] for task in tasks if task.done()]
        server.go_on.set()
        return refused, [status for status, _ in await asyncio.gather(*tasks)]

    return asyncio.run(main())


def padded(size, signature="serving_default"):
    """Makes a good request of `size` bytes or more."""
    values = {"signature_name": signature, "instances": [b64(make_picture(0))]}
    text = json.dumps(values).encode()
    return text + b" " * (size - len(text))


def test_bytes_count_until_the_request_is_answered(loaded):
    server = Busy(loaded, max_pending_bytes=45 * MB)
    body = padded(10 * MB)
    refused, statuses = ask_all(server, [(PREDICT, body)] * 20)
    assert refused == [429] * 16
    assert sorted(statuses) == [200] * 4 + [429] * 16
    _, statuses = ask_all(server, [(PREDICT, body)] * 4)
    assert statuses == [200] * 4


def test_images_count_over_all_signatures(loaded):
    server = Busy(loaded, max_pending_images=3)
    names = ["serving_default", "ten_view", "features", "look_inside", "serving_default"]
    refused, statuses = ask_all(server, [(PREDICT, padded(0, name)) for name in names])
    assert refused == [429, 429]
    assert sorted(statuses) == [200] * 3 + [429] * 2


def test_an_unexpected_exception_is_answered_and_logged(loaded, capsys):
    class Failing(Server):
        def compute(self, signature, batch):
            raise RuntimeError("two\nlines")

    server = Failing(loaded, "alexnet", Limits(), ["*"])
    status, answer = asyncio.run(ask(server, PREDICT, padded(0)))
    assert (status, answer) == (500, {"error": "The server failed. Its log has the reason."})
    assert capsys.readouterr().err == "error: RuntimeError: 'two\\nlines'\n"


def test_every_waiting_request_is_answered_at_the_end(loaded, monkeypatch):
    monkeypatch.setattr(web_server, "_SHUTDOWN_SECONDS", 0.5)
    server, body = Busy(loaded), padded(0)
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    left = []  # requests when the server's shutdown is done: a signal then ends the process
    with contextlib.ExitStack() as stack:
        with running(server.app, 30) as served:
            shutdown = served.uvicorn.shutdown

            async def counted(sockets=None):
                await shutdown(sockets)
                left.append(len(served.uvicorn.server_state.tasks))

            served.uvicorn.shutdown = counted
            connections = [
                stack.enter_context(socket.create_connection(served.address, timeout=30))
                for _ in range(120)
            ]
            for number, connection in enumerate(connections):  # every third is not complete
                connection.sendall(head + (body if number % 3 else body[:-1]))
            time.sleep(0.5)
        server.go_on.set()
        answers = [connection.recv(1000).split(b" ")[1] for connection in connections]
    assert (left, answers) == ([0], [b"503"] * 120)


def test_parsing_is_under_the_time_limit(loaded):
    server = Busy(loaded, timeout=0.2)
    go_on = threading.Event()
    server._parse_thread.submit(go_on.wait, 60)  # a request before it, which takes long
    status, answer = asyncio.run(ask(server, PREDICT, padded(0)))
    go_on.set()
    assert status == 504 and "in time" in answer["error"]


def test_memory_is_given_back_once_for_many_requests(monkeypatch):
    trimmed = threading.Semaphore(0)
    monkeypatch.setattr("alexnet_tf.serving.memory._PAUSE", 0.05)

    async def main():
        trimmer = MemoryTrimmer(None, trimmed.release)
        for _ in range(100):
            trimmer.request()
        await asyncio.sleep(0.2)
        assert trimmed.acquire(timeout=5) and not trimmed.acquire(blocking=False)
        trimmer.request()
        await asyncio.sleep(0.2)
        assert trimmed.acquire(timeout=5)

    asyncio.run(main())
