"""Learned arrays between a file and a network: layouts, and the variants that they fit."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Iterator

import numpy as np

from alexnet_tf.models.layer_summary import layer_summary
from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import VARIANTS
from alexnet_tf.system.errors import UserError, first_line
from alexnet_tf.system.text import printable
from alexnet_tf.weights.pickles import UnsafePickleError

MAX_BYTES = 800_000_000  # of a file, or of its arrays; AlexNet with Adam's moments takes 732 MB


@dataclasses.dataclass(frozen=True)
class LayerArrays:
    """What one layer has learnt.

    Attributes:
        kernel: float32 [height, width, inputs / groups, filters], or [inputs, units]. The inputs of
            the first fully connected layer are in the order height, width, channel.
        bias: float32 [filters] or [units].
    """

    kernel: np.ndarray
    bias: np.ndarray

    def __post_init__(self):
        if self.kernel.ndim not in (2, 4) or self.bias.shape != self.kernel.shape[-1:]:
            raise UserError(
                f"a kernel of shape {self.kernel.shape} with a bias of shape {self.bias.shape}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The kernel's."""
        return self.kernel.shape


Arrays = dict[str, LayerArrays]  # by layer: conv1 ... fc8


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """The arrays of a file, in this package's layout.

    Attributes:
        path: of the file.
        format: for messages: "a Caffe model".
        arrays: by layer.
        conventions: the variants whose conventions the numbers may follow (channel order, response
            normalisation, dropout). Empty: the file does not say, and the reader's own are meant.
    """

    path: str
    format: str
    arrays: Arrays
    conventions: tuple[Variant, ...] = ()


@contextlib.contextmanager
def reading(path: str, kind: str) -> Iterator[None]:
    """Turns every error of a damaged file into one line.

    Args:
        path: of the file.
        kind: that it should have, for the message: "PyTorch file".
    """
    try:
        yield
    except (UserError, UnsafePickleError):
        raise
    except Exception as error:  # a damaged file can end in any of them
        reason = printable(first_line(error, 100))
        raise UserError(f"{path} is no {kind}, or it is damaged ({reason})") from None


def from_channels_first(kernels: dict[str, tuple[np.ndarray, np.ndarray]], path: str) -> Arrays:
    """Caffe's and PyTorch's layout to this package's.

    Args:
        kernels: by layer in order of the network: kernel [filters, inputs / groups, height, width]
            or [units, inputs], and bias. Inputs of the first fully connected layer are in the order
            channel, height, width.
        path: of the file, for errors.

    Raises:
        UserError: the first fully connected layer does not fit the last convolution.
    """
    arrays: Arrays = {}
    channels = 0  # of the last convolution, before the first fully connected layer
    for name, (kernel, bias) in kernels.items():
        try:
            if kernel.ndim == 4:
                channels, kernel = kernel.shape[0], kernel.transpose(2, 3, 1, 0)
            elif kernel.ndim == 2 and channels:
                size = _map_size(kernel.shape[1], channels)
                kernel = kernel.reshape(-1, channels, size, size).transpose(2, 3, 1, 0)
                kernel, channels = kernel.reshape(-1, kernel.shape[-1]), 0
            else:
                kernel = kernel.T
            arrays[name] = LayerArrays(*map(np.ascontiguousarray, (kernel, bias)))
        except UserError as error:
            raise UserError(f"{path}: layer {name} has {error}") from None
    return arrays


