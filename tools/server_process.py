"""`alexnet_tf.serve` in a process of its own, and how to ask it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from alexnet_tf.evaluation.prediction import find_images
from alexnet_tf.system.errors import UserError

PREDICT = "/v1/models/alexnet:predict"


class Served:
    """A running server.

    Args:
        process: the server's.
        host, port: where it listens.
    """

    def __init__(self, process: subprocess.Popen, host: str, port: int):
        self.process, self.address = process, (host, port)

    def connect(self, seconds: float = 60.0) -> http.client.HTTPConnection:
        """A connection, to be closed."""
        return http.client.HTTPConnection(*self.address, timeout=seconds)

    def ask(self, method: str, path: str, body: bytes | dict | None = None) -> tuple[int, dict]:
        """Status and JSON of an answer, over a connection of its own."""
        with contextlib.closing(self.connect()) as connection:
            return ask(connection, method, path, body)

    def memory(self, peak: bool = False) -> float:
        """GB of the process that are in memory, or were at most (Linux)."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        name = "VmHWM" if peak else "VmRSS"
        return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[1]) / 1e6


def read_photographs(folder: str) -> list[bytes]:
    """The contents of some photographs, 50 at most, in a folder.

    Raises:
        UserError: there are none.
    """
    paths = [path for path in find_images([folder])[:50] if path.is_file()]
    if not paths:
        raise UserError(f"Expected a folder of photographs. Received: {folder}")
    return [path.read_bytes() for path in paths]


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | dict | None = None
) -> tuple[int, dict]:
    """Status and JSON of an answer.

    Args:
        connection: to ask over.
        method: of the request.
        path: of the address.
        body: what is no bytes is sent as JSON.
    """
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    connection.request(method, path, body)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@contextlib.contextmanager
def serving(saved_model: str | os.PathLike, *flags: str) -> Iterator[Served]:
    """A server on any free port, until the context ends.

    Args:
        saved_model: what to serve.
        flags: of `alexnet_tf.serve`.

    Raises:
        RuntimeError: it did not start, or ended before it was told to, or complained.
    """
    command = [
        *(sys.executable, "-m", "alexnet_tf.serve"),
        *(f"--saved_model={saved_model}", "--port=0", "--max_rate=0", *flags),
    ]
    # A file and no pipe, which libjpeg's remarks on broken images would fill.
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True)
        ended = False
        try:
            for line in process.stdout:
                if match := re.match(r"REST +http://([\d.]+):(\d+)/", line):
                    yield Served(process, match[1], int(match[2]))
                    break
            ended = process.poll() is not None
        finally:
            process.terminate()
            process.wait(timeout=60)
            process.stdout.close()
        complaints.seek(0)
        text = complaints.read()
    if ended or "Traceback" in text:
        raise RuntimeError(f"the server ended or complained: {text[-5000:]}")
