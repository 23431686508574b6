"""Kills a short training run at random moments, and checks that it can always be resumed.

python -m tools.kill_training --kills=200
python -m tools.kill_training --kills=20 --flag=--freeze=conv1-conv5

One run is not disturbed. Another run with the same flags writes a checkpoint after every step, and
is killed with SIGKILL while it starts, trains or writes. After every third kill its newest
checkpoint is also truncated or gets a flipped bit. The same command has to resume the run each
time. At the end, every weight, velocity and random state has to equal the undisturbed run's, bit
for bit. If not, the exit code is 1.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import flags as absl_flags

from alexnet_tf import app
from alexnet_tf.system.progress import Progress

_FLAGS = absl_flags.FLAGS
_STEPS_PER_KILL = 12  # training steps; a process makes about this many before it is killed
_DELAY = 0.5  # seconds at most, from the first checkpoint of a process to its kill
_STARTING = 0.2  # share of the kills that happen before the first checkpoint
_START = 8.0  # seconds at most, from the start of a process to these kills


def start(folder: pathlib.Path, steps: int, *flags: str) -> subprocess.Popen:
    """Starts the run in a new process."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "alexnet_tf.train", f"--model_dir={folder}", "--noexport"),
            *("--batch_size=8", f"--steps={steps}", "--deterministic"),
            f"--validate_every={_FLAGS.validate_every}",
            *_FLAGS.flag,
            *flags,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_at_random(
    process: subprocess.Popen, folder: pathlib.Path, rng: np.random.Generator
) -> int:
    """Kills the process, unless it ends first; returns its exit code."""
    if rng.random() < _STARTING:
        time.sleep(rng.uniform(0, _START))
    else:
        before = checkpoints(folder)
        while process.poll() is None and checkpoints(folder)[-1:] == before[-1:]:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, _DELAY))
    process.kill()
    return process.wait()


def checkpoints(folder: pathlib.Path) -> list[str]:
    """The names of the complete checkpoints, oldest first."""
    return sorted(p.name for p in (folder / "checkpoints").glob("*") if not p.suffix)


def damage(folder: pathlib.Path, rng: np.random.Generator) -> bool:
    """Damages a file of the newest checkpoint, if there is an earlier one."""
    if len(checkpoints(folder)) < 2:
        return False
    files = sorted((folder / "checkpoints" / checkpoints(folder)[-1]).iterdir())
    file = files[rng.integers(len(files))]
    content = bytearray(file.read_bytes())
    if rng.random() < 0.5:
        del content[rng.integers(len(content)) :]
    else:
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    file.write_bytes(content)
    return True


def differences(one: pathlib.Path, other: pathlib.Path) -> list[str]:
    """Names of the tensors that differ between the newest checkpoints of two runs."""
    import tensorflow as tf

    from alexnet_tf.training.directory import ModelDirectory

    readers = [
        tf.train.load_checkpoint(ModelDirectory(folder).find_checkpoint().path / "variables")
        for folder in (one, other)
    ]
    names = [set(reader.get_variable_to_shape_map()) for reader in readers]
    same = {
        name
        for name in names[0] & names[1]
        if np.array_equal(*(np.asarray(reader.get_tensor(name)) for reader in readers))
    }
    return sorted((names[0] | names[1]) - same)


def main(argv: list[str]) -> int:
    """Kills, compares and reports; returns the exit code."""
    rng = np.random.default_rng(_FLAGS.seed)
    steps = _STEPS_PER_KILL * _FLAGS.kills
    kills = damages = unusable = 0
    with tempfile.TemporaryDirectory() as scratch:
        alone, killed = pathlib.Path(scratch) / "alone", pathlib.Path(scratch) / "killed"
        process = start(alone, steps)
        if process.wait():
            print(process.stderr.read())
            return 1
        with Progress("killing", _FLAGS.kills, "kills") as progress:
            while kills < _FLAGS.kills:
                process = start(killed, steps, "--save_minutes=0")
                code = kill_at_random(process, killed, rng)
                if code == 0:
                    print(f"the run was complete after {kills} kills")
                    break
                if code > 0:
                    unusable += 1
                    print(f"after {kills} kills: {process.stderr.read().strip()}")
                    break
                kills += 1
                damages += kills % 3 == 0 and damage(killed, rng)
                progress.advance(1, f"checkpoint {''.join(checkpoints(killed)[-1:])}")
        process = start(killed, steps)
        _, complaint = process.communicate()
        if process.returncode:
            unusable += 1
            print(complaint.strip())
        different = [] if unusable else differences(alone, killed)
    print(
        f"{kills} kills, {damages} damaged checkpoints, {steps:,} steps: {unusable} unusable "
        f"states, {len(different)} tensors differ{': ' * bool(different)}{', '.join(different)}"
    )
    return 1 if unusable or different else 0


if __name__ == "__main__":
    absl_flags.DEFINE_integer("kills", 200, "number of kills", lower_bound=1)
    absl_flags.DEFINE_integer("seed", 0, "random seed of the times of the kills and of the damage")
    absl_flags.DEFINE_float(
        "validate_every", 1000.0, "epochs between validations; there is one at the end anyway"
    )
    absl_flags.DEFINE_multi_string("flag", [], "another flag of alexnet_tf.train; may be repeated")
    app.run(main)
