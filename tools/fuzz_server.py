"""Fuzzes `alexnet_tf.serve` with mutated requests; finds crashes and answers with status 500.

python -m tools.fuzz_server --saved_model=DIR --photos=DIR --requests=20000

Each request starts as a good one: predict, classify, or the page's request. Then the photograph,
the JSON values or the bytes of the body are mutated; or lists are nested as deep as Python can
parse, or much deeper. One request in two hundred is one of `tools.worst_requests`, which take much
more memory than their bytes suggest. An answer with status 200 must have one row per image. After
every thousand requests, a good request must get the right answer.

The exit code is 1 for anything else, for more memory than --max_memory_gb, or if the server does
not shrink to within a tenth of its size at the start.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import copy
import http.client
import json
import time
from collections.abc import Iterator

import numpy as np
from absl import flags as absl_flags

from alexnet_tf import app
from alexnet_tf.system.progress import Progress
from tools.fuzz_decoding import mutate
from tools.server_process import PREDICT, Served, ask, b64, read_photographs, serving
from tools.worst_requests import CLASSIFY, WORST, worst_request

_FLAGS = absl_flags.FLAGS
_THREADS = 8
_GROUP = 1000  # requests between good ones
_GROWTH, _REST_SECONDS = 1.1, 20  # that a server may be larger at the end; to become that small
_SIGNATURES = ("serving_default", "ten_view", "features", "images", "classify", "", "x", None, [])
_STRANGE = (
    *(None, True, -1, 0, 2**31, 2**63, 2**70, 1e308, float("nan"), float("inf"), "", "x", "\ud800"),
    *([], [[]], {}, {"b64": ""}, {"b64": "?"}, {"b64": None}, {"image_bytes": 1}, "ä" * 1000),
    *([0] * 1000, [[[[0, 0, 0]]]], [[[[256, -1, 0.5]]]], [{}, []], {"": {"": {"": []}}}),
)


def paths(value: object, at: tuple = ()) -> Iterator[tuple]:
    """Yields the paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, inner in items:
        yield (*at, key)
        yield from paths(inner, (*at, key))


def mutate_values(values: dict, rng: np.random.Generator) -> None:
    """Replaces, renames, removes or repeats a few values, in place."""
    for _ in range(rng.integers(1, 4)):
        found = list(paths(values))
        if not found:
            return
        *way, key = found[rng.integers(len(found))]
        holder = values
        for step in way:
            holder = holder[step]
        change = rng.integers(4)
        strange = copy.deepcopy(_STRANGE[rng.integers(len(_STRANGE))])
        if change == 0:
            holder[key] = strange
        elif change == 1:
            del holder[key]
        elif isinstance(holder, dict):
            holder[str(strange)[:20]] = copy.deepcopy(holder[key])
        else:
            holder.insert(int(rng.integers(len(holder) + 1)), strange)


def make_request(photographs: list[bytes], rng: np.random.Generator) -> tuple[str, bytes]:
    """Makes a mutated request: path and body."""
    files = [photographs[i] for i in rng.integers(len(photographs), size=rng.integers(1, 4))]
    kinds = ["image", "values", "body", "deep", "page", "worst"]
    kind = rng.choice(kinds, p=[0.3, 0.365, 0.2, 0.03, 0.1, 0.005])
    if kind == "worst":
        return worst_request(rng.choice(list(WORST)))
    if kind == "page":
        return "/explain", mutate(files[0], rng)
    if kind == "deep":
        path = (PREDICT, CLASSIFY)[rng.integers(2)]
        return path, _nested_lists(path, int(rng.choice([rng.integers(900, 1100), 100_000])))
    if kind == "image":
        files = [mutate(file, rng) for file in files]
    path, values = PREDICT, {"instances": [b64(file) for file in files]}
    if rng.random() < 0.25:
        values = {"inputs": values["instances"]}
    if rng.random() < 0.2:
        path, values = CLASSIFY, {"examples": [{"image/encoded": b64(file)} for file in files]}
        values["signature_name"] = "classify"
    elif rng.random() < 0.3:
        values["signature_name"] = _SIGNATURES[rng.integers(len(_SIGNATURES))]
    if kind == "values":
        mutate_values(values, rng)
    body = json.dumps(values).encode()
    return path, mutate(body, rng) if kind == "body" else body


def _nested_lists(path: str, depth: int) -> bytes:
    """Makes deep JSON; the parser may accept it when it is too deep for other functions."""
    lists = "[" * depth + "]" * depth
    if path == PREDICT:
        return f'{{"instances": {lists}}}'.encode()
    example = f'{{"image/encoded": {lists}}}'
    return f'{{"signature_name": "classify", "examples": [{example}]}}'.encode()


