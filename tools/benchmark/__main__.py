"""Compares the speed of this package with other libraries that do the same work.

python -m tools.benchmark train                     a training step, float32 and bfloat16
python -m tools.benchmark train --peers=torch,keras --variant=one_weird_trick --batch_size=128
python -m tools.benchmark inference --batch_size=1
python -m tools.benchmark layers                    response normalisation, grouped convolution
python -m tools.benchmark input --photos=DIR        squares made from photographs to batches
python -m tools.benchmark scaling --batch_size=32   one replica, one per core, one process per core

Each contestant is built and warmed up in its own process. Then they take turns on the same cores,
one at a time, round after round (A B C A B C ...). The table shows for each its median speed, the
ratio of our speed to it (median and range of the ratios within a round), its arithmetic as a share
of this machine's matrix products, and its peak memory.

Libraries that are not installed are left out. This installs all of them:
pip install torch onnx onnxruntime 'opencv-python-headless<5'

tools.benchmark_loop measures the training loop around the step, and tools.benchmark_preparation
the preparation of photographs.
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import sys
import tempfile

from absl import flags as absl_flags

from alexnet_tf import app
from alexnet_tf.system.errors import UserError
from tools.benchmark import inference, inputs, layers, report, scaling, training
from tools.benchmark.contestants import Contestant, Settings
from tools.benchmark.rounds import serve_turns, take_rounds

_FLAGS = absl_flags.FLAGS
_KINDS = {
    "train": training.contestants,
    "inference": inference.contestants,
    "layers": layers.contestants,
    "input": inputs.contestants,
    "scaling": scaling.contestants,
}
_OTHERS = ("torch", "onnxruntime", "opencv", "dali")  # contestants that need no TensorFlow


def main(argv: list[str]) -> None:
    """Runs a benchmark and prints its table; with --contestant, runs only this contestant."""
    if len(argv) != 1 or argv[0] not in _KINDS:
        raise UserError(f"Expected one of {', '.join(_KINDS)}. Received: {' '.join(argv)!r}")
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    cores = tuple(sorted(usable))[: _FLAGS.cores]
    squares = _FLAGS.squares and pathlib.Path(_FLAGS.squares)
    settings = Settings(_FLAGS.variant, _FLAGS.batch_size, _FLAGS.steps, cores, squares)
    contestants = _KINDS[argv[0]](_FLAGS.variant)
    if _FLAGS.contestant:
        serve_turns(contestants[_FLAGS.contestant], settings)
        return
    chosen = _choose(contestants, _FLAGS.peers)
    command = [sys.executable, "-m", "tools.benchmark", argv[0]]
    for name in ("variant", "batch_size", "steps", "cores"):
        command.append(f"--{name}={getattr(_FLAGS, name)}")
    with tempfile.TemporaryDirectory() as folder:
        facts = {}
        if argv[0] == "input":
            facts = inputs.make_squares(_FLAGS.photos, folder)
            command.append(f"--squares={folder}")
        results = take_rounds(list(chosen), _FLAGS.rounds, command)
    gemm = {
        each.precision: each.gigaflop * statistics.median(results[name]["rates"])
        for name, each in chosen.items()
        if name.startswith("gemm")
    }
    facts = {**report.header(argv[0], settings, _FLAGS.rounds, results), **facts}
    for name, value in facts.items():
        print(f"{name:10} {value}")
    print("\n" + "\n".join(report.table(chosen, results, gemm)))
    if argv[0] == "scaling":
        print("\n" + "\n".join(scaling.remarks(settings, results, _FLAGS.price)))
    if _FLAGS.json:
        whole = {"facts": facts, "results": results, "gemm_gflops": gemm}
        pathlib.Path(_FLAGS.json).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def _choose(contestants: dict[str, Contestant], names: list[str]) -> dict[str, Contestant]:
    """Chooses the peers of --peers, our contestants, and matrix products in the same precisions."""
    if unknown := set(names) - set(contestants):
        raise UserError(
            f"Expected --peers among {', '.join(contestants)}. "
            f"Received: {', '.join(sorted(unknown))}"
        )
    if not names:
        return contestants
    chosen = {n: each for n, each in contestants.items() if n in names or not each.against}
    precisions = {each.precision for n, each in chosen.items() if not n.startswith("gemm")}
    return {n: each for n, each in chosen.items() if each.precision in precisions}


if __name__ == "__main__":
    absl_flags.DEFINE_list(
        "peers", [], "contestants to compare with; default: all that are installed"
    )
    absl_flags.DEFINE_string("variant", "paper", "the network, see alexnet_tf.variants()")
    absl_flags.DEFINE_integer("batch_size", 128, "images per step", lower_bound=1)
    absl_flags.DEFINE_integer("steps", 2, "steps in each turn", lower_bound=1)
    absl_flags.DEFINE_integer("rounds", 5, "turns of each contestant", lower_bound=1)
    absl_flags.DEFINE_integer(
        "cores", os.cpu_count(), "CPU cores for every contestant", lower_bound=1
    )
    absl_flags.DEFINE_string("photos", None, "for input: a folder of photographs, at any depth")
    absl_flags.DEFINE_float(
        "price", 0.0, "for scaling: price of a machine like this, dollars per hour", lower_bound=0
    )
    absl_flags.DEFINE_string("json", None, "file to write all results to")
    absl_flags.DEFINE_string("contestant", None, "internal: run as this contestant")
    absl_flags.DEFINE_string("squares", None, "internal: folder of the squares")
    # Contestants import their libraries themselves, after they are pinned to their cores.
    app.run(
        main,
        needs_tensorflow=lambda: (
            bool(_FLAGS.contestant) and not _FLAGS.contestant.startswith(_OTHERS)
        ),
    )
