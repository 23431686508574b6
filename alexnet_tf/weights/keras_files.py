"""Keras's files: .weights.h5, .keras and .h5. Only arrays are read; no layer is built from them."""

from __future__ import annotations

import io
import os
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from alexnet_tf.models.variants import VARIANTS
from alexnet_tf.system.errors import UserError
from alexnet_tf.weights.arrays import Arrays, LayerArrays, WeightFile, to_float32

if TYPE_CHECKING:
    import h5py

MAX_BYTES = 600_000_000  # AlexNet without groups in float64 takes 499 MB
_WEIGHTS = "model.weights.h5"  # the member of a .keras file


def read_keras(path: str) -> WeightFile:
    """Reads the weights of a model that was built by this package and saved by Keras.

    Raises:
        UserError: not such a file, damaged, or of another network.
    """
    import h5py

    content: str | io.BytesIO = path
    try:
        if zipfile.is_zipfile(path):
            content = io.BytesIO(_member(path))
        with h5py.File(content, "r") as file:
            name, arrays = (
                _whole_model(file, path) if "model_weights" in file else _weights(file, path)
            )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [""])[0][:100]
        raise UserError(f"{path} is no file of Keras, or it is damaged ({reason})") from None
    if not arrays:
        raise UserError(f"{path} holds no layer with a kernel and a bias")
    variant = VARIANTS.get(name.removeprefix("alexnet_"))
    return WeightFile(path, "a Keras file", arrays, (variant,) if variant else ())


def _member(path: str) -> bytes:
    """The weights in a .keras file."""
    with zipfile.ZipFile(path) as archive:
        info = next((i for i in archive.infolist() if i.filename == _WEIGHTS), None)
        if info is None:
            raise UserError(f"{path} holds no {_WEIGHTS}, as .keras files do")
        if info.file_size > MAX_BYTES:
            raise UserError(f"{path} claims {info.file_size:,} bytes of weights: no AlexNet")
        return archive.read(info)


def _weights(file: h5py.Group, path: str) -> tuple[str, Arrays]:
    """Name of the model and arrays by layer: layers/conv2d/vars/0, named in attributes."""
    name = str(_group(file, "vars", path).attrs.get("name", "")) if "vars" in file else ""
    arrays: Arrays = {}
    layers = _group(file, "layers", path)
    for key in layers:
        variables = _group(_group(layers, key, path), "vars", path)
        if set(variables) == {"0", "1"}:
            layer = str(variables.attrs.get("name", key))
            arrays[layer] = _layer(layer, variables, ("0", "1"), path)
    return name, _in_order(arrays)


def _whole_model(file: h5py.Group, path: str) -> tuple[str, Arrays]:
    """The same of an old .h5 file: model_weights/conv1/conv1/kernel."""
    from alexnet_tf.system.untrusted import parse_json

    arrays: Arrays = {}
    layers = _group(file, "model_weights", path)
    for key in layers:
        outer = _group(layers, key, path)
        inner = _group(outer, key, path) if key in outer else outer
        if {"kernel", "bias"} <= set(inner):
            arrays[key] = _layer(key, inner, ("kernel", "bias"), path)
    config = str(file.attrs.get("model_config", "{}"))[: 1 << 20]
    name = (parse_json(config.encode()).get("config") or {}).get("name", "")
    return str(name), _in_order(arrays)


def _in_order(arrays: Arrays) -> Arrays:
    """Sorted by name, which is the order of conv1 ... fc8."""
    return dict(sorted(arrays.items()))


def _group(parent: h5py.Group, name: str, path: str) -> h5py.Group:
    """A group in the same file; HDF5 can also link to other files."""
    import h5py

    if name not in parent or not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise UserError(f"{path} has no {name[:40]}, or it lies in another file")
    group = parent[name]
    if not isinstance(group, h5py.Group):
        raise UserError(f"{path}: {name[:40]} is no group")
    return group


def _layer(layer: str, group: h5py.Group, names: tuple[str, str], path: str) -> LayerArrays:
    """Kernel and bias.

    Raises:
        UserError: they are too large, lie in another file, or do not belong together.
    """
    import h5py

    arrays = []
    for name in names:
        dataset = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
        if (
            not isinstance(dataset, h5py.Dataset)
            or dataset.external
            or dataset.is_virtual
            or dataset.dtype.kind != "f"
            or dataset.size * dataset.dtype.itemsize > MAX_BYTES
            or dataset.id.get_storage_size() < (1 if dataset.compression else dataset.nbytes)
        ):
            raise UserError(f"{path}: layer {layer[:40]} has no proper array {name}")
        arrays.append(to_float32(np.asarray(dataset), layer, path))
    try:
        return LayerArrays(*arrays)
    except UserError as error:
        raise UserError(f"{path}: layer {layer[:40]} has {error}") from None


_REST = 2**20  # bytes of a file beside the weights, at most


def write_model(path: str, model: object) -> None:
    """Saves a Keras model, or its weights if the name ends so, under a temporary name first.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    import tempfile

    from alexnet_tf.system.files import atomic_rename

    folder, name = os.path.split(os.path.abspath(path))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
        partial = os.path.join(temporary, name)
        if hasattr(os, "posix_fallocate"):  # HDF5 ends the process when a disk is full
            with open(partial, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, 4 * model.count_params() + _REST)
        if name.endswith(".weights.h5"):
            model.save_weights(partial)
        else:
            model.save(partial)
        atomic_rename(partial, path)
