"""Crosses odd files, paths, environments and layouts of datasets with every command.

python -m tools.odd_inputs --count=300 --seed=1

Each combination is a command on a small dataset with an odd file in each class folder, at an odd
path, in an odd environment. They are drawn so that as many pairs as possible occur. A command may
do its work, or end with one line that says why not. Faults are traces, lines of libraries on
standard error, deaths by a signal, time-outs, and a file left out without a word. If there was a
fault, the exit code is 1.

Most combinations run in processes forked from this one, which has imported TensorFlow and not used
it; variables that count only at a start get a process of their own. Needs Linux.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import dataclasses
import importlib
import itertools
import os
import pathlib
import re
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
from absl import flags as absl_flags

from alexnet_tf import app
from alexnet_tf.data.shapes import jpeg
from alexnet_tf.system.text import printable
from tools.odd_things import ENVIRONMENTS, PATHS, files, layouts, obey_permissions

_FLAGS = absl_flags.FLAGS
_ROOT = pathlib.Path(__file__).parent.parent
_PATIENCE = 150.0  # seconds for a command; a training of two steps takes 10 on one core
_TRIES = 12  # random combinations, of which the one with the most new pairs is taken
_PLAIN = 0.7  # share of combinations in the plain environment
_FOREIGN = re.compile(
    r"^[WIEF]\d{4} |^\d{4}-\d\d-\d\d .*: [IWEF] |^(WARNING|INFO|DEBUG)\b|\w+Warning:|Exception "
    r"ignored|^  File \"|Corrupt JPEG|libpng|NOT_FOUND|leaked|terminate called|Fatal Python|oneDNN"
)
_SAID = re.compile(
    r"left out|skipped|unreadable|cannot be|no image|not an image|damaged|could not|larger"
)


@dataclasses.dataclass(frozen=True)
class Combination:
    """One row of the cross product; every field is a name."""

    command: str
    file: str
    path: str
    environment: str
    layout: str

    def pairs(self) -> Iterator[tuple]:
        """All pairs of two of its values."""
        return itertools.combinations(dataclasses.astuple(self), 2)

    def __str__(self) -> str:
        return ", ".join(f"{key} {value!r}" for key, value in dataclasses.asdict(self).items())


@dataclasses.dataclass(frozen=True)
class World:
    """The paths of a combination, as the command line names them."""

    data: str
    run: str
    saved_model: str
    output: str
    photos: str
    server: str


def _train(world: World) -> list[str]:
    return [
        *("train", "--variant=tiny", "--dataset=folder", f"--data_dir={world.data}", "--steps=2"),
        *("--batch_size=2", f"--model_dir={world.output}", "--max_unreadable=1", "--noexport"),
    ]


COMMANDS: dict[str, tuple[float, Callable[[World], list[str]]]] = {  # with a weight
    "train": (1, _train),
    "train, shapes": (0.3, lambda w: [
        "train", "--variant=tiny", "--steps=1", "--batch_size=64", f"--model_dir={w.output}",
        "--noexport",
    ]),
    "train, recipe report": (0.3, lambda w: ["train", "--recipe=caffe", "--recipe_report"]),
    "evaluate": (2, lambda w: [
        "evaluate", f"--model_dir={w.run}", "--dataset=folder", f"--data_dir={w.data}",
        "--max_unreadable=1", f"--csv={w.output}.csv",
    ]),
    "evaluate as trained": (0.5, lambda w: [
        "evaluate", f"--model_dir={w.run}", f"--json={w.output}.json", "--views=10",
    ]),
    "predict": (2, lambda w: ["predict", f"--model_dir={w.run}", w.photos]),
    "predict, SavedModel": (1, lambda w: [
        "predict", f"--saved_model={w.saved_model}", f"--json={w.output}.json", "--", w.photos,
    ]),
    "export": (1, lambda w: ["export", f"--model_dir={w.run}", f"--output={w.output}"]),
    "prepare": (3, lambda w: [
        "prepare", "--source=folder", f"--data_dir={w.data}", f"--output={w.output}",
        "--max_skipped=1", "--size=32", "--workers=1",
    ]),
    "doctor": (2, lambda w: [
        "doctor", "--dataset=folder", f"--data_dir={w.data}", f"--output={w.output}",
        "--variant=tiny",
    ]),
    "figures": (1, lambda w: [
        "figures", f"--model_dir={w.run}", f"--output={w.output}", "--dataset=folder",
        f"--data_dir={w.data}", "crops", "confusions",
    ]),
    "figures, photo": (0.5, lambda w: [
        "figures", f"--model_dir={w.run}", f"--output={w.output}", f"--photo={w.photos}",
        "first-layer-kernels", "ten-views",
    ]),
    "serve": (1, lambda w: ["serve", f"--saved_model={w.saved_model}", "--port=0"]),
    "client": (1, lambda w: ["client", f"--server={w.server}", "--timeout=5", w.photos]),
    "client, no server": (0.3, lambda w: [
        "client", "--server=http://127.0.0.1:9", "--timeout=0.5", w.photos,
    ]),
    "convert": (1, lambda w: ["convert", "--", w.run, f"{w.output}.safetensors"]),
    "convert, identify": (1, lambda w: ["convert", "--identify", "--", w.photos, w.run]),
    "launch": (0.1, lambda w: [
        "launch", "--", "--variant=tiny", "--dataset=folder", f"--data_dir={w.data}", "--steps=2",
        "--batch_size=2", f"--model_dir={w.output}", "--noexport", "--strategy=nowhere",
    ]),
    **{
        f"{module} --help": (0.1, lambda w, module=module: [module, "--help"])
        for module in ("train", "prepare", "serve", "figures", "launch")
    },
}  # fmt: skip


def draw(count: int, rng: np.random.Generator) -> list[Combination]:
    """Combinations, so that pairs of values occur early."""
    weights = np.array([weight for weight, _ in COMMANDS.values()])
    choices = [list(COMMANDS), list(files()), list(PATHS), list(ENVIRONMENTS), list(layouts())]
    seen: set[tuple] = set()
    drawn = []
    for _ in range(count):
        candidates = []
        for _ in range(_TRIES):
            values = [names[rng.integers(len(names))] for names in choices]
            values[0] = choices[0][rng.choice(len(weights), p=weights / weights.sum())]
            # One odd thing would hide another: half of the paths and layouts are plain.
            for at in (2, 4):
                values[at] = choices[at][0] if rng.random() < 0.5 else values[at]
            values[3] = "plain" if rng.random() < _PLAIN else values[3]
            candidates.append(Combination(*values))
        best = max(candidates, key=lambda each: sum(pair not in seen for pair in each.pairs()))
        seen.update(best.pairs())
        drawn.append(best)
    return drawn


def lay_out(each: Combination, folder: pathlib.Path, model: pathlib.Path, server: str) -> World:
    """Writes the dataset, the run and the photographs of a combination into a folder."""
    folder.mkdir()
    odd = PATHS[each.path]
    base = folder / odd
    match each.path:
        case "link":
            (folder / "target").mkdir()
            base.symlink_to("target")
        case "file":
            base.write_bytes(b"a file")
        case "pipe":
            os.mkfifo(base)
        case "nowhere" | "URL":
            pass
        case _:
            os.makedirs(os.path.normpath(base), exist_ok=True)
    if base.is_dir():
        layouts()[each.layout](base / "data")
        shutil.copytree(model, base / "run", ignore=shutil.ignore_patterns("tensorboard"))
        make = files()[each.file]
        classes = [path for path in (base / "data").rglob("*") if path.is_dir()]
        for class_folder in [path for path in classes if any(path.glob("*.jpg"))]:
            make(class_folder)
        (base / "photos").mkdir()
        (base / "photos" / "good.jpg").write_bytes(jpeg(0, 1))
        make(base / "photos")
        modes = {"closed": 0, "read-only": 0o500}
        if each.path in modes:
            base.chmod(modes[each.path])
    names = ("data", "run", "run/saved_model", "out", "photos")
    return World(*(f"{odd}/{name}" for name in names), server)


class Command:
    """A command in a process of its own, with its output in files.

    Args:
        arguments: of `python -m alexnet_tf.`.
        folder: its working directory.
        environment: of the command.
        output: a folder for standard output and standard error.
    """

    def __init__(self, arguments: list[str], folder: pathlib.Path, environment: str,
                 output: pathlib.Path):  # fmt: skip
        self.arguments, self.folder = arguments, folder
        self.environment = ENVIRONMENTS[environment]
        self.stdout, self.stderr = output / "stdout", output / "stderr"
        sys.stdout.flush()
        sys.stderr.flush()
        self.process = os.fork()
        if not self.process:
            self._become()

    def _become(self) -> None:
        """The new process."""
        code = 99
        try:
            os.setsid()
            os.chdir(self.folder)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, path in ((1, self.stdout), (2, self.stderr)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            for name, value in self.environment.variables.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value.replace("FOLDER", str(self.folder))
            obey_permissions()
            self.environment.prepare()
            module, *rest = self.arguments
            if self.environment.fresh:
                os.environ["PYTHONPATH"] = str(_ROOT)
                os.execv(sys.executable, [sys.executable, "-m", f"alexnet_tf.{module}", *rest])
            code = self._run_here(module, rest)
        finally:
            os._exit(code)

    def _run_here(self, module: str, rest: list[str]) -> int:
        """Runs the command in this process; returns its exit code as Python would."""
        tempfile.tempdir = None
        _forget_flags()
        for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
            try:
                os.fstat(number)
                stream = open(number, "r" if number == 0 else "w", closefd=False)  # noqa: SIM115
            except OSError:
                stream = None
            setattr(sys, name, stream)
        sys.argv = [module, *rest]
        try:
            runpy.run_module(f"alexnet_tf.{module}", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code
        except BaseException:
            import traceback

            with open(self.stderr, "a") as file:
                traceback.print_exc(file=file)
            code = 1
        else:
            code = 0
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        return code if isinstance(code, int) else 0 if code is None else 1

    def poll(self) -> int | None:
        """The exit code, negative after a signal; None while it runs."""
        done, status = os.waitpid(self.process, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if done else None

    def wait(self) -> int | None:
        """The exit code; None if it was too slow. A server is stopped once it serves."""
        end = time.monotonic() + _PATIENCE
        stopped = False
        while time.monotonic() < end:
            code = self.poll()
            if code is not None:
                return code
            if self.arguments[0] == "serve" and not stopped and self.url():
                os.kill(self.process, signal.SIGTERM)
                stopped = True
            time.sleep(0.02)
        self.kill()
        return None

    def kill(self) -> None:
        """Ends it, and the processes that it has started."""
        os.killpg(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)

    def url(self) -> str | None:
        """Where it serves."""
        found = re.search(r"^page +(http://\S+?)/$", _read(self.stdout), re.MULTILINE)
        return found and found[1]


def _forget_flags() -> None:
    """Makes absl forget this tool's flags, which a command may define, too."""
    _FLAGS.unparse_flags()
    for name in ("seed", "count", "only", "verbose"):
        delattr(_FLAGS, name)


