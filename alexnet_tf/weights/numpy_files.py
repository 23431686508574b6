"""NumPy's files: one array, or the dictionary of layers of the widespread bvlc_alexnet.npy."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.lib import format as npy_format

from alexnet_tf.models.variants import CAFFE
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.text import printable
from alexnet_tf.system.untrusted import read_bytes
from alexnet_tf.weights.arrays import (
    MAX_BYTES,
    Arrays,
    LayerArrays,
    WeightFile,
    listing,
    reading,
    to_float32,
)
from alexnet_tf.weights.pickles import UnsafePickleError, load_numpy

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def _open(path: str) -> tuple[np.dtype, tuple[int, ...], bool, io.BytesIO]:
    """Type, shape, order and the file after its header.

    Raises:
        UserError: not such a file.
    """
    file = io.BytesIO(read_bytes(path, MAX_BYTES))
    with reading(path, ".npy file"):
        version = npy_format.read_magic(file)
        read = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise UserError(f"{path} is a .npy file of the version {version}, expected 1 or 2")
        shape, fortran, dtype = read(file, max_header_size=10_000)
        return dtype, shape, fortran, file


def read_array(path: str) -> np.ndarray:
    """One array of numbers.

    Raises:
        UserError: not such a file.
    """
    dtype, shape, fortran, file = _open(path)
    content = file.read()
    if dtype.hasobject or dtype.kind not in "fiu":
        raise UserError(f"{path} holds no numbers but {printable(str(dtype))[:40]}")
    if math.prod(shape) * dtype.itemsize != len(content):
        raise UserError(f"{path} claims shape {shape} and holds {len(content):,} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def read_npy(path: str) -> WeightFile:
    """Reads bvlc_alexnet.npy: a pickled dictionary from layer to [kernel, bias].

    It was made from Caffe's bvlc_alexnet. Kernels are [height, width, inputs / groups, filters],
    fully connected ones [inputs, units], and fc6's inputs are in the order height, width, channel,
    as in this package. The input is BGR.

    Raises:
        UserError: not such a file, damaged, or it asks to run something.
    """
    dtype, _, _, file = _open(path)
    if not dtype.hasobject:
        raise UserError(f"{path} holds one array, not a dictionary of layers")
    try:
        layers = load_numpy(file)
    except UnsafePickleError as error:
        raise UserError(f"{path} was not read: {printable(str(error))}") from None
    while isinstance(layers, list) and len(layers) == 1:
        layers = layers[0]  # NumPy wraps the dictionary in an array of one object
    if not isinstance(layers, dict) or set(layers) != set(LAYERS):
        found = listing(layers) if isinstance(layers, dict) else type(layers).__name__
        raise UserError(f"{path} is no AlexNet: it has {found}. Expected {', '.join(LAYERS)}")
    arrays: Arrays = {}
    for name in LAYERS:
        pair = layers[name]
        if isinstance(pair, dict):  # a later version of the same converter
            pair = [pair.get("weights"), pair.get("biases")]
        if not isinstance(pair, list) or not all(isinstance(a, np.ndarray) for a in pair):
            raise UserError(f"{path}: layer {name} is not a kernel and a bias")
        kernel, bias = (to_float32(array, name, path) for array in pair)
        try:
            arrays[name] = LayerArrays(kernel, bias.reshape(-1))
        except UserError as error:
            raise UserError(f"{path}: layer {name} has {error}") from None
    return WeightFile(path, "bvlc_alexnet.npy", arrays, (CAFFE,))


def write_npy(path: str, arrays: Arrays) -> None:
    """Writes what `read_npy` reads.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    from alexnet_tf.system.files import write_atomically

    layers = {name: [layer.kernel, layer.bias] for name, layer in arrays.items()}
    with write_atomically(path) as file:
        holder = np.empty((), object)
        holder[()] = layers
        np.save(file, holder, allow_pickle=True)  # to write a pickle is safe
