"""Contestants in processes of their own that take turns: A B C A B C ...

All of them are built and warmed up first and then wait; only one works at a time, so that what
else happens on the machine meets all of them alike. They share the same cores.
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
    """A contestant's; talks in lines of JSON."""

    def __init__(self, name: str, command: list[str]):
        self.name = name
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            [*command, f"--contestant={name}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints, text=True,
            # All are there at the same time; TensorFlow would take the whole of a GPU's memory.
            env={"TF_FORCE_GPU_ALLOW_GROWTH": "true", **os.environ},
        )  # fmt: skip

    def hear(self) -> dict:
        """The next line.

        Raises:
            UserError: the process has ended instead.
        """
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._complaints.seek(0)
        last = self._complaints.read().decode(errors="replace").strip().splitlines()[-5:]
        raise UserError(
            f"Expected {self.name} to work. Received: exit code {self._process.returncode}\n"
            + "\n".join(last)
        )

    def take_turn(self) -> dict:
        """Lets it work once."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        """Closes its input, which it takes as the end."""
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()


def take_rounds(names: list[str], rounds: int, command: list[str]) -> dict[str, dict]:
    """Lets contestants take turns.

    Args:
        names: of contestants.
        rounds: turns of each.
        command: starts one of them, with `--contestant=NAME` added.

    Returns:
        By name: `missing`, why it could not take part; or `rates` (units of work a second),
        `warm_up` (seconds from start to readiness) and `memory` (GB, its most).

    Raises:
        UserError: a contestant failed.
    """
    results: dict[str, dict] = {}
    with contextlib.ExitStack() as stack, Progress("measuring", len(names) * rounds, "turns") as p:
        ready = {}
        for name in names:  # one after the other: building is work as well
            started = time.perf_counter()
            process = _Process(name, command)
            stack.callback(process.end)
            heard = process.hear()
            if "missing" in heard:
                results[name] = heard
                p.advance(rounds, f"{name} is not installed")
                continue
            ready[name] = process
            results[name] = {"rates": [], "warm_up": time.perf_counter() - started, **heard}
        for _ in range(rounds):
            for name, process in ready.items():
                heard = process.take_turn()
                results[name]["rates"].append(heard["rate"])
                results[name]["memory"] = heard["memory"]
                p.advance(1, f"{name} {heard['rate']:,.1f}/s")
    return results


def serve_turns(contestant: Contestant, settings: Settings) -> None:
    """What a contestant's process does: builds, says that it is ready, and works when asked.

    Whatever libraries print goes to standard error.
    """
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, settings.cores)
    with _only_speaker() as say:
        try:
            turn = contestant.make(settings)
        except ImportError as error:
            say({"missing": str(error)})
            return
        turn()  # warm-up: tracing, compilation, caches
        say({"versions": _versions()})
        for _ in sys.stdin:
            if contestant.works_ahead:
                turn()
            started = time.perf_counter()
            work = turn()
            rate = work / (time.perf_counter() - started)
            say({"rate": rate, "memory": _memory()})
    os._exit(0)  # some libraries' threads do not end by themselves


@contextlib.contextmanager
def _only_speaker() -> Iterator:
    """Standard output for one function alone."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(words: dict) -> None:
        """One line."""
        out.write(json.dumps(words) + "\n")
        out.flush()

    yield say


def _memory() -> float:
    """GB, on Linux: this process's most, and that of those it has started and that still work."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tasks = pathlib.Path("/proc/self/task").glob("*/children")
    for child in " ".join(path.read_text() for path in tasks).split():
        with contextlib.suppress(OSError):  # it has ended by now
            status = pathlib.Path(f"/proc/{child}/status").read_text()
            most += sum(map(int, re.findall(r"VmHWM:\s+(\d+) kB", status)))
    return most / 1e6


def _versions() -> dict[str, str]:
    """Of the libraries that this process has loaded."""
    names = ("tensorflow", "keras", "torch", "onnxruntime", "cv2", "nvidia.dali", "PIL", "numpy")
    return {name: str(sys.modules[name].__version__) for name in names if name in sys.modules}