def _read(path: pathlib.Path) -> str:
    return path.read_text("utf-8", errors="surrogateescape") if path.exists() else ""


def judge(each: Combination, code: int | None, stdout: str, stderr: str) -> str:
    """The column of the table: "done", "one line", or the fault."""
    environment = ENVIRONMENTS[each.environment]
    lines = stderr.splitlines()
    if code is None:
        return "fault: time-out"
    if "Traceback (most recent call last)" in stdout + stderr:
        return "fault: trace"
    if each.command == "serve" and code in (-signal.SIGTERM, 143):
        code = 0
    if code < 0:
        return f"fault: signal {-code}"
    foreign = [line for line in lines if _FOREIGN.search(line)]
    if foreign and not environment.loud:
        return "fault: foreign line"
    if re.search("[\x00-\x08\x0b-\x1f\x7f]", (stdout + stderr).replace("\r", "")):
        return "fault: control characters"
    errors = [line for line in lines if line.startswith("error: ")]
    if code == 0 or (code == 2 and each.command == "doctor"):
        return "fault: silent" if _silent(each, stdout + stderr) else "done"
    if environment.unseen or (errors and all(len(line) < 1000 for line in errors)):
        return "one line"
    if code == 1 and _SAID.search(stdout + stderr):
        return "one line"
    return f"fault: exit code {code} without a reason"


