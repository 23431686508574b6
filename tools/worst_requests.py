"""Requests that take much more memory or time than their bytes suggest, for `tools.fuzz_server`.

Each is as large as the server's default limits allow, or a little larger.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable

import numpy as np
from PIL import Image

from tools.server_process import PREDICT, b64

CLASSIFY = PREDICT.replace("predict", "classify")
_BYTES = 2**24  # of a request
_Request = tuple[str, bytes]  # path and body


def _classify(**values: object) -> _Request:
    return CLASSIFY, json.dumps({"signature_name": "classify", **values}).encode()


def _predict(signature: str, instances: list) -> _Request:
    body = {"signature_name": signature, "instances": instances}
    return PREDICT, json.dumps(body).encode()


def _repeated(value: str, times: int) -> _Request:
    """A list with the same value many times, as far as a body has room."""
    times = min(times, (_BYTES - 100) // (len(value) + 1))
    return PREDICT, f'{{"instances": [{",".join([value] * times)}]}}'.encode()


def _picture(kind: str, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "orange").save(buffer, kind)
    return buffer.getvalue()


def _photograph() -> bytes:
    """A JPEG that is large in bytes: noise."""
    noise = np.random.default_rng(0).integers(0, 256, (3000, 3500, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _squares(side: int) -> _Request:
    return _predict("images", np.full([60, side, side, 3], 255).tolist())


# Kind to a function that makes the request.
WORST: dict[str, Callable[[], _Request]] = {
    # Copied into each example, this would be 64 times as large.
    "image in context": lambda: _classify(
        context={"image/encoded": b64(_photograph())}, examples=[{}] * 64
    ),
    "small image in context": lambda: _classify(
        context={"image/encoded": b64(_picture("JPEG", 1200, 1000))}, examples=[{}] * 64
    ),
    "numbers in context": lambda: _classify(
        context={"x": [1] * 2_900_000}, examples=[{}] * 100_000
    ),
    "numbers in context of 64": lambda: _classify(
        context={"x": [1.5] * 2_900_000}, examples=[{}] * 64
    ),
    "many examples": lambda: _classify(examples=[{}] * 19_000),
    "texts in an example": lambda: _classify(examples=[{"x": ["ab"] * 99_000}] * 1),
    "empty lists": lambda: _repeated("[]", 1_190_000),
    "too many empty lists": lambda: _repeated("[]", 10**9),
    "lists of lists": lambda: _repeated("[[]]", 590_000),
    "floats": lambda: _repeated("1e9", 2_990_000),
    "large numbers": lambda: _repeated("9" * 4000, 10**9),
    "objects": lambda: _repeated('{"":[]}', 19_000),
    "texts": lambda: _repeated('"ab"', 99_000),
    "wide text": lambda: _repeated('"\U0001f600' + "x" * (_BYTES - 200) + '"', 1),
    "spaced base64": lambda: _repeated('{"b64": "' + "QU JD " * ((_BYTES - 200) // 6) + '"}', 1),
    "long text beside numbers": lambda: (
        PREDICT,
        b'{"signature_name": "images", "instances": [["%s"]%s]}'
        % (b"x" * 2**23, b",[1]" * 1_000_000),
    ),
    "tf.Example of empty features": lambda: _predict(
        "classify", [b64(b"\x0a\x02\x0a\x00" * 2**21)]
    ),
    "squares": lambda: _squares(72),
    "large squares": lambda: _squares(128),
    "large PNGs": lambda: _predict("ten_view", [b64(_picture("PNG", 5790, 5790))] * 2),
    "a long JPEG": lambda: _predict("features", [b64(_picture("JPEG", 60_000, 1400))]),
    "ten views of many": lambda: _predict("ten_view", [b64(_picture("JPEG", 256, 256))] * 64),
    "all outputs of many": lambda: _predict("look_inside", [b64(_picture("JPEG", 256, 256))] * 11),
    "a large photograph": lambda: ("/explain", _photograph()),
    "a large file": lambda: ("/explain", bytes(_BYTES)),
}


@functools.cache
def worst_request(kind: str) -> _Request:
    """Makes one of the kinds of `WORST`: path and body."""
    return WORST[kind]()
