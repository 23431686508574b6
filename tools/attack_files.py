"""Gives the commands mutated files of strangers, and watches what they do.

python -m tools.attack_files
python -m tools.attack_files --mutations=50 --kinds=statistics,saved_model.pb

Each kind of file is mutated by bytes and by meaning, and replaced by pipes, devices and links. Each
mutation is read as every command reads it, in another process, which is replaced if it dies or
hangs. A fault is: code that was run, a process or a connection, anything written outside of the
temporary folder, a trace in place of one line, more than 20 s of CPU time, more than 2 GB, the
death of the process, or a forbidden operation that was accepted. The exit code is 1 after a fault.
Needs Linux. docs/security.md quotes the table.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import multiprocessing
import os
import pathlib
import re
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import numpy as np
from absl import flags as absl_flags

from alexnet_tf import app
from alexnet_tf.system.errors import UserError, damage_of_data, first_line
from tools.attack.watch import Watch

if TYPE_CHECKING:
    from tools.attack.targets import Kind

_FLAGS = absl_flags.FLAGS
_SECONDS = 20.0  # CPU time for one command
_MEGABYTES = 2000
_PATIENCE = 120.0  # seconds until a silent process counts as hung
_LONGEST = 2000  # characters of a message
_COLUMNS = ("mutations", "refused", "accepted", "faults", "slowest, s", "largest, MB")


@dataclasses.dataclass
class Outcome:
    """What a command did with a mutation.

    Attributes:
        accepted: whether it went on.
        faults: what it must not have done.
        seconds, megabytes: that it took; memory at its highest, less what the process had before.
    """

    accepted: bool
    faults: list[str]
    seconds: float
    megabytes: float


class Attack:
    """Attacks the commands of this process with mutations of one kind.

    Args:
        kind: of file.
        root: a temporary folder with `targets.make_originals`.
        watch: over that folder.
        copy: a folder to make, for what is changed.
    """

    def __init__(self, kind: Kind, root: pathlib.Path, watch: Watch, copy: pathlib.Path):
        from tools.attack import targets

        self._targets, self._watch, self._root = targets, watch, root
        self._kind, self._stranger = kind, root / "stranger"
        self._original = (self._stranger / kind.path).read_bytes()
        self._restorer = targets.Restorer(self._stranger, copy)

    def try_one(self, number: int, seed: int) -> dict[str, Outcome]:
        """Reads a mutation by every command: name of the command to outcome."""
        rng = np.random.default_rng([seed, number])
        mutation = self._kind.mutation(self._original, rng, self._root / "outside")
        outcomes = {}
        for command, read in self._kind.commands.items():
            self._targets.place(self._kind, self._stranger, mutation)
            outcomes[command] = self._read(read)
            if outcomes[command].accepted and self._is_forbidden(mutation):
                outcomes[command].faults.append("a forbidden operation was accepted")
            self._restorer.restore()
        return outcomes

    def _read(self, read) -> Outcome:  # noqa: ANN001
        before = _memory("VmRSS")
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        start, problem, accepted = time.process_time(), None, False
        with self._watch.on(), self._targets.silent():
            try:
                read(self._stranger)
                accepted = True
            except Exception as error:
                problem = _trace_of(error)
        seconds, megabytes = time.process_time() - start, _memory("VmHWM") - before
        faults = [*self._watch.found, *([problem] if problem else []), *self._outside()]
        if seconds > _SECONDS:
            faults.append(f"took {seconds:.0f} s")
        if megabytes > _MEGABYTES:
            faults.append(f"took {megabytes:,.0f} MB")
        return Outcome(accepted, faults, seconds, megabytes)

    def _outside(self) -> list[str]:
        outside = self._root / "outside"
        names = sorted(os.listdir(outside))
        if names == ["victim"] and (outside / "victim").read_text() == "untouched":
            return []
        for name in names:
            (outside / name).unlink()
        (outside / "victim").write_text("untouched")
        return [f"left {', '.join(names)} outside, or changed it"]

    def _is_forbidden(self, mutation) -> bool:  # noqa: ANN001
        if not self._kind.path.endswith("saved_model.pb") or not isinstance(mutation, bytes):
            return False
        from tensorflow.core.protobuf import saved_model_pb2

        from tools.attack.graphs import FORBIDDEN

        (graph,) = saved_model_pb2.SavedModel.FromString(mutation).meta_graphs
        bodies = [function.node_def for function in graph.graph_def.library.function]
        nodes = itertools.chain(graph.graph_def.node, *bodies)
        return any(node.op in FORBIDDEN - _OF_THE_SAVER for node in nodes)


_OF_THE_SAVER = {"SaveV2", "RestoreV2"}  # every SavedModel has them


def _trace_of(error: Exception) -> str | None:
    """None where `app.run` prints one line; otherwise the error and where it was raised."""
    one_line = isinstance(error, UserError) or damage_of_data(error)
    if one_line or (isinstance(error, OSError) and error.filename is not None):
        length = len(str(error))
        return f"a message of {length:,} characters" if length > _LONGEST else None
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    place = f"{pathlib.Path(code.co_filename).name}:{trace.tb_lineno}"
    return f"{type(error).__name__} in {place}: {first_line(error)}"


def _memory(name: str) -> float:
    """Memory of this process in MB: VmRSS now, VmHWM at most."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1e3


