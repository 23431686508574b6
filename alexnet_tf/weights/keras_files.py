"""Keras's files: .weights.h5, .keras and .h5. Only arrays are read; no layer is built from them."""

from __future__ import annotations

import io
import os
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from alexnet_tf.models.variants import VARIANTS
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.text import printable
from alexnet_tf.weights.archives import open_zip
from alexnet_tf.weights.arrays import (
    MAX_BYTES,
    Arrays,
    LayerArrays,
    WeightFile,
    to_float32,
)

if TYPE_CHECKING:
    import h5py

_MAX_OBJECTS = 1_000  # an AlexNet with the state of its optimizer has about a hundred
_WEIGHTS = "model.weights.h5"  # the member of a .keras file


def read_keras(path: str) -> WeightFile:
    """Reads the weights of a model that was built by this package and saved by Keras.

    Raises:
        UserError: of another network.
        Exception: not such a file, or damaged; `weights.files.read_weights` says it in one line.
    """
    import h5py

    content = io.BytesIO(_member(path)) if zipfile.is_zipfile(path) else path
    with h5py.File(content, "r") as file:
        check_datasets(file, path)
        name, arrays = _whole_model(file, path) if "model_weights" in file else _weights(file, path)
    if not arrays:
        raise UserError(f"{path} holds no layer with a kernel and a bias")
    variant = VARIANTS.get(name.removeprefix("alexnet_"))
    return WeightFile(path, "a Keras file", arrays, (variant,) if variant else ())


def read_config(path: str) -> dict:
    """The description of a saved model, after a check of its arrays.

    Raises:
        UserError, ValueError, OSError: no .keras or .h5 file, damaged, or too large.
    """
    import h5py

    from alexnet_tf.system.untrusted import parse_json

    zipped = zipfile.is_zipfile(path)
    with h5py.File(io.BytesIO(_member(path)) if zipped else path, "r") as file:
        check_datasets(file, path)
        config = _member(path, "config.json", 1 << 24) if zipped else file.attrs["model_config"]
    return parse_json(config if isinstance(config, bytes) else str(config).encode())


def _member(path: str, name: str = _WEIGHTS, most: int = MAX_BYTES) -> bytes:
    """A file in a .keras file, of at most so many bytes."""
    with open_zip(path) as archive:
        if name not in archive.namelist():
            raise UserError(f"{path} holds no {name}, as .keras files do")
        info = archive.getinfo(name)
        if info.file_size > most:
            raise UserError(f"{path} claims {info.file_size:,} bytes of {name}: no AlexNet")
        with archive.open(info) as member:
            return member.read(most)  # at most, whatever the archive says


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


def check_datasets(file: h5py.File, path: str) -> None:
    """Refuses arrays in other files, and arrays that take more memory than the file.

    HDF5 can link to other files, compute arrays from them, and claim any shape for compressed ones
    or for those that were never written. Keras uses nothing of that.

    Raises:
        UserError: names the first such array.
    """
    import h5py

    total, groups, seen = 0, [file], 0
    while groups:
        group = groups.pop()
        for name in group:
            seen += 1
            where = f"{path}: {printable(name)[:40]}"
            if seen > _MAX_OBJECTS:
                raise UserError(f"{path} has more than {_MAX_OBJECTS:,} groups and arrays")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise UserError(f"{where} lies in another file, or is a link")
            value = group[name]
            if isinstance(value, h5py.Group):
                groups.append(value)
                continue
            if not isinstance(value, h5py.Dataset) or value.dtype.kind not in "fiubSO":
                raise UserError(f"{where} is no array of numbers")
            if value.external or value.is_virtual:
                raise UserError(f"{where} lies in another file")
            if value.chunks or value.id.get_storage_size() < value.nbytes:
                raise UserError(f"{where} is compressed, or has fewer values than it claims")
            total += value.nbytes
            if total > MAX_BYTES:
                raise UserError(f"{path} has more bytes of numbers than an AlexNet")


def _group(parent: h5py.Group, name: str, path: str) -> h5py.Group:
    """A group of a file that `check_datasets` has seen."""
    import h5py

    if not isinstance(parent.get(name), h5py.Group):
        raise UserError(f"{path} has no group {printable(name)[:40]}")
    return parent[name]


def _layer(layer: str, group: h5py.Group, names: tuple[str, str], path: str) -> LayerArrays:
    """Kernel and bias.

    Raises:
        UserError: they are no numbers, or do not belong together.
    """
    arrays = [to_float32(np.asarray(group[name]), layer, path) for name in names]
    try:
        return LayerArrays(*arrays)
    except UserError as error:
        raise UserError(f"{path}: layer {printable(layer)[:40]} has {error}") from None


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
        if name.endswith(".weights.h5"):
            model.save_weights(partial)
        else:
            model.save(partial)
        atomic_rename(partial, path)