def _silent(each: Combination, text: str) -> bool:
    """Whether a file of the dataset was neither used nor mentioned."""
    if ENVIRONMENTS[each.environment].unseen:
        return False
    if each.file == "none" or each.layout != "train, val" or _SAID.search(text):
        return False
    inside = each.file in ("folder with suffix", "circle of folders")  # empty: nothing to count
    if inside or each.command not in ("train", "evaluate", "prepare", "doctor", "predict"):
        return False
    counts = {int(number) for number in re.findall(r"\b(\d+)(?= (?:training )?images?\b)", text)}
    if each.command == "predict":
        return len(re.findall(r"^\S.*$", text, re.MULTILINE)) < 3
    return not counts & {9, 18}  # two images and the odd one in each of three classes


def main(argv: list[str]) -> int:
    """Runs the combinations until Ctrl-C, and prints the table; returns the exit code."""
    rng = np.random.default_rng(_FLAGS.seed)
    count, only, verbose = _FLAGS.count, _FLAGS.only, _FLAGS.verbose
    _import_everything()
    table: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    faults = []
    with tempfile.TemporaryDirectory(prefix="odd") as temporary:
        root = pathlib.Path(temporary)
        model, server = _prepare(root)
        started = time.monotonic()
        atexit.register(server.kill)
        with contextlib.suppress(KeyboardInterrupt):
            for number, each in enumerate(draw(count, rng)):
                if only and only not in str(each):
                    continue
                folder = root / str(number)
                world = lay_out(each, folder, model, server.url() or "")
                arguments = COMMANDS[each.command][1](world)
                command = Command(arguments, folder, each.environment, root)
                code = command.wait()
                stdout, stderr = _read(command.stdout), _read(command.stderr)
                result = judge(each, code, stdout, stderr)
                table[each.command.partition(",")[0]][result] += 1
                if verbose or result.startswith("fault"):
                    report = f"{number}: {result}, exit code {code}: {each}"
                    faults += [report] if result.startswith("fault") else []
                    print(report, flush=True)
                    shown = [f"    {line[:300]}" for line in (stdout + stderr).splitlines()[-25:]]
                    print("\n".join(map(printable, shown)), flush=True)
                obey = ["chmod", "-R", "u+rwx", str(folder)]
                os.spawnvp(os.P_WAIT, obey[0], obey)
                shutil.rmtree(folder, ignore_errors=True)
        seconds = time.monotonic() - started
    print_table(table)
    print(f"{sum(map(collections.Counter.total, table.values())):,} combinations, "
          f"{len(faults):,} faults, {seconds:,.0f} s")  # fmt: skip
    return 1 if faults else 0


