"""Starts several workers of one run on this machine, and restarts them if one is lost.

python -m alexnet_tf.launch --processes=2 -- --recipe=shapes

Behind `--` come flags of alexnet_tf.train, or of alexnet_tf.evaluate with --program=evaluate, but
not --workers and --worker_index. The launcher is for trying out a run of several machines, and the
loss of one, on a single machine. On several machines start the program on each, with the same
--workers and its own --worker_index, or with TF_CONFIG.
"""

from __future__ import annotations

import math
import signal
import socket
import subprocess
import sys
import time
import types

from absl import flags as absl_flags

from alexnet_tf import app
from alexnet_tf.system.errors import UserError, WorkerLostError
from alexnet_tf.system.signals import let_go_of_terminal, signals

_FLAGS = absl_flags.FLAGS
_GRACE = 30.0  # seconds that workers have to notice that another one has stopped
_PAUSE = 0.1  # seconds between checks
_OWN_FLAGS = ("workers", "worker_index")


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Launcher:
    """The workers of one run on this machine.

    Args:
        processes: how many.
        program: "train" or "evaluate".
        arguments: its flags, the same for all workers.

    Attributes:
        signal: that the launcher has received, or None.
    """

    def __init__(self, processes: int, program: str, arguments: list[str]):
        self.processes, self.program, self.arguments = processes, program, arguments
        self.workers: list[subprocess.Popen] = []
        self.signal: int | None = None

    def start(self) -> None:
        """Starts all workers; they share standard output, on which only worker 0 prints."""
        addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(self.processes))
        command = [sys.executable, "-m", f"alexnet_tf.{self.program}", *self.arguments]
        self.workers = [
            subprocess.Popen(
                [*command, f"--workers={addresses}", f"--worker_index={index}"],
                start_new_session=True,  # Ctrl-C in a terminal reaches only the launcher
            )
            for index in range(self.processes)
        ]
        if self.signal:  # it came while they were being started
            self.pass_on(self.signal, None)

    def pass_on(self, number: int, frame: types.FrameType | None) -> None:
        """Sends a signal to worker 0, after which all workers stop after the same step."""
        del frame
        if number == getattr(signal, "SIGHUP", None):
            let_go_of_terminal()
        self.signal = number
        if self.workers:
            self.workers[0].send_signal(number)

    def wait(self) -> list[int]:
        """Returns the exit codes when all workers have ended.

        After one has failed, the others have some time to notice it before they are killed. If a
        signal ends worker 0 before it can tell the others, they are sent it too.
        """
        deadline = math.inf
        while any(worker.poll() is None for worker in self.workers):
            if self.signal and self.workers[0].poll():
                for worker in self.workers[1:]:
                    worker.send_signal(self.signal)
            if any(worker.poll() for worker in self.workers):
                deadline = min(deadline, time.monotonic() + _GRACE)
            if time.monotonic() > deadline:
                for worker in self.workers:
                    worker.kill()
            time.sleep(_PAUSE)
        return [worker.returncode for worker in self.workers]


def check_flags(arguments: list[str]) -> None:
    """Refuses flags that the launcher sets itself.

    Raises:
        UserError: there is one.
    """
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("-") and name.lstrip("-") in _OWN_FLAGS:
            raise UserError(f"Expected flags without {name}, which the launcher sets itself.")


def supervise(launcher: Launcher, restarts: int) -> int:
    """Starts the workers, and restarts all of them when one is lost; returns the exit code.

    Args:
        launcher: of the workers.
        restarts: how often at most.

    Raises:
        UserError: a worker was lost after the last restart.
    """
    for number in signals():
        signal.signal(number, launcher.pass_on)
    for attempt in range(restarts + 1):
        launcher.start()
        codes = launcher.wait()
        for code in codes:
            if code > 0 and code != WorkerLostError.exit_code:
                return code  # the worker has printed why
        if not any(codes):
            return 0
        if launcher.signal:  # the run was told to stop, even if a worker died of it
            return 128 + launcher.signal
        lost = [(index, code) for index, code in enumerate(codes) if code < 0]
        names = ", ".join(f"{index} ({signal.Signals(-code).name})" for index, code in lost) or "?"
        if attempt < restarts:
            print(f"Lost worker {names}: restarting all workers", flush=True)
    raise UserError(
        f"Worker {names} was lost after {restarts} restarts (--restarts). Start the command again: "
        "the run resumes from its newest checkpoint."
    )


def main(argv: list[str]) -> int:
    """Launches the program of the flags with the arguments; returns the exit code."""
    check_flags(argv)
    return supervise(Launcher(_FLAGS.processes, _FLAGS.program, argv), _FLAGS.restarts)


if __name__ == "__main__":
    absl_flags.DEFINE_integer("processes", 2, "workers to start", lower_bound=2)
    absl_flags.DEFINE_enum(
        "program", "train", ["train", "evaluate"], "which program of alexnet_tf to start"
    )
    absl_flags.DEFINE_integer("restarts", 3, "restarts after lost workers, at most", lower_bound=0)
    app.run(main)
