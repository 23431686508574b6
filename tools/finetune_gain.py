"""Fine-tuning against training from nothing and a linear probe, on CIFAR-10 in two halves.

python -m tools.finetune_gain --output=gain --data_dir=DIR

A network is trained on five of CIFAR-10's classes. Then the other five are learnt from 50, 200 or
1,000 images a class: by fine-tuning it, by training the same network from nothing for as many
steps, and by logistic regression on its last hidden layer. All are tested on the other five's 5,000
test images. The results are in a file of --output: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import time

import numpy as np
from absl import flags as absl_flags

from alexnet_tf import app

_FLAGS = absl_flags.FLAGS
_HALVES = ("even", "odd")
_METHODS = ("fine-tuned", "from nothing", "linear probe")


def main(argv: list[str]) -> None:
    """Makes the runs that are missing, and prints the table."""
    folder = pathlib.Path(_FLAGS.output)
    path = folder / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    if _FLAGS.images and not _FLAGS.table:
        halves = write_halves(folder)
        for seed in range(_FLAGS.seeds):
            base = folder / f"base-{seed}"
            train(halves[0], base, seed, _FLAGS.base_steps, 0.01)
            for images in map(int, _FLAGS.images):
                key = f"{images} {seed}"
                if key not in results:
                    subset = write_subset(halves[1], folder, images, seed)
                    results[key] = measure(subset, base, folder / f"{images}-{seed}", seed)
                    path.write_text(json.dumps(results, indent=1))
                print(key, results[key], flush=True)
    print(table(results))


def write_halves(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """CIFAR-10 as two folders of images, of the even and of the odd classes."""
    import tensorflow_datasets as tfds

    whole, partial = folder / "cifar10", folder / "cifar10.partial"
    if not whole.exists():
        shutil.rmtree(partial, ignore_errors=True)
        builder = tfds.builder("cifar10", data_dir=_FLAGS.data_dir)
        names = builder.info.features["label"].names
        decoders = {"image": tfds.decode.SkipDecoding()}
        for split, own in (("train", "train"), ("test", "val")):
            for label, name in enumerate(names):
                (partial / _HALVES[label % 2] / own / name).mkdir(parents=True)
            images = builder.as_dataset(split=split, decoders=decoders)
            for number, example in enumerate(images.as_numpy_iterator()):
                label = int(example["label"])
                target = partial / _HALVES[label % 2] / own / names[label] / f"{number:05}.png"
                target.write_bytes(example["image"])
        partial.rename(whole)
    return tuple(whole / half for half in _HALVES)


def write_subset(half: pathlib.Path, folder: pathlib.Path, images: int, seed: int) -> pathlib.Path:
    """A folder with some training images of each class, and all test images; links to them."""
    subset = folder / f"odd-{images}-{seed}"
    rng = np.random.default_rng(seed)
    for source in sorted((half / "train").iterdir()):
        target = subset / "train" / source.name
        target.mkdir(parents=True, exist_ok=True)
        files = sorted(source.iterdir())
        for place in rng.permutation(len(files))[:images]:
            link = target / files[place].name
            if not link.exists():
                link.hardlink_to(files[place])
    if not (subset / "val").exists():
        (subset / "val").symlink_to((half / "val").absolute())
    return subset


def train(
    data: pathlib.Path, run: pathlib.Path, seed: int, steps: int, rate: float, **more: object
) -> tuple[float, float]:
    """Trains tiny32, or goes on; returns the final top-1 accuracy and the seconds."""
    from alexnet_tf.training.options import Options
    from alexnet_tf.training.run import train as run_training

    started = time.monotonic()
    options = Options(
        model_dir=str(run), variant="tiny32", dataset="folder", data_dir=str(data),
        batch_size=64, steps=steps, learning_rate=rate, schedule="cosine", validate_every=1e6,
        seed=seed, export=False, steps_per_execution=20, stuck_after=0, **more,
    )  # fmt: skip
    result = run_training(options)
    if result.interrupted_by:
        raise SystemExit(128 + result.interrupted_by)
    return 1 - result.evaluation.top1_error, time.monotonic() - started


def measure(data: pathlib.Path, base: pathlib.Path, run: pathlib.Path, seed: int) -> dict:
    """Accuracy and seconds of each method."""
    tune = {"init_from": str(base), "init_checkpoint": "newest", "layer_rates": ("fc8:0:10",)}
    found = {
        "fine-tuned": train(data, run / "tuned", seed, _FLAGS.steps, 0.001, **tune),
        "from nothing": train(data, run / "new", seed, _FLAGS.steps, 0.01),
    }
    started = time.monotonic()
    found["linear probe"] = probe(data, base), time.monotonic() - started
    return found


def probe(data: pathlib.Path, base: pathlib.Path) -> float:
    """The accuracy of a linear probe on the last hidden layer."""
    from alexnet_tf.data.decode_errors import DecodeErrors
    from alexnet_tf.data.sources import open_dataset
    from alexnet_tf.evaluation import linear_probe
    from alexnet_tf.evaluation.features import FeatureExtractor
    from alexnet_tf.training.directory import ModelDirectory

    classifier, _, _ = ModelDirectory(base).load()
    extractor = FeatureExtractor(classifier)
    dataset = open_dataset("folder", str(data))
    sets = []
    for split in (dataset.train, dataset.validation):
        rows = extractor.rows(split, DecodeErrors(split), f"{split.name} features")
        features, labels = linear_probe.gather(rows)
        sets += [*features.values(), labels]
    accuracy, _ = linear_probe.probe(*sets)
    return accuracy


def table(results: dict) -> str:
    """Mean, smallest and largest top-1 accuracy in percent, and mean seconds, as Markdown."""
    lines = ["| images a class | seeds | " + " | ".join(_METHODS) + " |", "| --- " * 5 + "|"]
    for images in sorted({int(key.split()[0]) for key in results}):
        runs = [value for key, value in results.items() if int(key.split()[0]) == images]
        cells = []
        for method in _METHODS:
            accuracy = 100 * np.array([run[method][0] for run in runs])
            seconds = np.mean([run[method][1] for run in runs])
            spread = f" ({accuracy.min():.1f} to {accuracy.max():.1f})" if len(runs) > 1 else ""
            cells.append(f"{accuracy.mean():.1f} %{spread}, {seconds:.0f} s")
        lines.append(f"| {images:,} | {len(runs)} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    absl_flags.DEFINE_string("output", "finetune_gain", "folder for images, runs and results")
    absl_flags.DEFINE_string("data_dir", None, "where TensorFlow Datasets keeps CIFAR-10")
    absl_flags.DEFINE_list("images", ["50", "200", "1000"], "training images a class")
    absl_flags.DEFINE_integer("seeds", 5, "how many seeds", lower_bound=1)
    absl_flags.DEFINE_integer("base_steps", 2000, "steps of the first network", lower_bound=1)
    absl_flags.DEFINE_integer("steps", 400, "steps on the other classes", lower_bound=1)
    absl_flags.DEFINE_bool("table", False, "only print the table of the results so far")
    app.run(main, flags_only=True)
