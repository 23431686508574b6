"""Runs `alexnet_tf.serve` in another process, and sends requests to it."""

from __future__ import annotations

import base64
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
        process: of the server.
        host, port: its address.
    """

    def __init__(self, process: subprocess.Popen, host: str, port: int):
        self.process, self.address = process, (host, port)

    def connect(self, seconds: float = 60.0) -> http.client.HTTPConnection:
        """Opens a connection; the caller closes it."""
        return http.client.HTTPConnection(*self.address, timeout=seconds)

    def ask(self, method: str, path: str, body: bytes | dict | None = None) -> tuple[int, dict]:
        """Sends a request over a new connection; returns status and JSON."""
        with contextlib.closing(self.connect()) as connection:
            return ask(connection, method, path, body)

    def memory(self, peak: bool = False) -> float:
        """Returns the resident memory of the process in GB, now or at its peak (Linux)."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        name = "VmHWM" if peak else "VmRSS"
        return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[1]) / 1e6


def read_photographs(folder: str) -> list[bytes]:
    """Reads the first 50 photographs in a folder.

    Raises:
        UserError: the folder has none.
    """
    paths = [path for path in find_images([folder])[:50] if path.is_file()]
    if not paths:
        raise UserError(f"Expected a folder of photographs. Received: {folder}")
    return [path.read_bytes() for path in paths]


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | dict | None = None
) -> tuple[int, dict]:
    """Sends a request; returns status and JSON.

    Args:
        connection: to the server.
        method: HTTP method.
        path: of the URL.
        body: bytes, or a value to send as JSON.
    """
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    connection.request(method, path, body)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def b64(data: bytes) -> dict[str, str]:
    """Encodes bytes for the REST API's JSON."""
    return {"b64": base64.b64encode(data).decode()}


@contextlib.contextmanager
def serving(saved_model: str | os.PathLike, *flags: str) -> Iterator[Served]:
    """Runs a server on any free port until the context ends.

    Args:
        saved_model: to serve.
        flags: of `alexnet_tf.serve`.

    Raises:
        RuntimeError: it did not start, ended early, or printed a traceback.
    """
    command = [
        *(sys.executable, "-m", "alexnet_tf.serve"),
        *(f"--saved_model={saved_model}", "--port=0", "--max_rate=0", *flags),
    ]
    # A file: a pipe would be filled by libjpeg's warnings about broken images, and block.
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
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
        log.seek(0)
        text = log.read()
    if ended or "Traceback" in text:
        raise RuntimeError(f"the server ended or failed: {text[-5000:]}")
