"""Reads weights from, and writes them to, a file of any format that this package knows."""

from __future__ import annotations

import os
import stat

from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import CAFFE
from alexnet_tf.system.errors import UserError
from alexnet_tf.weights.arrays import (
    MAX_BYTES,
    Arrays,
    WeightFile,
    advice,
    check_finite,
    kernel_shapes,
    reading,
)
from alexnet_tf.weights.caffe import read_caffemodel, write_caffemodel
from alexnet_tf.weights.keras_files import read_keras
from alexnet_tf.weights.numpy_files import read_npy, write_npy
from alexnet_tf.weights.reconcile import irreconcilable, reconcile
from alexnet_tf.weights.torch_files import (
    read_pth,
    read_safetensors,
    write_pth,
    write_safetensors,
)

READERS = {
    ".caffemodel": read_caffemodel,
    ".npy": read_npy,
    ".pth": read_pth,
    ".pt": read_pth,
    ".safetensors": read_safetensors,
    ".h5": read_keras,
    ".keras": read_keras,
}


def read_weights(path: str | os.PathLike) -> WeightFile:
    """Reads a file of weights; its suffix says the format.

    Args:
        path: of a .caffemodel, .npy, .pth, .pt, .safetensors, .weights.h5, .h5 or .keras file.

    Raises:
        UserError: no such file, of no known format, damaged, of another network, or it asks to run
            something.
    """
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = getattr(error, "strerror", error)
        raise UserError(f"The weights {path} cannot be read: {reason}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"The weights {path} are no regular file")
    if status.st_size > MAX_BYTES:
        raise UserError(
            f"{path} has {status.st_size:,} bytes; an AlexNet has at most {MAX_BYTES:,}"
        )
    if suffix not in READERS:
        raise UserError(f"Expected weights in a file of {', '.join(READERS)}. Received: {path}")
    with reading(path, f"{suffix} file"):
        found = READERS[suffix](path)
    check_finite(found.arrays, path)
    return found


def arrays_for(
    found: WeightFile,
    target: Variant,
    shapes: dict[str, tuple[int, ...]],
    exclude: tuple[str, ...] = (),
) -> Arrays:
    """The arrays of a file as a network needs them, for all of its layers that are not excluded.

    Args:
        found: what was read.
        target: the variant of the network.
        shapes: of the network's kernels, by layer; without fc6 to fc8 for a network without top.
        exclude: layers of the network that keep their own weights.

    Raises:
        UserError: an array is missing or has another shape, or the file's network computes
            something else. The message names the variants that fit.
    """
    if unknown := [name for name in exclude if name not in kernel_shapes(target)]:
        raise UserError(
            f"There is no layer {unknown[0]}. Expected {', '.join(kernel_shapes(target))}"
        )
    wanted = {name: shape for name, shape in shapes.items() if name not in exclude}
    for name, shape in wanted.items():
        if name not in found.arrays:
            raise UserError(f"{found.path} holds no {name}. {advice(found.arrays)}")
        if found.arrays[name].shape != shape:
            raise UserError(_wrong_shape(found, name, shape, wanted))
    known = kernel_shapes(target)
    if left_over := [name for name in found.arrays if name not in known]:
        raise UserError(
            f"{found.path} holds {left_over[0]}, which {target.name} does not have. "
            f"{advice(found.arrays)}"
        )
    arrays = {name: layer for name, layer in found.arrays.items() if name in wanted}
    if not found.conventions:
        return arrays
    fitting = [source for source in found.conventions if not irreconcilable(source, target)]
    return reconcile(arrays, (fitting or found.conventions)[0], target)


def _wrong_shape(
    found: WeightFile, name: str, shape: tuple[int, ...], wanted: dict[str, tuple[int, ...]]
) -> str:
    received = found.arrays[name].shape
    text = f"{found.path} holds {name} of shape {received}; the network's has {shape}. "
    if name == list(wanted)[-1] and received[:-1] == shape[:-1]:
        return text + (
            f"To take all other layers and begin {name} anew, exclude it: "
            f'weights_exclude=("{name}",) in Python, --init_exclude={name} in training'
        )
    return text + advice(found.arrays)


def write_weights(path: str | os.PathLike, arrays: Arrays, variant: Variant) -> None:
    """Writes a file that other programs read: .caffemodel, .npy, .pth, .pt or .safetensors.

    Args:
        path: of the file; an existing one is replaced.
        arrays: by layer.
        variant: whose conventions they follow.

    Raises:
        UserError: the format is unknown, or cannot hold this variant.
        OSError: the disk is full, or cannot be written.
    """
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".caffemodel":
        write_caffemodel(path, arrays, variant)
    elif suffix == ".npy":
        if differences := irreconcilable(variant, CAFFE):
            raise UserError(
                f"A .npy file holds a network like {CAFFE.name}; {variant.name} differs: "
                f"{'; '.join(differences)}"
            )
        write_npy(path, reconcile(arrays, variant, CAFFE))
    elif suffix in (".pth", ".pt"):
        write_pth(path, arrays, variant)
    elif suffix == ".safetensors":
        write_safetensors(path, arrays, variant)
    else:
        raise UserError(f"Expected a file of {', '.join(READERS)}. Received: {path}")
