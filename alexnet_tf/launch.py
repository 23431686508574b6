"""Starts several workers of one run on this machine, and again if one of them is lost.

python -m alexnet_tf.launch --processes=2 -- --flagfile=configs/shapes.flags

What follows `--` are flags of alexnet_tf.train, or of alexnet_tf.evaluate with --program=evaluate,
but for --workers and --worker_index. It is for trying several machines on one, and what happens
when one fails; on several machines start the program on each, with the same --workers and its own
--worker_index, or with TF_CONFIG.
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
_GRACE = 30.0  # seconds that workers have to notice that another has gone
_PAUSE = 0.1  # seconds between looks
_CHOSEN = ("workers", "worker_index")  # flags


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens now."""
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
        arguments: its flags, for all of them.

    Attributes:
        signal: that the launcher was sent, or None.
    """

    def __init__(self, processes: int, program: str, arguments: list[str]):
        self.processes, self.program, self.arguments = processes, program, arguments
        self.workers: list[subprocess.Popen] = []
        self.signal: int | None = None

    def start(self) -> None:
        """Starts all; they share standard output, on which only worker 0 prints."""
        addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(self.processes))
        command = [sys.executable, "-m", f"alexnet_tf.{self.program}", *self.arguments]
        self.workers = [
            subprocess.Popen(
                [*command, f"--workers={addresses}", f"--worker_index={index}"],
                start_new_session=True,  # Ctrl-C in a terminal comes here only, to be passed on
            )
            for index in range(self.processes)
        ]
        if self.signal:  # it came while they were being started
            self.pass_on(self.signal, None)

    def pass_on(self, number: int, frame: types.FrameType | None) -> None:
        """Sends a signal to worker 0, on which all stop after the same step."""
        del frame
        if number == getattr(signal, "SIGHUP", None):
            let_go_of_terminal()
        self.signal = number
        if self.workers:
            self.workers[0].send_signal(number)

    def wait(self) -> list[int]:
        """Returns the exit codes when all have ended.

        After one has failed, the others are given some time to notice, and are then killed. A
        signal may end worker 0 before it can tell the others; then they are sent it too.
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


def main(argv: list[str]) -> int:
    """Starts, watches, and starts again; returns the exit code."""
    for argument in argv:
        if argument.startswith("-") and argument.lstrip("-").partition("=")[0] in _CHOSEN:
            raise UserError(
                f"Expected flags without {argument.partition('=')[0]}, which the launcher chooses"
            )
    launcher = Launcher(_FLAGS.processes, _FLAGS.program, argv)
    for number in signals():
        signal.signal(number, launcher.pass_on)
    for restarts in range(_FLAGS.restarts + 1):
        launcher.start()
        codes = launcher.wait()
        for code in codes:
            if code > 0 and code != WorkerLostError.exit_code:
                return code  # it has said why
        if not any(codes):
            return 0
        if launcher.signal:  # whoever was lost, the run was to end
            return 128 + launcher.signal
        names = ", ".join(
            f"{index} ({signal.Signals(-code).name})"
            for index, code in enumerate(codes)
            if code < 0
        )
        if restarts < _FLAGS.restarts:
            print(f"Lost worker {names or '?'}: starting all again", flush=True)
    raise UserError(
        f"Expected all workers to end by themselves. Received: worker {names or '?'} lost, after "
        f"{_FLAGS.restarts} restarts (--restarts)"
    )


if __name__ == "__main__":
    absl_flags.DEFINE_integer("processes", 2, "workers to start", lower_bound=2)
    absl_flags.DEFINE_enum("program", "train", ["train", "evaluate"], "of alexnet_tf, to start")
    absl_flags.DEFINE_integer("restarts", 3, "times to start again", lower_bound=0)
    app.run(main)