def judge(path: str, body: bytes, status: int, answer: dict) -> str:
    """Returns the fault of an answer; empty if it is right."""
    if status >= 500:
        return "the server failed"
    if status != 200:
        return "" if isinstance(answer.get("error"), str) else "no error message"
    if path == "/explain":
        return "" if len(answer["views"]) == 10 else "not ten views"
    values = json.loads(body)
    (given,) = (values[name] for name in ("instances", "inputs", "examples") if name in values)
    (rows,) = answer.values()
    if isinstance(given, dict):  # {"image_bytes": [...]}
        (given,) = given.values()
    if isinstance(rows, dict):
        rows = next(iter(rows.values()))
    return "" if len(rows) == len(given) else f"{len(rows)} rows for {len(given)}"


class Fuzzer:
    """Sends requests and counts statuses and faults.

    Args:
        served: the server.
        photographs: encoded.
        seed: of the mutations.
    """

    def __init__(self, served: Served, photographs: list[bytes], seed: int):
        self.served, self.photographs, self.seed = served, photographs, seed
        self.statuses: collections.Counter = collections.Counter()
        self.faults: list[str] = []
        self._right = self.good()

    def good(self) -> list:
        """Returns the answer to a good request."""
        body = {"instances": [b64(file) for file in self.photographs[:3]]}
        status, answer = self.served.ask("POST", PREDICT, body)
        return [status, *(row["probabilities"] for row in answer["predictions"])]

    def warm_up(self) -> None:
        """Asks for each signature with many images, for which TensorFlow keeps some memory."""
        for signature in ("serving_default", "ten_view", "features", "look_inside"):
            for images in (8, 32):
                body = {"instances": [b64(self.photographs[0])] * images}
                self.served.ask("POST", PREDICT, {**body, "signature_name": signature})

    def still_right(self) -> bool:
        """Returns whether a good request gets the same answer as at the start."""
        status, *rows = self.good()
        return status == 200 and np.allclose(rows, self._right[1:], atol=1e-5)

    def send(self, numbers: range) -> None:
        """Makes and sends some requests over one connection."""
        with contextlib.closing(self.served.connect(seconds=30)) as connection:
            for number in numbers:
                path, body = make_request(
                    self.photographs, np.random.default_rng([self.seed, number])
                )
                try:
                    status, answer = ask(connection, "POST", path, body)
                    fault = judge(path, body, status, answer)
                except (OSError, http.client.HTTPException, ValueError) as error:
                    connection.close()
                    status, fault = 0, f"{type(error).__name__}: {error}"
                self.statuses[status] += 1
                if fault:
                    self.faults.append(f"request {number}: {status}, {fault}")


def rest(served: Served, enough: float) -> float:
    """Waits until the server is small enough, but not for ever; returns its memory in GB."""
    deadline = time.monotonic() + _REST_SECONDS
    while (memory := served.memory()) > enough and time.monotonic() < deadline:
        time.sleep(0.5)
    return memory


def main(argv: list[str]) -> int:
    """Fuzzes; returns the exit code."""
    photographs = read_photographs(_FLAGS.photos)
    with (
        serving(_FLAGS.saved_model) as served,
        concurrent.futures.ThreadPoolExecutor(_THREADS) as threads,
        Progress("fuzzing", _FLAGS.requests, "requests") as progress,
    ):
        fuzzer = Fuzzer(served, photographs, _FLAGS.seed)
        fuzzer.warm_up()
        before = served.memory()
        for start in range(0, _FLAGS.requests, _GROUP):
            end = min(start + _GROUP, _FLAGS.requests)
            list(
                threads.map(fuzzer.send, [range(start + i, end, _THREADS) for i in range(_THREADS)])
            )
            if not fuzzer.still_right():
                fuzzer.faults.append(f"a good request after {end} others: not the right answer")
            progress.advance(end - start, f"{len(fuzzer.faults)} faults")
        peak, after = served.memory(peak=True), rest(served, _GROWTH * before)
    print(
        f"{_FLAGS.requests:,} requests, status {dict(sorted(fuzzer.statuses.items()))}; memory "
        f"{before:.2f} GB before, {peak:.2f} GB at most, {after:.2f} GB after"
    )
    if peak > _FLAGS.max_memory_gb:
        fuzzer.faults.append(f"more memory than {_FLAGS.max_memory_gb:g} GB")
    if after > _GROWTH * before:
        fuzzer.faults.append(f"{after / before:.2f} times as large as before")
    for fault in fuzzer.faults[:10]:
        print(fault)
    print(f"faults: {len(fuzzer.faults)}")
    return 1 if fuzzer.faults else 0


if __name__ == "__main__":
    absl_flags.DEFINE_string("saved_model", None, "directory of the SavedModel", required=True)
    absl_flags.DEFINE_string("photos", None, "folder of photographs", required=True)
    absl_flags.DEFINE_integer("requests", 20_000, "number of requests", lower_bound=1)
    absl_flags.DEFINE_integer("seed", 0, "random seed of the mutations", lower_bound=0)
    absl_flags.DEFINE_float("max_memory_gb", 1.5, "memory limit of the server", lower_bound=0)
    app.run(main, flags_only=True)
