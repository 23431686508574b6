"""Load test of `alexnet_tf.serve`: good, broken, huge and slow requests; checks every answer.

python -m tools.load_server --saved_model=DIR --photos=DIR

First it compares the throughput with and without batching: medians of interleaved rounds. Then it
measures how long one client waits, with a new connection for each request and with one for all of
them. Last it sends a mixture of all kinds.

The exit code is 1 for a wrong answer, a crash, or more memory than --max_memory_gb.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import http.client
import io
import statistics
import time

import numpy as np
from absl import flags as absl_flags
from PIL import Image

from alexnet_tf import app
from tools.server_process import PREDICT, Served, ask, b64, read_photographs, serving

_FLAGS = absl_flags.FLAGS
_KINDS = ("good",) * 12 + (
    *("broken", "mixed", "bomb", "huge", "rubbish", "halting", "slow", "abandoned"),
)
_LATENCIES = 300  # requests, for each kind of connection
_TIMEOUT = 20  # seconds that the server waits for a request


class Load:
    """Requests of all kinds about some photographs, with their expected answers.

    Args:
        photographs: encoded.
        expected: probabilities, [N, classes].
    """

    def __init__(self, photographs: list[bytes], expected: np.ndarray):
        self.photographs, self.expected = photographs, expected
        buffer = io.BytesIO()
        Image.new("1", (12_000, 12_000)).save(buffer, "PNG")  # few bytes, many pixels
        self.bomb = buffer.getvalue()

    def one(self, served: Served, kind: str, number: int) -> tuple[str, int, float, bool]:
        """Sends a request; returns its kind, status, seconds, and whether the answer was right."""
        started = time.monotonic()
        try:
            with contextlib.closing(served.connect()) as connection:
                status, right = self._send(served, connection, kind, number % len(self.photographs))
        except (OSError, http.client.HTTPException, ValueError, LookupError):
            status, right = 0, False  # no answer, or an invalid one
        return kind, status, time.monotonic() - started, right

    def _send(
        self, served: Served, connection: http.client.HTTPConnection, kind: str, index: int
    ) -> tuple[int, bool]:
        """Returns the status, and whether the answer was right."""
        photograph = self.photographs[index]
        if kind in ("halting", "slow", "abandoned"):
            return self._dribble(connection, photograph, kind)
        if kind == "huge":
            return self._huge(served, connection)
        if kind == "rubbish":
            status, _ = ask(connection, "POST", PREDICT, photograph[:500])
            return status, status == 400
        files = {
            "good": [photograph],
            "broken": [photograph[:300]],
            "mixed": [b"", photograph, b"broken"],
            "bomb": [self.bomb, photograph],
        }[kind]
        body = {"instances": [b64(file) for file in files]}
        status, answer = ask(connection, "POST", PREDICT, body)
        return status, status == 200 and all(
            self._right(row, index if file == photograph else None)
            for row, file in zip(answer["predictions"], files, strict=True)
        )

    def _right(self, row: dict, index: int | None) -> bool:
        """Returns whether a row is right for a photograph, or for an invalid image (None)."""
        if index is None:
            return not row["valid"] and not any(row["scores"])
        return row["valid"] and np.allclose(row["probabilities"], self.expected[index], atol=1e-5)

    @staticmethod
    def _dribble(
        connection: http.client.HTTPConnection, photograph: bytes, kind: str
    ) -> tuple[int, bool]:
        """Sends half of a request, waits, then sends the rest, or nothing, or disconnects."""
        connection.putrequest("POST", "/explain")
        connection.putheader("Content-Length", str(len(photograph)))
        connection.endheaders(photograph[: len(photograph) // 2])
        if kind == "slow":
            status = connection.getresponse().status
            return status, status == 408
        time.sleep(1.0)
        if kind == "abandoned":
            return 0, True
        connection.send(photograph[len(photograph) // 2 :])
        response = connection.getresponse()
        response.read()
        return response.status, response.status == 200

    @staticmethod
    def _huge(served: Served, connection: http.client.HTTPConnection) -> tuple[int, bool]:
        """Sends more than the limit; the server may disconnect before it has received all."""
        try:
            status, _ = ask(connection, "POST", PREDICT, bytes(2**25))
            return status, status == 413
        except (BrokenPipeError, ConnectionResetError):
            # Right only if the server is still there.
            return 413, served.ask("GET", "/v1/models/alexnet")[0] == 200


def run(
    load: Load, served: Served, kinds: list[str], clients: int
) -> tuple[list[tuple[str, int, float, bool]], float]:
    """Sends requests from many threads; returns the results and right answers/s."""
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(clients) as threads:
        results = list(threads.map(lambda n: load.one(served, kinds[n], n), range(len(kinds))))
    return results, sum(result[3] for result in results) / (time.monotonic() - started)


def compare_batching(load: Load) -> None:
    """Prints the throughput with and without batching."""
    rates = collections.defaultdict(list)
    with (
        serving(_FLAGS.saved_model) as batched,
        serving(_FLAGS.saved_model, "--max_batch=1") as single,
    ):
        for number in range(_FLAGS.rounds + 1):
            for name, served in (("batched", batched), ("one by one", single)):
                _, rate = run(load, served, ["good"] * _FLAGS.requests, _FLAGS.clients)
                if number:  # the first one warms up
                    rates[name].append(rate)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        print(f"{name}: {medians[name]:.0f} requests/s ({min(values):.0f} to {max(values):.0f})")
    print(f"batching: {medians['batched'] / medians['one by one']:.2f} times as many")


def latency(load: Load) -> None:
    """Prints how long a single client waits for good answers."""
    body = {"instances": [b64(load.photographs[0])]}
    seconds = collections.defaultdict(list)
    with (
        serving(_FLAGS.saved_model) as served,
        contextlib.closing(served.connect()) as connection,
    ):
        for _ in range(_LATENCIES):
            for name, send in (
                ("new", served.ask),
                ("reused", lambda *request: ask(connection, *request)),
            ):
                started = time.monotonic()
                send("POST", PREDICT, body)
                seconds[name].append(time.monotonic() - started)
    for name, values in seconds.items():
        median, slow = np.percentile(np.array(values) * 1000, [50, 99])
        print(f"{name} connection: {median:.1f} ms median, {slow:.1f} ms 99 %")


def mixture(load: Load) -> bool:
    """Sends the mixture and prints a summary; returns whether all answers were right."""
    kinds = np.random.default_rng(_FLAGS.seed).choice(_KINDS, _FLAGS.requests).tolist()
    with serving(_FLAGS.saved_model, f"--timeout={_TIMEOUT}") as served:
        before = served.memory()
        results, rate = run(load, served, kinds, _FLAGS.clients)
        if served.process.poll() is None:  # else `serving` prints the reason
            peak = served.memory(peak=True)
            status, _ = served.ask("GET", "/v1/models/alexnet")
    print(f"\n{rate:.0f} right answers/s from {_FLAGS.clients} clients, memory {before:.2f} GB "
          f"before, {peak:.2f} GB at most")  # fmt: skip
    for kind in sorted(set(kinds)):
        mine = [result for result in results if result[0] == kind]
        seconds = np.array([result[2] for result in mine])
        p50, p90, p99 = np.percentile(seconds, [50, 90, 99])
        statuses = dict(collections.Counter(result[1] for result in mine))
        print(f"{kind:9} {len(mine):5} requests, {p50:.3f} s median, {p90:.3f} 90 %, "
              f"{p99:.3f} 99 %; status {statuses}")  # fmt: skip
    wrong = [result for result in results if not result[3]]
    print(f"wrong answers: {len(wrong)}" + "".join(f"\n  {r[:3]}" for r in wrong[:5]))
    return status == 200 and not wrong and peak <= _FLAGS.max_memory_gb


def main(argv: list[str]) -> int:
    """Runs both parts; returns the exit code."""
    from alexnet_tf.serving.loaded_model import LoadedModel

    photographs = read_photographs(_FLAGS.photos)
    function = LoadedModel(_FLAGS.saved_model).functions["serving_default"]
    expected = [
        function(image_bytes=np.array([file], object))["probabilities"][0] for file in photographs
    ]
    load = Load(photographs, np.array(expected))
    if _FLAGS.rounds:
        compare_batching(load)
        latency(load)
    return 0 if mixture(load) else 1


if __name__ == "__main__":
    absl_flags.DEFINE_string("saved_model", None, "directory of the SavedModel", required=True)
    absl_flags.DEFINE_string("photos", None, "folder of photographs", required=True)
    absl_flags.DEFINE_integer(
        "requests", 1000, "requests of the mixture, and of a round", lower_bound=1
    )
    absl_flags.DEFINE_integer("clients", 200, "clients at the same time", lower_bound=1)
    absl_flags.DEFINE_integer("rounds", 5, "rounds of the comparison; 0: none", lower_bound=0)
    absl_flags.DEFINE_integer("seed", 0, "random seed of the mixture")
    absl_flags.DEFINE_float("max_memory_gb", 2.0, "memory limit of the server", lower_bound=0)
    app.run(main, flags_only=True)
