"""How fast this package is beside others that do the same work.

python -m tools.benchmark train                     a training step, float32 and bfloat16
python -m tools.benchmark train --peers=torch,keras --variant=one_weird_trick --batch_size=128
python -m tools.benchmark inference --batch_size=1
python -m tools.benchmark layers                    response normalisation, grouped convolutions
python -m tools.benchmark input --photos=DIR        photographs, made squares, to training batches
python -m tools.benchmark scaling --batch_size=32   one replica, one a core, one process a core

Contestants are built and warmed up in processes of their own and then take turns, one at a time,
round after round (A B C A B C ...), on the same cores. Shown are the medians and the ratios, round
by round, of the first to each other, with their ranges; the arithmetic beside what this machine
makes of matrix products; and each process's most memory. Peers that are not installed are left
out; `pip install torch onnx onnxruntime 'opencv-python-headless<5'` brings all of them.

`tools.benchmark_loop` and `tools.benchmark_preparation` measure the loop around the step and the
preparation of photographs.
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
_OTHERS = ("torch", "onnxruntime", "opencv", "dali")  # contestants that do without TensorFlow


def main(argv: list[str]) -> None:
    """Measures and prints, or is one of the contestants."""
    if len(argv) != 1 or argv[0] not in _KINDS:
        raise UserError(f"Expected one of {', '.join(_KINDS)}. Received: {' '.join(argv)!r}")
    there = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    cores = tuple(sorted(there))[: _FLAGS.cores]
    squares = _FLAGS.squares and pathlib.Path(_FLAGS.squares)
    settings = Settings(_FLAGS.variant, _FLAGS.batch_size, _FLAGS.steps, cores, squares)
    everyone = _KINDS[argv[0]](_FLAGS.variant)
    if _FLAGS.contestant:
        serve_turns(everyone[_FLAGS.contestant], settings)
        return
    chosen = _choose(everyone, _FLAGS.peers)
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


def _choose(everyone: dict[str, Contestant], names: list[str]) -> dict[str, Contestant]:
    """What others are compared with always, and of the others those that are asked for."""
    if unknown := set(names) - set(everyone):
        raise UserError(
            f"Expected --peers among {', '.join(everyone)}. Received: {', '.join(sorted(unknown))}"
        )
    if not names:
        return everyone
    chosen = {n: each for n, each in everyone.items() if n in names or not each.against}
    precisions = {each.precision for n, each in chosen.items() if not n.startswith("gemm")}
    return {n: each for n, each in chosen.items() if each.precision in precisions}


if __name__ == "__main__":
    absl_flags.DEFINE_list("peers", [], "contestants beside ours; default: all that are installed")
    absl_flags.DEFINE_string("variant", "paper", "the network")
    absl_flags.DEFINE_integer("batch_size", 128, "images", lower_bound=1)
    absl_flags.DEFINE_integer("steps", 2, "of each turn", lower_bound=1)
    absl_flags.DEFINE_integer("rounds", 5, "turns of each contestant", lower_bound=1)
    absl_flags.DEFINE_integer("cores", os.cpu_count(), "CPU cores that all share", lower_bound=1)
    absl_flags.DEFINE_string("photos", None, "a folder of photographs, at any depth, for input")
    absl_flags.DEFINE_float(
        "price", 0.0, "of such a machine, dollars an hour, for scaling", lower_bound=0
    )
    absl_flags.DEFINE_string("json", None, "a file to write all figures to")
    absl_flags.DEFINE_string("contestant", None, "used by itself: be this one")
    absl_flags.DEFINE_string("squares", None, "used by itself: where the squares are")
    # Contestants load what they need themselves, after they are pinned to their cores.
    app.run(
        main,
        needs_tensorflow=lambda: (
            bool(_FLAGS.contestant) and not _FLAGS.contestant.startswith(_OTHERS)
        ),
    )
