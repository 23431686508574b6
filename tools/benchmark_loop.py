"""Compares the speed of the training loop with a bare training step.

python -m tools.benchmark_loop --dataset=folder --data_dir=DIR --variant=paper

    bare        a compiled step on one batch in memory: forward, backward, update, nothing else
    synthetic   the whole loop of `alexnet_tf.train`, always on that batch
    images      the same loop on the dataset

Each is measured in its own process. They take turns, round after round (A B C A B C ...).
"""

from __future__ import annotations

import itertools
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

from absl import flags as absl_flags

from alexnet_tf import app, flags
from alexnet_tf.training.options import Options

_FLAGS = absl_flags.FLAGS
_KINDS = ("bare", "synthetic", "images")
_WARM_UP = 5  # steps


def _options(directory: str) -> Options:
    """The options of a run that only trains, for the warm-up and the measurement."""
    return Options(
        model_dir=directory,
        variant=_FLAGS.variant,
        dataset=_FLAGS.dataset,
        data_dir=_FLAGS.data_dir,
        batch_size=_FLAGS.batch_size,
        precision=_FLAGS.precision,
        steps_per_execution=_FLAGS.steps_per_execution,
        steps=_WARM_UP + _FLAGS.steps,
        decay_epochs=(),
        validate_every=1e6,
        export=False,
    )


def _first_batches(options: Options):
    """The first batch, repeated, in memory; classes, statistics and variant of the run."""
    import tensorflow as tf

    from alexnet_tf.data.pipeline import training_dataset
    from alexnet_tf.data.sources import open_dataset
    from alexnet_tf.data.statistics import compute_statistics
    from alexnet_tf.models.variants import get_variant

    variant = get_variant(options.variant)
    dataset = open_dataset(
        options.dataset, options.data_dir, validation_split=options.validation_split
    )
    batches = training_dataset(dataset.train, variant.preprocessing, options.batch_size, 0)
    batch = next(iter(batches))
    repeated = tf.data.Dataset.from_tensors(batch).repeat()
    return (
        repeated,
        dataset.classes,
        compute_statistics(dataset.train, variant.preprocessing),
        variant,
    )


def _bare(options: Options) -> float:
    """Images per second of the step alone."""
    import tensorflow as tf

    from alexnet_tf.data.preprocess import Preprocessor
    from alexnet_tf.training.run import build_network
    from alexnet_tf.training.train_step import make_gradient_function

    batches, classes, image_statistics, variant = _first_batches(options)
    strategy = tf.distribute.OneDeviceStrategy(
        "/GPU:0" if tf.config.list_logical_devices("GPU") else "/CPU:0"
    )
    network = build_network(options, variant, len(classes), strategy)
    preprocessor = Preprocessor(variant.preprocessing, image_statistics)
    compute_gradients = make_gradient_function(network, preprocessor, options.batch_size)

    @tf.function
    def step(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        gradients, metrics = compute_gradients(batch)
        variables = network.model.trainable_variables
        network.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return metrics

    batch = next(iter(batches))
    times = []
    for number in range(1, options.steps + 1):
        strategy.run(step, (batch,)).numpy()
        times.append((number, time.perf_counter()))
    return rate(times, options.batch_size)


def _loop(options: Options, synthetic: bool) -> float:
    """Images per second of the loop, measured by a callback at the end of each call."""
    import keras

    from alexnet_tf.training.distributed import WorkerSync, make_strategy
    from alexnet_tf.training.run import train_on

    replacements = {}
    if synthetic:
        batches, *_ = _first_batches(options)
        replacements["make_batches"] = lambda strategy, *_, **__: iter(
            strategy.experimental_distribute_dataset(batches)
        )
    times = []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            times.append((batch + 1, time.perf_counter()))

    train_on(WorkerSync(make_strategy()), options, [Clock()], **replacements)
    return rate(times, options.batch_size)


def rate(times: list[tuple[int, float]], batch_size: int) -> float:
    """Images per second, without the warm-up.

    Args:
        times: for each call the number of its last step, from 1, and its end in seconds. Calls may
            have different numbers of steps.
        batch_size: images per step.
    """
    begin, since = [pair for pair in times if pair[0] <= _WARM_UP][-1]  # the first call is one step
    end, until = times[-1]
    return (end - begin) * batch_size / (until - since)


def main(argv: list[str]) -> None:
    """Measures the three in rounds and prints a table."""
    del argv
    with tempfile.TemporaryDirectory() as directory:
        options = _options(directory)
        if _FLAGS.only:
            if _FLAGS.only == "bare":
                print(json.dumps(_bare(options)))
            else:
                print(json.dumps(_loop(options, _FLAGS.only == "synthetic")))
            return
    names = (
        "dataset",
        "data_dir",
        "variant",
        "batch_size",
        "precision",
        "steps_per_execution",
        "steps",
    )
    given = [f"--{name}={getattr(_FLAGS, name)}" for name in names if getattr(_FLAGS, name)]
    rates: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    for _, kind in itertools.product(range(_FLAGS.rounds), _KINDS):
        command = [sys.executable, "-m", "tools.benchmark_loop", f"--only={kind}", *given]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rates[kind].append(json.loads(done.stdout.splitlines()[-1]))
    print(
        f"{platform.machine()}, {_FLAGS.rounds} rounds of {_FLAGS.steps} steps of "
        f"{_FLAGS.batch_size} images, {_FLAGS.variant}, {_FLAGS.precision}\n\n"
        "| | images/s, median (range) | of the one above, median of rounds |\n|---|---|---|"
    )
    for above, kind in zip((None, *_KINDS), _KINDS, strict=False):
        found = rates[kind]
        share = ""
        if above:
            pairs = zip(found, rates[above], strict=True)
            share = f"{statistics.median(one / other for one, other in pairs):.3f}"
        median = statistics.median(found)
        print(f"| {kind} | {median:,.1f} ({min(found):,.1f} to {max(found):,.1f}) | {share} |")
    if _FLAGS.json:
        pathlib.Path(_FLAGS.json).write_text(json.dumps(rates, indent=1) + "\n")


if __name__ == "__main__":
    flags.define_as_in_training(
        "dataset", "data_dir", "variant", "batch_size", "precision", "steps_per_execution"
    )
    absl_flags.DEFINE_integer("steps", 20, "measured in each round", lower_bound=1)
    absl_flags.DEFINE_integer("rounds", 5, "how often each is measured", lower_bound=1)
    absl_flags.DEFINE_string("json", None, "file for all results")
    absl_flags.DEFINE_enum(
        "only", None, list(_KINDS), "internal: measure only this one, in this process"
    )
    app.run(main, needs_tensorflow=lambda: bool(_FLAGS.only))
