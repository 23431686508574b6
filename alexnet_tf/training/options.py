"""Everything a training run can be told; the flags of `alexnet_tf.train` are made from this."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from alexnet_tf.data.augmentations import AUGMENTATIONS
from alexnet_tf.data.limits import MAX_UNREADABLE
from alexnet_tf.models.spec import ActivationName
from alexnet_tf.models.variants import variants

STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")
DIVERGENCES = ("stop", "back")
PRECISIONS = ("float32", "bfloat16", "float16")
CACHES = ("none", "memory", "disk")


def _option(default: Any, help: str, **metadata: Any) -> Any:
    return dataclasses.field(default=default, metadata={"help": help, **metadata})


@dataclasses.dataclass(frozen=True)
class Options:
    """A training run. The defaults are the main job: `tiny` on the built-in dataset."""

    model_dir: str | None = _option(
        None, "where the run is written, and gone on with; default runs/<dataset>-<variant>"
    )
    variant: str = _option("tiny", "which AlexNet (alexnet_tf/models/variants.py)", enum=variants())
    activation: str | None = _option(
        None,
        "nonlinearity in place of the variant's own",
        enum=typing.get_args(ActivationName),
    )
    dataset: str = _option(
        "shapes",
        "shapes (built in), folder (--data_dir holds train/<class>/ and val/<class>/), a directory "
        "that alexnet_tf.prepare wrote, or the name of a TensorFlow Datasets image classification "
        "dataset, e.g. cifar10",
    )
    data_dir: str | None = _option(
        None, "the image folder, or where TensorFlow Datasets keeps its datasets"
    )
    augment: tuple[str, ...] | None = _option(
        None,
        "augmentations of training images in place of the variant's own; lighting only where the "
        "variant has it",
        enum=AUGMENTATIONS,
    )
    pca_noise_until: float = _option(
        1e6,
        "epochs after which there is no lighting any more, rounded up to whole ones",
        lower_bound=0,
    )
    max_unreadable: float = _option(
        MAX_UNREADABLE,
        "the share of a split's images that may be impossible to decode; more end the run",
        lower_bound=0,
        upper_bound=1,
    )
    cache: str = _option(
        "none",
        "keep decoded training images in memory, or on disk in the model directory",
        enum=CACHES,
    )
    batch_size: int = _option(32, "images per step over all replicas (paper §5: 128)")
    epochs: float = _option(24.0, "passes over the training set", lower_bound=0, upper_bound=1e6)
    steps: int | None = _option(None, "training steps, in place of --epochs", lower_bound=1)
    learning_rate: float = _option(0.01, "initial rate (paper §5: 0.01)", lower_bound=0)
    decay_epochs: tuple[float, ...] = _option(
        (18.0, 22.0), "epochs after which the rate is divided by ten; empty: see plateau_patience"
    )
    plateau_patience: int = _option(
        0,
        "if positive, divide the rate by ten after that many validations without a new best, in "
        "place of --decay_epochs",
        lower_bound=0,
    )
    plateau_reductions: int = _option(
        3, "after that many divisions the next plateau ends the run (paper §5: 3)", lower_bound=0
    )
    momentum: float = _option(
        0.9, "of the update (paper §5: 0.9)", lower_bound=0, upper_bound=0.9999
    )
    weight_decay: float = _option(0.0005, "of the update (paper §5: 0.0005)", lower_bound=0)
    decay_biases: bool = _option(False, "decay biases as well as weights")
    clip_norm: float = _option(
        0.0,
        "scale each step's gradient down to that norm over all weights, if it is larger; 0: never",
        lower_bound=0,
    )
    bias_rate: float = _option(1.0, "the rate of biases, times that of weights", lower_bound=0)
    bias_decay_epochs: tuple[float, ...] = _option(
        (), "epochs after which the biases' rate is divided by ten; empty: whenever the weights' is"
    )
    layer_rates: tuple[str, ...] = _option(
        (),
        "LAYER:EPOCH:MULTIPLIER of the rate, from that epoch on; e.g. conv1:72:0 freezes conv1, "
        "conv1/kernel:68:0.1 slows its kernels down and not its biases. Of the same LAYER the last "
        "that has begun counts; conv1 and conv1/kernel multiply, and bias_rate does",
    )
    validate_every: float = _option(
        2.0, "epochs between validations", lower_bound=0, upper_bound=1e6
    )
    seed: int = _option(
        0, "of weights, order, augmentation and dropout", lower_bound=0, upper_bound=2**31
    )
    deterministic: bool = _option(
        False, "refuse operations whose result may differ from one run to the next; slower on GPUs"
    )
    strategy: str = _option(
        "auto",
        "one device; mirrored over all GPUs; multi_worker, with --workers or TF_CONFIG; tpu; auto: "
        "what --workers, TF_CONFIG, --tpu and the number of GPUs ask for",
        enum=STRATEGIES,
    )
    workers: tuple[str, ...] = _option(
        (), "host:port of each process of a run, the same on all of them; default: TF_CONFIG"
    )
    worker_index: int | None = _option(
        None, "which of --workers this process is; 0 prints and writes", lower_bound=0
    )
    worker_timeout: float = _option(300.0, "seconds to wait for the others", lower_bound=1)
    tpu: str | None = _option(None, "name of a Cloud TPU, or local on a TPU VM")
    tower_devices: tuple[str, ...] = _option(
        (),
        "two devices, e.g. /GPU:0,/GPU:1, each of which holds one tower: half the kernels of each "
        "layer (paper §3.2)",
    )
    logical_cpus: int = _option(
        1, "split the CPU into that many devices, to try --strategy=mirrored", lower_bound=1
    )
    precision: str = _option(
        "float32",
        "of activations; weights stay float32, and float16 scales its loss",
        enum=PRECISIONS,
    )
    xla: bool = _option(False, "compile the whole training step with XLA")
    accumulate: int = _option(
        1,
        "parts that a batch is computed in, one after the other, to need less memory",
        lower_bound=1,
    )
    steps_per_execution: int = _option(
        1,
        "at most so many training steps between which Python does nothing; no more than 20 (the "
        "curves have a point there), and than fit into a second, as a signal waits for the last",
        lower_bound=1,
    )
    on_divergence: str = _option(
        "stop",
        "when a loss is not finite: stop, or go back to the newest checkpoint and halve the rate",
        enum=DIVERGENCES,
    )
    stuck_after: int = _option(
        1000,
        "steps after which a loss that is still that of guessing is remarked on; 0: never",
        lower_bound=0,
    )
    save_minutes: float = _option(
        10.0, "between checkpoints; there is one after each validation anyway", lower_bound=0
    )
    keep_checkpoints: int = _option(
        3,
        "how many of the newest to keep, beside the one of the lowest validation error",
        lower_bound=1,
    )
    profile: tuple[float, ...] = _option(
        (),
        "START,STOP: steps between which to record what takes the time, for TensorBoard's Profile "
        "page (pip install tensorboard-plugin-profile)",
    )
    export: bool = _option(True, "write a SavedModel at the end")


def as_flag(value: object) -> bool | int | float | str:
    """An option's value as it is written on a command line, where it is not a plain one."""
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return "" if value is None else value