def print_table(table: dict[str, collections.Counter]) -> None:
    """Prints a row for each command."""
    print("\n| command | combinations | done | one line | faults |\n|---|---|---|---|---|")
    for name, counts in sorted(table.items()):
        bad = counts.total() - counts["done"] - counts["one line"]
        print(f"| {name} | {counts.total()} | {counts['done']} | {counts['one line']} | {bad} |")


def _import_everything() -> None:
    """Imports what the commands import, so that forked processes have it."""
    for name in (
        *("evaluation.report", "figures.plots", "figures.report", "inspection.dataset_report"),
        *("preparation.run", "serving.loaded_model", "serving.server", "serving.web_server"),
        *("training.exporting", "training.run", "applications"),
    ):
        importlib.import_module(f"alexnet_tf.{name}")


def _prepare(root: pathlib.Path) -> tuple[pathlib.Path, Command]:
    """Trains and exports the run that the commands use, and starts a server of it."""
    model, data = root / "model", root / "data"
    layouts()["train, val"](data)
    train = _train(World(str(data), "", "", str(model), "", ""))
    for arguments in (train, ["export", f"--model_dir={model}"]):
        command = Command(arguments, root, "plain", root)
        if command.wait():
            raise RuntimeError(_read(command.stderr))
    output = root / "server"
    output.mkdir()
    arguments = ["serve", f"--saved_model={model / 'saved_model'}", "--port=0", "--max_rate=0"]
    server = Command(arguments, root, "plain", output)
    while not server.url():
        time.sleep(0.1)
        if server.poll() is not None:
            raise RuntimeError(_read(server.stderr))
    return model, server


if __name__ == "__main__":
    absl_flags.DEFINE_integer("seed", 0, "seed of the combinations", lower_bound=0)
    absl_flags.DEFINE_integer("count", 300, "combinations", lower_bound=1)
    absl_flags.DEFINE_string("only", None, "a text: only the combinations whose line holds it")
    absl_flags.DEFINE_bool("verbose", False, "print every combination, not only the faults")
    app.run(main, flags_only=True)
