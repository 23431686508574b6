"""Runs contestants in processes of their own, in turns: A B C A B C ...

All are built and warmed up first. Then only one works at a time, on the same cores, so that other
load on the machine affects all of them alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress
from tools.benchmark.contestants import Contestant, Settings


class _Process:
    """The process of a contestant; it sends lines of JSON."""

    def __init__(self, name: str, command: list[str]):
        self.name = name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._process = subprocess.Popen(
            [*command, f"--contestant={name}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True,
            # All run at the same time, and TensorFlow would reserve all of a GPU's memory.
            env={"TF_FORCE_GPU_ALLOW_GROWTH": "true", **os.environ},
        )  # fmt: skip

    def receive(self) -> dict:
        """The next message.

        Raises:
            UserError: the process has ended instead.
        """
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().splitlines()[-5:]
        raise UserError(
            f"The contestant {self.name} ended with exit code {self._process.returncode}:\n"
            + "\n".join(last)
        )

    def take_turn(self) -> dict:
        """Lets the contestant work once; returns its rate and memory."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.receive()

    def end(self) -> None:
        """Closes its input, which ends the process."""
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()


def take_rounds(names: list[str], rounds: int, command: list[str]) -> dict[str, dict]:
    """Starts the contestants and runs them in turns.

    Args:
        names: of the contestants.
        rounds: turns of each contestant.
        command: starts a contestant, with `--contestant=NAME` added.

    Returns:
        By name: `missing`, the reason if it could not be built; or `rates` (units of work per
        second), `warm_up` (seconds from start until ready) and `memory` (peak, GB).

    Raises:
        UserError: a contestant failed.
    """
    results: dict[str, dict] = {}
    with contextlib.ExitStack() as stack, Progress("measuring", len(names) * rounds, "turns") as p:
        ready = {}
        for name in names:  # one after the other, because building takes all cores too
            started = time.perf_counter()
            process = _Process(name, command)
            stack.callback(process.end)
            message = process.receive()
            if "missing" in message:
                results[name] = message
                p.advance(rounds, f"{name} is not installed")
                continue
            ready[name] = process
            results[name] = {"rates": [], "warm_up": time.perf_counter() - started, **message}
        for _ in range(rounds):
            for name, process in ready.items():
                message = process.take_turn()
                results[name]["rates"].append(message["rate"])
                results[name]["memory"] = message["memory"]
                p.advance(1, f"{name} {message['rate']:,.1f}/s")
    return results


def serve_turns(contestant: Contestant, settings: Settings) -> None:
    """Runs in a contestant's process: builds it, reports that it is ready, works when asked.

    The output of libraries goes to standard error.
    """
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, settings.cores)
    with _standard_output() as send:
        try:
            turn = contestant.make(settings)
        except ImportError as error:
            send({"missing": str(error)})
            return
        turn()  # warm-up: tracing, compilation, caches
        send({"versions": _versions()})
        for _ in sys.stdin:
            if contestant.works_ahead:
                turn()
            started = time.perf_counter()
            work = turn()
            rate = work / (time.perf_counter() - started)
            send({"rate": rate, "memory": _memory()})
    os._exit(0)  # threads of some libraries do not end by themselves


@contextlib.contextmanager
def _standard_output() -> Iterator:
    """Yields the only function that can write to standard output."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def send(message: dict) -> None:
        """Writes one line of JSON."""
        out.write(json.dumps(message) + "\n")
        out.flush()

    yield send


def _memory() -> float:
    """Peak memory in GB, on Linux: of this process and of its running child processes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tasks = pathlib.Path("/proc/self/task").glob("*/children")
    for child in " ".join(path.read_text() for path in tasks).split():
        with contextlib.suppress(OSError):  # it may have ended by now
            status = pathlib.Path(f"/proc/{child}/status").read_text()
            peak += sum(map(int, re.findall(r"VmHWM:\s+(\d+) kB", status)))
    return peak / 1e6


def _versions() -> dict[str, str]:
    """Versions of the libraries that this process has imported."""
    names = ("tensorflow", "keras", "torch", "onnxruntime", "cv2", "nvidia.dali", "PIL", "numpy")
    return {name: str(sys.modules[name].__version__) for name in names if name in sys.modules}
