"""The options of a training run; the flags of `alexnet_tf.train` are made from this."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import numbers
import os
import textwrap
import types
import typing
from typing import Any

from alexnet_tf.data.augmentations import AUGMENTATIONS
from alexnet_tf.data.limits import MAX_UNREADABLE
from alexnet_tf.models.spec import ActivationName
from alexnet_tf.models.variants import get_variant, variants
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.text import printable
from alexnet_tf.training.layer_options import (
    LayerRate,
    parse_layer_rates,
    parse_layers,
    weighted_layers,
)

STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")
DIVERGENCES = ("stop", "back")
PRECISIONS = ("float32", "bfloat16", "float16")
SCHEDULES = ("step", "plateau", "cosine", "constant")
_PATIENCE = 3  # validations, of --schedule=plateau without --plateau_patience
CACHES = ("none", "memory", "disk")

# Names of version 0.1, still accepted as flags and read from runs that it wrote.
OLD_NAMES = {"lighting_until": "pca_noise_until", "steps_per_call": "steps_per_execution"}
_OLD_AUGMENTATIONS = {"reflect": "flip", "lighting": "pca_noise"}


def _option(default: Any, help: str, **metadata: Any) -> Any:
    return dataclasses.field(default=default, metadata={"help": help, **metadata})


@dataclasses.dataclass(frozen=True)
class Options:
    """A training run. The defaults are the main job: `tiny` on the built-in dataset.

    Raises:
        UserError: an option of another type, out of its bounds, or at odds with another one.
    """

    model_dir: str | None = _option(
        None, "directory of the run, to begin or to resume; default runs/<dataset>-<variant>"
    )
    variant: str = _option("tiny", "which AlexNet (alexnet_tf/models/variants.py)", enum=variants())
    activation: str | None = _option(
        None,
        "nonlinearity in place of the variant's own",
        enum=typing.get_args(ActivationName),
    )
    init_from: str | None = _option(
        None,
        "weights to begin a run with, in place of random ones: a file (.caffemodel, .npy, .pth, "
        ".safetensors, .h5 or .keras), the directory of a run, or caffe, caffenet or torchvision, "
        "which are downloaded; a run that is resumed does not read them again",
    )
    init_checkpoint: str = _option(
        "best", "which checkpoint, if --init_from is a run", enum=("best", "newest")
    )
    init_exclude: tuple[str, ...] | None = _option(
        None,
        "layers that begin with random weights all the same, e.g. fc8 or fc6-fc8; empty: none; "
        "default: the last layer if its classes are others",
    )
    freeze: tuple[str, ...] = _option(
        (),
        "layers that are not trained, e.g. conv1-conv5 or conv1,conv2; their gradients are not "
        "computed",
    )
    dataset: str = _option(
        "shapes",
        "shapes (built in); folder (--data_dir holds train/<class>/ and val/<class>/); a directory "
        "that alexnet_tf.prepare wrote; or the name of a TensorFlow Datasets image classification "
        "dataset, e.g. cifar10",
    )
    data_dir: str | None = _option(
        None,
        "with --dataset=folder, the folder of the images; otherwise where TensorFlow Datasets "
        "keeps its datasets; default: TFDS_DATA_DIR, or ~/tensorflow_datasets",
    )
    validation_split: str | None = _option(
        None,
        "split that validates, e.g. test; train: a tenth of it, held out. Default: validation, "
        "val, valid or dev, or else a tenth of train",
    )
    augment: tuple[str, ...] | None = _option(
        None,
        "augmentations of training images in place of the variant's own; empty: none; pca_noise "
        "only for variants that define it; any of",
        enum=AUGMENTATIONS,
    )
    pca_noise_until: float = _option(
        1e6,
        "epochs after which PCA colour noise is switched off, rounded up to whole epochs; by "
        "default never",
        lower_bound=0,
        upper_bound=1e6,
    )
    max_unreadable: float = _option(
        MAX_UNREADABLE,
        "largest share of a split's images that may fail to decode, 0 to 1; with more, the run "
        "stops",
        lower_bound=0,
        upper_bound=1,
    )
    cache: str = _option(
        "none",
        "keep decoded training images in memory, or on disk in the model directory",
        enum=CACHES,
    )
    batch_size: int = _option(
        32,
        "images per step, on all devices and workers together (paper §5: 128)",
        lower_bound=1,
    )
    epochs: float = _option(24.0, "passes over the training set", lower_bound=0, upper_bound=1e6)
    steps: int | None = _option(None, "training steps, in place of --epochs", lower_bound=1)
    learning_rate: float = _option(0.01, "initial learning rate (paper §5: 0.01)", lower_bound=0)
    schedule: str | None = _option(
        None,
        "how the learning rate falls: step: at --decay_epochs; plateau: when the validation error "
        "stops improving; cosine: along half a cosine wave, to 0 at the end of the run; constant: "
        "not at all; default: plateau with --plateau_patience, else step",
        enum=SCHEDULES,
    )
    warmup_epochs: float = _option(
        0.0,
        "epochs in which the learning rate rises from near 0, by the same amount each step",
        lower_bound=0,
        upper_bound=1e6,
    )
    decay_epochs: tuple[float, ...] = _option(
        (18.0, 22.0),
        "numbers of epochs after each of which the learning rate is divided by ten; empty: never; "
        "without effect if --plateau_patience is positive",
    )
    plateau_patience: int = _option(
        0,
        "if positive, divide the learning rate by ten after this many validations without a lower "
        "error, in place of --decay_epochs; 0: 3 with --schedule=plateau",
        lower_bound=0,
    )
    plateau_reductions: int = _option(
        3,
        "with --plateau_patience, how often the learning rate is divided by ten; the next plateau "
        "ends the run (paper §5: 3)",
        lower_bound=0,
    )
    momentum: float = _option(0.9, "momentum (paper §5: 0.9)", lower_bound=0, upper_bound=0.9999)
    weight_decay: float = _option(0.0005, "weight decay (paper §5: 0.0005)", lower_bound=0)
    decay_biases: bool = _option(False, "apply weight decay to biases too")
    label_smoothing: float = _option(
        0.0,
        "share of each label that is spread evenly over all classes; in training only",
        lower_bound=0,
        upper_bound=0.9999,
    )
    clip_norm: float = _option(
        0.0,
        "largest norm of the gradient of all variables together; a larger gradient is scaled down "
        "to it; 0: no limit",
        lower_bound=0,
    )
    bias_rate: float = _option(
        1.0, "learning rate of biases, as a multiple of the weights' learning rate", lower_bound=0
    )
    bias_decay_epochs: tuple[float, ...] = _option(
        (),
        "numbers of epochs after each of which the learning rate of biases is divided by ten; "
        "empty: it falls when the weights' rate falls",
    )
    layer_rates: tuple[str, ...] = _option(
        (),
        "items LAYER:EPOCH:MULTIPLIER: from that epoch on, the layer's learning rate is multiplied "
        "by the multiplier. conv1:72:0 freezes conv1 after 72 epochs; conv1/kernel:68:0.1 slows "
        "down its kernels, not its biases. A later item of the same LAYER replaces the earlier "
        "one; those of conv1, those of conv1/kernel and --bias_rate are multiplied with one "
        "another",
    )
    validate_every: float = _option(
        2.0, "epochs between validations", lower_bound=0, upper_bound=1e6
    )
    seed: int = _option(
        0,
        "seed of weights, shuffling, augmentation and dropout",
        lower_bound=0,
        upper_bound=2**31,
    )
    deterministic: bool = _option(
        False, "refuse operations whose result may differ between runs; slower on GPUs"
    )
    strategy: str = _option(
        "auto",
        "one: one device; mirrored: all GPUs of this machine; multi_worker: the processes in "
        "--workers or TF_CONFIG; tpu: the TPU of --tpu; auto: the one of these that fits "
        "--workers, TF_CONFIG, --tpu and the number of GPUs",
        enum=STRATEGIES,
    )
    workers: tuple[str, ...] = _option(
        (),
        "host:port of every process of the run, in the same order for all of them; default: "
        "TF_CONFIG",
    )
    worker_index: int | None = _option(
        None,
        "position of this process in --workers, from 0; worker 0 prints and writes",
        lower_bound=0,
    )
    worker_timeout: float = _option(
        300.0, "seconds to wait for the other workers at the start", lower_bound=1
    )
    tpu: str | None = _option(None, "name of a Cloud TPU, or local on a TPU VM")
    tower_devices: tuple[str, ...] = _option(
        (),
        "two devices, e.g. /GPU:0,/GPU:1, that hold one tower each: half the kernels of every "
        "layer (paper §3.2)",
    )
    logical_cpus: int = _option(
        1,
        "split the CPU into this many devices, to try --strategy=mirrored or --tower_devices",
        lower_bound=1,
    )
    precision: str = _option(
        "float32",
        "precision of activations; weights stay float32, and float16 uses loss scaling",
        enum=PRECISIONS,
    )
    xla: bool = _option(False, "compile the whole training step with XLA")
    accumulate: int = _option(
        1,
        "number of equal parts of a batch, which are computed one after the other to save memory",
        lower_bound=1,
    )
    steps_per_execution: int = _option(
        1,
        "training steps per compiled call, at most; fewer if a call would take more than a second",
        lower_bound=1,
    )
    on_divergence: str = _option(
        "stop",
        "if the loss or a weight is not finite: stop, or go back to the newest checkpoint and "
        "halve the learning rate, at most five times",
        enum=DIVERGENCES,
    )
    stuck_after: int = _option(
        1000,
        "steps after which training warns if the loss is still at chance level; 0: never",
        lower_bound=0,
    )
    save_minutes: float = _option(
        10.0, "minutes between checkpoints; every validation writes one too", lower_bound=0
    )
    keep_checkpoints: int = _option(
        3,
        "number of newest checkpoints to keep; the one with the lowest validation error is kept "
        "too",
        lower_bound=1,
    )
    profile: tuple[float, ...] = _option(
        (),
        "START,STOP: steps to record for TensorBoard's Profile page (pip install "
        "tensorboard-plugin-profile)",
    )
    export: bool = _option(True, "write a SavedModel at the end")

    def __post_init__(self):
        for name in option_fields():
            object.__setattr__(self, name, check_option(name, getattr(self, name)))
        # Parsed here, so that wrong ones are refused here.
        _ = self.frozen_layers, self.new_layers, self.layer_multipliers
        self._check_profile()
        self._check_combinations()

    @property
    def decay(self) -> str:
        """The schedule of the learning rate, one of `SCHEDULES`."""
        return self.schedule or ("plateau" if self.plateau_patience else "step")

    @property
    def patience(self) -> int:
        """Validations without a lower error that `decay` waits for where it is plateau."""
        return self.plateau_patience or _PATIENCE

    @functools.cached_property
    def layer_multipliers(self) -> tuple[LayerRate, ...]:
        """`layer_rates`, in the order of their epochs."""
        return parse_layer_rates(self.layer_rates, self._layers, self.frozen_layers)

    @functools.cached_property
    def frozen_layers(self) -> tuple[str, ...]:
        """`freeze` as names of layers, in the order of the network."""
        return parse_layers(self.freeze, self._layers, "freeze")

    @functools.cached_property
    def new_layers(self) -> tuple[str, ...] | None:
        """`init_exclude` as names of layers, in the order of the network, or None."""
        if self.init_exclude is None:
            return None
        return parse_layers(self.init_exclude, self._layers, "init_exclude")

    @property
    def _layers(self) -> list[str]:
        return weighted_layers(get_variant(self.variant))

    def _check_profile(self) -> None:
        """Refuses a span other than two whole steps."""
        span = self.profile
        whole = all(step % 1 == 0 for step in span)
        if span and not (whole and len(span) == 2 and span[0] < span[1]):
            raise UserError(
                "Expected --profile=START,STOP with two whole steps, the first lower. Received: "
                f"{','.join(f'{step:g}' for step in span)}"
            )

    def _check_combinations(self) -> None:
        """Refuses options that exclude each other."""
        if self.cache != "none" and self.tpu not in (None, "", "local"):
            raise UserError(
                "Expected --cache=none with a TPU of another machine, which cannot read the "
                f"cache. Received: {self.cache}"
            )
        if self.init_exclude is not None and self.init_from is None:
            raise UserError("Expected --init_from with --init_exclude. Received: no --init_from")
        if len(self.frozen_layers) == len(self._layers):
            raise UserError(
                f"Expected --freeze to leave a layer to train. Received: {as_flag(self.freeze)}"
            )
        if self.tower_devices and self.freeze:
            raise UserError(
                "Expected --tower_devices without --freeze: the towers train all layers. "
                "Received: both"
            )
        if self.tower_devices and self.xla:
            raise UserError(
                "Expected --tower_devices without --xla, which compiles for one device. "
                "Received: both"
            )


@functools.cache
def option_fields() -> dict[str, tuple[dataclasses.Field, object]]:
    """The fields of `Options` with their resolved types, by name."""
    kinds = typing.get_type_hints(Options)
    return {field.name: (field, kinds[field.name]) for field in dataclasses.fields(Options)}


def check_option(name: str, value: Any) -> Any:
    """Checks the type, the bounds and the choices of one option.

    Args:
        name: of a field of `Options`.
        value: of it. Numbers and arrays of NumPy's are converted, lists to tuples, and a path to
            text where there are no choices.

    Returns:
        The value as `Options` stores it, augmentations under their present names.

    Raises:
        UserError: it is wrong.
    """
    field, kind = option_fields()[name]
    value = _without_numpy(value)
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is tuple:
        (item, _) = typing.get_args(kind)
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise _wrong(name, f"a tuple of {_KINDS[item]}s", value)
        found = tuple(_convert(name, item, each, f"a list of {_KINDS[item]}s") for each in value)
        if item is float and not all(0 <= number < math.inf for number in found):
            raise _wrong(name, "a list of numbers, none of them negative", as_flag(value))
        if name == "augment":
            found = tuple(_OLD_AUGMENTATIONS.get(each, each) for each in found)
        if "enum" in field.metadata and not set(found) <= set(field.metadata["enum"]):
            choices = ", ".join(field.metadata["enum"])
            raise _wrong(name, f"a list of {choices}, or empty", as_flag(value))
        return found
    if kind is str and isinstance(value, os.PathLike) and "enum" not in field.metadata:
        value = os.fsdecode(value)
    value = _convert(name, kind, value, f"a {_KINDS[kind]}")
    _check_bounds(field, value)
    return value


_INFINITE = 2**63  # TensorFlow's integers end here
_KINDS = {bool: "truth value", int: "whole number", float: "number", str: "string"}


def _convert(name: str, kind: type, value: Any, expected: str) -> Any:
    """A value as bool, int, float or str itself, which JSON can keep; NumPy's are accepted."""
    value = _without_numpy(value)
    if kind is str and isinstance(value, str) and "\0" not in value:  # no file name may have one
        return str.__str__(value)  # of an enumeration: its value
    if kind is bool and isinstance(value, bool):
        return value
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        if kind is int and isinstance(value, numbers.Integral) and abs(value) < _INFINITE:
            return int(value)
        with contextlib.suppress(OverflowError):
            if kind is float and math.isfinite(value):
                return float(value)
    raise _wrong(name, expected, value)


