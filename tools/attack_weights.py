"""Reads mutated files of weights, and reports whatever is not a refusal in one line.

python -m tools.attack_weights --files=10000

Each file is a small AlexNet of one format: Caffe, NumPy, the three formats of PyTorch, safetensors,
and the three of Keras. A mutation flips bits, cuts the end off, replaces bytes of the beginning or
the end, or repeats or removes pieces. An audit hook records a process, code that is run, an import,
a connection, or a file that is opened for writing. The exit code is 1 if there is one, if a file
ends in another error than one line, takes over 10 seconds, or if the process grows by 1 GiB. A
crash ends the program with its signal. Needs Linux.
"""

from __future__ import annotations

import collections
import os
import pathlib
import sys
import tempfile
import time

import numpy as np
from absl import flags as absl_flags

from alexnet_tf import app

_FLAGS = absl_flags.FLAGS
_SECONDS = 10.0  # for one file
_GROWTH = 1 << 30  # bytes
_FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pty.spawn"),
    *("exec", "import", "socket.connect", "urllib.Request", "ctypes.dlopen"),
    *("pickle.find_class", "marshal.loads", "os.remove", "os.rename", "os.mkdir", "shutil.rmtree"),
)


def originals(folder: pathlib.Path) -> dict[str, bytes]:
    """A small file of each format, by name; they are written to a folder first."""
    from alexnet_tf.applications import AlexNet
    from alexnet_tf.weights.files import write_weights
    from alexnet_tf.weights.keras_files import write_model
    from tests.weights import by_hand
    from tests.weights.narrow import NARROW, random_arrays

    for name in ("caffe", "one_weird_trick"):
        arrays = random_arrays(NARROW[name])
        write_weights(folder / f"{name}.caffemodel", arrays, NARROW[name])
        write_weights(folder / f"{name}.safetensors", arrays, NARROW[name])
    write_weights(folder / "caffe.npy", random_arrays(NARROW["caffe"]), NARROW["caffe"])
    for suffix in (".keras", ".h5", ".weights.h5"):
        write_model(str(folder / f"tiny{suffix}"), AlexNet("tiny", 10))
    from alexnet_tf.weights.torch_files import state_dict

    torch = state_dict(random_arrays(NARROW["one_weird_trick"]), NARROW["one_weird_trick"])
    for kind in ("pth", "legacy_pth", "tar_pth"):
        (folder / f"{kind}.pth").write_bytes(getattr(by_hand, kind)(torch))
    files = (path for path in sorted(folder.iterdir()) if path.suffix != ".prototxt")
    return {path.name: path.read_bytes() for path in files}


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with one mutation. Most of a file is numbers, so the ends are hit more often."""
    kind = rng.choice(["flip", "truncate", "start", "end", "repeat", "remove", "pickle"])
    raw = np.frombuffer(data, np.uint8).copy()
    if kind == "truncate":
        return data[: rng.integers(len(data))]
    if kind in ("repeat", "remove"):
        start = int(rng.integers(len(data))) if rng.integers(2) else int(rng.integers(2000))
        length = int(rng.integers(1, 2000))
        if kind == "remove":
            return data[:start] + data[start + length :]
        return data[:start] + data[start : start + length] * int(rng.integers(2, 5)) + data[start:]
    if kind == "flip":
        places = rng.integers(len(raw), size=rng.integers(1, 50))
    elif kind == "pickle":  # around a name, wherever it lies
        start = max(data.find(rng.choice([b"torch", b"numpy", b"conv", b"features", b"vars"])), 0)
        places = start + rng.integers(-20, 200, size=rng.integers(1, 8))
    else:
        places = rng.integers(4000, size=rng.integers(1, 8))
        places = places if kind == "start" else -1 - places
    places = places % len(raw)
    raw[places] = rng.integers(256, size=len(places))
    return raw.tobytes()


class _Auditor:
    """Records forbidden events while it is on; an audit hook cannot be removed."""

    def __init__(self):
        self.on, self.events = False, []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event == "open":
            mode, flags = arguments[1], arguments[2]
            writing = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writing or (isinstance(mode, str) and set(mode) & set("wax+")):
                self.events.append(f"open {arguments[0]!r}")
        elif event in _FORBIDDEN:
            self.events.append(f"{event} {str(arguments)[:100]}")


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(_: list[str]) -> int:
    """Reads the mutated files; returns the exit code."""
    from alexnet_tf.system.errors import UserError
    from alexnet_tf.weights.files import read_weights

    rng = np.random.default_rng(_FLAGS.seed)
    faults, counts, slowest = [], collections.Counter(), 0.0
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as attacked:
        files = originals(pathlib.Path(made))
        for name in files:  # imports what reading needs
            read_weights(pathlib.Path(made, name))
        auditor, before = _Auditor(), _peak()
        names = list(files)
        for number in range(_FLAGS.files):
            name = names[number % len(names)]
            path = pathlib.Path(attacked, name)
            path.write_bytes(mutate(files[name], rng))
            started, auditor.on = time.monotonic(), True
            try:
                read_weights(path)
                counts[name, "read"] += 1
            except UserError as error:
                counts[name, "refused"] += 1
                if "\n" in str(error) or len(str(error)) > 1000:
                    faults.append(f"{number} {name}: not one line: {error!r}")
            except Exception as error:
                faults.append(f"{number} {name}: {error!r}")
            finally:
                auditor.on = False
            slowest = max(slowest, time.monotonic() - started)
    grown = _peak() - before
    for name in names:
        print(f"{name}: {counts[name, 'read']:,} read, {counts[name, 'refused']:,} refused")
    print(f"slowest {slowest:.2f} s, memory grew by {grown / 2**20:,.0f} MiB")
    for fault in (*faults, *auditor.events)[:20]:
        print(fault)
    return int(bool(faults or auditor.events or grown > _GROWTH or slowest > _SECONDS))


if __name__ == "__main__":
    absl_flags.DEFINE_integer("files", 10_000, "number of mutated files", lower_bound=1)
    absl_flags.DEFINE_integer("seed", 0, "of the mutations")
    app.run(main, flags_only=True)
