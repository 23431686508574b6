"""The server's own limits, with a model that is busy for as long as the test wants."""

import asyncio
import json
import threading

import pytest

pytest.importorskip("starlette", reason="needs the extra `serve`")

from alexnet_tf.serving.limits import Limits
from alexnet_tf.serving.server import Server
from tests.serving.servable import make_picture
from tools.load_server import b64
from tools.server_process import PREDICT

MB = 2**20


class Busy(Server):
    """Answers when it is let."""

    def __init__(self, model, **limits):
        self.go_on = threading.Event()
        super().__init__(model, "alexnet", Limits(rate=0, **limits), ["*"])

    def compute(self, signature, batch):
        assert self.go_on.wait(60)
        return super().compute(signature, batch)


async def ask(server, path, body):
    """Status and JSON of an answer, as the web server calls the application."""
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
    """Statuses of requests of which all but those that are refused wait until all have come."""

    async def main():
        tasks = [asyncio.create_task(ask(server, *request)) for request in requests]
        while len(asyncio.all_tasks()) > 1 and not any(task.done() for task in tasks):
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)  # for the others to have come to the model
        refused = [task.result()[0] for task in tasks if task.done()]
        server.go_on.set()
        return refused, [status for status, _ in await asyncio.gather(*tasks)]

    return asyncio.run(main())


def padded(size, signature="serving_default"):
    """A good request of so many bytes."""
    values = {"signature_name": signature, "instances": [b64(make_picture(0))]}
    text = json.dumps(values).encode()
    return text + b" " * (size - len(text))


def test_bytes_are_counted_until_they_are_answered(loaded):
    server = Busy(loaded, waiting_bytes=45 * MB)
    body = padded(10 * MB)
    refused, statuses = ask_all(server, [(PREDICT, body)] * 20)
    assert refused == [429] * 16
    assert sorted(statuses) == [200] * 4 + [429] * 16
    _, statuses = ask_all(server, [(PREDICT, body)] * 4)
    assert statuses == [200] * 4


def test_images_are_counted_over_all_signatures(loaded):
    server = Busy(loaded, waiting_images=3)
    names = ["serving_default", "ten_view", "features", "look_inside", "serving_default"]
    refused, statuses = ask_all(server, [(PREDICT, padded(0, name)) for name in names])
    assert refused == [429, 429]
    assert sorted(statuses) == [200] * 3 + [429] * 2


def test_what_nobody_thought_of_is_an_answer_too(loaded, capsys):
    class Failing(Server):
        def compute(self, signature, batch):
            raise RuntimeError("two\nlines")

    server = Failing(loaded, "alexnet", Limits(), ["*"])
    status, answer = asyncio.run(ask(server, PREDICT, padded(0)))
    assert (status, answer) == (500, {"error": "A failure of the server"})
    assert capsys.readouterr().err == "error: RuntimeError: 'two\\nlines'\n"