def _without_numpy(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's; it is not imported, because --help need not wait."""
    return value.tolist() if hasattr(value, "tolist") else value


def _check_bounds(field: dataclasses.Field, value: Any) -> None:
    """Refuses a value outside the bounds or the choices of its field."""
    low, high = (field.metadata.get(bound) for bound in ("lower_bound", "upper_bound"))
    if low is not None and value < low:
        raise _wrong(field.name, f"at least {low:g}", value)
    if high is not None and value > high:
        raise _wrong(field.name, f"at most {high:g}", value)
    enum = field.metadata.get("enum")
    if enum and value not in enum:
        raise _wrong(field.name, f"one of {', '.join(enum)}", value)


def _wrong(name: str, expected: str, value: Any) -> UserError:
    return UserError(f"Expected --{name} to be {expected}. Received: {_shown(value)}")


def _shown(value: Any) -> str:
    """A wrong value in one short line; an object of another type by its type as well."""
    plain = value is None or isinstance(value, (bool, int, float, str, list, tuple))
    text = str(value) if plain else f"{value!r}, of type {type(value).__name__}"
    return textwrap.shorten(printable(text), 200, placeholder=" ...")


def with_current_names(values: dict[str, Any]) -> dict[str, Any]:
    """Options from a file that an earlier version may have written, under their present names."""
    values = {OLD_NAMES.get(name, name): value for name, value in values.items()}
    names = values.get("augment")
    if isinstance(names, list | tuple):  # anything else is for `check_option` to refuse
        values["augment"] = [_OLD_AUGMENTATIONS.get(n, n) if type(n) is str else n for n in names]
    return values


def as_flag(value: object) -> bool | int | float | str:
    """An option's value as on a command line: tuples joined by commas, None empty."""
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return "" if value is None else value