def _work(kind: str, first: int, count: int, seed: int, root: str, pipe) -> None:  # noqa: ANN001
    """Tries mutations `first` to `count`; announces each, so that a death can be traced to one."""
    app.import_tensorflow_quietly()
    from tools.attack import targets

    folder = pathlib.Path(root)
    targets.make_originals(folder, targets.KINDS[kind])
    attack = Attack(targets.KINDS[kind], folder, Watch(folder), folder / "copy")
    os.chdir(os.path.join(root, "stranger"))
    sys.path.insert(0, "")  # as a stranger would have it
    for number in range(first, count):
        pipe.send(("trying", number))
        pipe.send(("done", (number, attack.try_one(number, seed))))
    pipe.send(("finished", None))


class Row:
    """One row of the table: what a command did with all mutations of a kind."""

    def __init__(self):
        self.tried = self.accepted = self.faults = 0
        self.seconds = self.megabytes = 0.0

    def add(self, outcome: Outcome) -> None:
        """Counts an outcome."""
        self.tried += 1
        self.accepted += outcome.accepted and not outcome.faults
        self.faults += bool(outcome.faults)
        self.seconds = max(self.seconds, outcome.seconds)
        self.megabytes = max(self.megabytes, outcome.megabytes)

    def __str__(self) -> str:
        refused = self.tried - self.accepted - self.faults
        return (
            f"{self.tried:,} | {refused:,} | {self.accepted:,} | {self.faults:,} | "
            f"{self.seconds:.1f} | {self.megabytes:,.0f}"
        )


def attack_kind(kind: str, count: int, seed: int, first: int = 0) -> tuple[dict[str, Row], dict]:
    """Tries all mutations of a kind, and prints each fault when it is first seen.

    Args:
        kind: of `targets.KINDS`.
        count: of mutations.
        seed: of the mutations.
        first: the number of the first mutation.

    Returns:
        Command to row, and fault to the numbers of the mutations that have it.
    """
    rows, faults = collections.defaultdict(Row), collections.defaultdict(list)
    context = multiprocessing.get_context("spawn")
    while first < count:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
            receiver, sender = context.Pipe(duplex=False)
            arguments = (kind, first, count, seed, root, sender)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            sender.close()
            last = None
            try:
                while True:
                    if not receiver.poll(_PATIENCE):
                        raise EOFError
                    event, value = receiver.recv()
                    if event == "finished":
                        first = count
                        break
                    if event == "trying":
                        last = value
                        continue
                    for command, outcome in value[1].items():
                        rows[command].add(outcome)
                        for fault in outcome.faults:
                            _note(faults, f"{kind}, {command}: {fault}", value[0])
            except EOFError:
                process.kill()
                process.join()
                if last is None:  # the next process would end in the same way
                    raise UserError(
                        f"The process ended at its start ({process.exitcode})"
                    ) from None
                died = f"{kind}: the process died or hung ({process.exitcode})"
                _note(faults, died, last)
                first = last + 1
            process.join()
    return rows, faults


def _note(faults: dict[str, list[int]], fault: str, number: int) -> None:
    """Prints a fault when it is seen for the first time."""
    if fault not in faults:
        print(f"{fault} (mutation {number})", file=sys.stderr, flush=True)
    faults[fault].append(number)


def main(argv: list[str]) -> int:
    """Attacks with all kinds and prints the table; returns the exit code."""
    del argv
    failed = False
    print(
        "| file | commands | mutations | refused | accepted | faults | slowest, s | largest, MB |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind in _FLAGS.kinds or list(_kinds()):
        rows, faults = attack_kind(kind, _FLAGS.mutations, _FLAGS.seed, _FLAGS.first)
        for command, row in rows.items():
            print(f"| {kind} | {command} | {row} |", flush=True)
        for fault, numbers in faults.items():
            failed = True
            print(f"{fault}: {len(numbers):,} mutations", file=sys.stderr, flush=True)
    return 1 if failed else 0


def _kinds() -> dict[str, Kind]:
    from tools.attack.targets import KINDS

    return KINDS


if __name__ == "__main__":
    absl_flags.DEFINE_integer("mutations", 2000, "of each kind of file", lower_bound=1)
    absl_flags.DEFINE_integer("first", 0, "number of the first mutation, to repeat it")
    absl_flags.DEFINE_integer("seed", 0, "random seed of the mutations")
    absl_flags.DEFINE_list("kinds", [], "kinds of files; default: all")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app.run(main)