def to_channels_first(arrays: Arrays) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The inverse of `from_channels_first`."""
    kernels = {}
    channels = 0
    for name, layer in arrays.items():
        kernel = layer.kernel
        if kernel.ndim == 4:
            channels, kernel = kernel.shape[-1], kernel.transpose(3, 2, 0, 1)
        elif channels:
            size = _map_size(len(kernel), channels)
            kernel = kernel.reshape(size, size, channels, -1).transpose(3, 2, 0, 1)
            kernel, channels = kernel.reshape(len(kernel), -1), 0
        else:
            kernel = kernel.T
        kernels[name] = tuple(map(np.ascontiguousarray, (kernel, layer.bias)))
    return kernels


def _map_size(inputs: int, channels: int) -> int:
    """Height and width of the feature maps that the first fully connected layer sees."""
    size = math.isqrt(inputs // channels)
    if size * size * channels != inputs:
        raise UserError(f"{inputs:,} inputs, which are not square maps of {channels} channels")
    return size


def kernel_shapes(variant: Variant) -> dict[str, tuple[int, ...]]:
    """Shapes of all kernels of a variant, with 1,000 classes."""
    return {
        layer.name: (
            layer.kernel,
            layer.kernel,
            layer.inputs[-1] // layer.towers,
            layer.outputs[-1],
        )
        if layer.kernel
        else (layer.inputs[-1], layer.outputs[-1])
        for layer in layer_summary(variant)
    }


def fitting_variants(arrays: Arrays) -> tuple[str, ...]:
    """Names of the variants whose layers have these shapes, with any number of classes."""
    found = []
    for name, variant in VARIANTS.items():
        shapes = kernel_shapes(variant)
        last = list(shapes)[-1]
        if list(shapes) == list(arrays) and all(
            arrays[layer].shape[: -1 if layer == last else None]
            == shape[: -1 if layer == last else None]
            for layer, shape in shapes.items()
        ):
            found.append(name)
    return tuple(found)


def advice(arrays: Arrays) -> str:
    """A sentence that names the variants which the arrays fit."""
    if names := fitting_variants(arrays):
        return f"The file fits the variant{'s' if len(names) > 1 else ''} {', '.join(names)}"
    return "The file fits no variant of this package"


def check_finite(arrays: Arrays, path: str) -> None:
    """Refuses arrays with values that are not finite.

    Raises:
        UserError: names the first layer that has one.
    """
    for name, layer in arrays.items():
        if not (np.isfinite(layer.kernel).all() and np.isfinite(layer.bias).all()):
            raise UserError(f"{path}: layer {name} holds values that are not finite")


def pair_up(named: dict[str, np.ndarray], layers: dict[str, tuple[str, str]], path: str) -> dict:
    """Kernels and biases by layer, from arrays by name.

    Args:
        named: the arrays of a file.
        layers: names of kernel and bias of each layer, in order of the network.
        path: of the file, for errors.

    Raises:
        UserError: an array is missing, left over, or not of numbers; or they are too large.
    """
    wanted = [name for names in layers.values() for name in names]
    if missing := [name for name in wanted if name not in named]:
        raise UserError(f"{path}: {listing(missing)} missing; the file has {listing(named)}")
    if left_over := [name for name in named if name not in wanted]:
        raise UserError(f"{path}: {listing(left_over)} left over, which no layer of AlexNet takes")
    if sum(array.nbytes for array in named.values()) > MAX_BYTES:
        raise UserError(f"{path} has more bytes of numbers than an AlexNet: over {MAX_BYTES:,}")
    return {
        layer: tuple(to_float32(named[n], n, path) for n in names)
        for layer, names in layers.items()
    }


def to_float32(array: np.ndarray, name: str, path: str) -> np.ndarray:
    """The array as float32.

    Raises:
        UserError: not floating point, or empty.
    """
    if array.dtype.kind != "f":
        raise UserError(f"{path}: {name} is of type {array.dtype}, not of floating point numbers")
    if not array.size:
        raise UserError(f"{path}: {name} is empty: it has the shape {array.shape}")
    with np.errstate(over="ignore"):  # becomes infinite, which `check_finite` refuses
        return array.astype(np.float32, copy=False)


def listing(names: Iterable[str], most: int = 8) -> str:
    """Names for a message, at most `most` of them."""
    names = [printable(str(name)) for name in names]
    names = [name if len(name) <= 60 else name[:57] + "..." for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more
