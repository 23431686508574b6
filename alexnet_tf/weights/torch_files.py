"""State dictionaries of PyTorch: .pth in its three formats, and .safetensors. Needs no PyTorch.

Source of the formats: `torch/serialization.py` (`_save`, `_legacy_save`, and `legacy_load` for the
tar archives of versions before 0.2); names of the arrays: torchvision's `models/alexnet.py`.
"""

from __future__ import annotations

import functools
import io
import itertools
import struct
import tarfile
import zipfile
from collections.abc import Callable

import numpy as np

from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import ONE_WEIRD_TRICK, VARIANTS
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.text import printable
from alexnet_tf.system.untrusted import read_bytes
from alexnet_tf.weights.archives import open_zip
from alexnet_tf.weights.arrays import (
    MAX_BYTES,
    Arrays,
    WeightFile,
    from_channels_first,
    listing,
    pair_up,
    to_channels_first,
)
from alexnet_tf.weights.pickles import Storage, StorageType, Tensor, UnsafePickleError, load_torch

_MAGIC = 0x1950A86A20F9469CFC6C  # of `_legacy_save`

# torchvision's modules, by layer.
TORCHVISION = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}
LAYERS = tuple(TORCHVISION)


def read_pth(path: str) -> WeightFile:
    """Reads a state dictionary that `torch.save` wrote, of torchvision's alexnet or of ours.

    Raises:
        UserError: of another network, or it asks to run something.
        Exception: not such a file, or damaged; `weights.files.read_weights` says it in one line.
    """
    try:
        read: Callable = _read_legacy
        if zipfile.is_zipfile(path):
            read = _read_zip
        elif tarfile.is_tarfile(path):
            read = _read_tar
        value, numbers = read(path)
        if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
            value = value["state_dict"]  # as many training scripts save it
        if not isinstance(value, dict):
            raise UnsafePickleError(f"it holds {type(value).__name__}, not a state dictionary")
        named = {
            str(name).removeprefix("module."): tensor.array(numbers(tensor.storage))
            for name, tensor in value.items()
            if isinstance(tensor, Tensor)
        }
    except UnsafePickleError as error:
        raise UserError(f"{path} was not read: {printable(str(error))}") from None
    return _weight_file(path, "a PyTorch state dictionary", named, {})


def read_safetensors(path: str) -> WeightFile:
    """Reads a .safetensors file with torchvision's names, or with ours (conv1.weight ... fc8.bias).

    Raises:
        UserError: of another network.
        Exception: not such a file, or damaged; `weights.files.read_weights` says it in one line.
    """
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        metadata = file.metadata() or {}
        named = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return _weight_file(path, "a .safetensors file", named, metadata)


def _weight_file(path: str, form: str, named: dict[str, np.ndarray], metadata: dict) -> WeightFile:
    """Pairs the arrays up by torchvision's names or by the layers' own."""
    for modules in (TORCHVISION, {layer: layer for layer in LAYERS}):
        if any(f"{module}.weight" in named for module in modules.values()):
            break
    else:
        raise UserError(
            f"{path} is no AlexNet: it has {listing(named)}. Expected features.0.weight, as "
            "torchvision's alexnet has, or conv1.weight"
        )
    layers = {layer: (f"{m}.weight", f"{m}.bias") for layer, m in modules.items()}
    kernels = pair_up(named, layers, path)
    conventions: tuple[Variant, ...] = ()
    if metadata.get("variant") in VARIANTS:
        conventions = (VARIANTS[metadata["variant"]],)
    elif modules is TORCHVISION:
        conventions = (ONE_WEIRD_TRICK,)
    return WeightFile(path, form, from_channels_first(kernels, path), conventions)


def state_dict(arrays: Arrays, variant: Variant) -> dict[str, np.ndarray]:
    """Names and arrays as PyTorch has them: torchvision's names for its own network."""
    modules = TORCHVISION if variant.name == ONE_WEIRD_TRICK.name else {n: n for n in arrays}
    named = {}
    for layer, (kernel, bias) in to_channels_first(arrays).items():
        named[f"{modules[layer]}.weight"], named[f"{modules[layer]}.bias"] = kernel, bias
    return named


def write_safetensors(path: str, arrays: Arrays, variant: Variant) -> None:
    """Writes what `read_safetensors` reads, and `torch.nn.Module.load_state_dict` takes.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    from safetensors.numpy import save

    from alexnet_tf.system.files import write_atomically

    content = save(state_dict(arrays, variant), {"format": "pt", "variant": variant.name})
    with write_atomically(path) as file:
        file.write(content)


def write_pth(path: str, arrays: Arrays, variant: Variant) -> None:
    """Writes a state dictionary by `torch.save`.

    Raises:
        UserError: PyTorch is not installed.
        OSError: the disk is full, or cannot be written.
    """
    try:
        import torch
    except ImportError:
        raise UserError(
            f"PyTorch, which writes {path}, is not installed. Write .safetensors instead: PyTorch "
            "reads it with safetensors.torch.load_file"
        ) from None
    from collections import OrderedDict

    from alexnet_tf.system.files import write_atomically

    tensors = OrderedDict(
        (name, torch.from_numpy(array)) for name, array in state_dict(arrays, variant).items()
    )
    with write_atomically(path) as file:
        torch.save(tensors, file)


def _storage(pid: object) -> Storage:
    """What a pickle says about a storage: ("storage", type, key, device, number of elements)."""
    if (
        not isinstance(pid, tuple)
        or len(pid) < 5
        or pid[0] != "storage"
        or not isinstance(pid[1], StorageType)
        or not isinstance(pid[2], str | int)
        or not isinstance(pid[4], int)
    ):
        raise UnsafePickleError("it holds a whole model, not a state dictionary")
    if len(pid) > 5 and pid[5] is not None:
        raise UnsafePickleError("its storages are parts of others, as only PyTorch before 0.4 did")
    return Storage(str(pid[2]), pid[1], pid[4])


def _numbers(content: bytes, storage: Storage) -> np.ndarray:
    """All numbers of a storage."""
    if len(content) != storage.numel * storage.kind.dtype.itemsize:
        raise UnsafePickleError(
            f"a storage claims {storage.numel:,} numbers and holds {len(content):,} bytes"
        )
    return np.frombuffer(content, storage.kind.dtype)


def _read_zip(path: str) -> tuple[object, Callable[[Storage], np.ndarray]]:
    """PyTorch's format since 1.6: a pickle, and a member for each storage."""
    with open_zip(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise UnsafePickleError("it has no data.pkl, as files of torch.save have")
        if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
            raise UnsafePickleError("its members are compressed, which torch.save never does")
        if sum(info.file_size for info in members.values()) > MAX_BYTES:
            raise UnsafePickleError("its members claim more bytes than an AlexNet has")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in members and archive.read(f"{folder}byteorder") != b"little":
            raise UnsafePickleError("its numbers are big-endian")
        value = load_torch(io.BytesIO(archive.read(pickles[0])), _storage)

    @functools.cache  # of several tensors in one storage
    def numbers(storage: Storage) -> np.ndarray:
        """All numbers of a storage, from its member of the archive."""
        name = f"{folder}data/{storage.key}"
        if name not in members:
            raise UnsafePickleError(f"its storage {storage.key[:40]!r} is missing")
        with open_zip(path) as archive:
            return _numbers(archive.read(members[name]), storage)

    return value, numbers


def _read_legacy(path: str) -> tuple[object, Callable[[Storage], np.ndarray]]:
    """PyTorch's format before 1.6: five pickles, then the storages one after the other."""
    file = io.BytesIO(read_bytes(path, MAX_BYTES))
    if load_torch(file, _storage) != _MAGIC:
        raise UnsafePickleError("it does not begin as files of torch.save do")
    load_torch(file, _storage)  # version of the format
    system = load_torch(file, _storage)
    if not isinstance(system, dict) or not system.get("little_endian", True):
        raise UnsafePickleError("its numbers are big-endian")
    storages: dict[str, Storage] = {}

    def find(pid: object) -> Storage:
        """The storage that a pickle names; the same one for the same key."""
        storage = _storage(pid)
        return storages.setdefault(storage.key, storage)

    value = load_torch(file, find)
    keys = load_torch(file, _storage)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise UnsafePickleError("its list of storages is damaged")
    if sorted(keys) != sorted(storages):
        raise UnsafePickleError("its list of storages does not fit")
    contents = {key: _read_storage(file, storages[key]) for key in keys}
    return value, lambda storage: contents[storage.key]


def _read_storage(file: io.BufferedIOBase, storage: Storage) -> np.ndarray:
    """A storage: the number of elements as int64, and the elements."""
    (count,) = struct.unpack("<q", file.read(8))
    if count != storage.numel:
        raise UnsafePickleError(f"a storage claims {storage.numel:,} and {count:,} numbers")
    return _numbers(file.read(count * storage.kind.dtype.itemsize), storage)


def _read_tar(path: str) -> tuple[object, Callable[[Storage], np.ndarray]]:
    """PyTorch's format before 0.2: a tar archive of storages, tensors and a pickle."""
    parts = {}
    with tarfile.open(path, "r:") as archive:
        for member in itertools.islice(archive, 10):  # it has three or four
            if member.isreg() and not member.issparse() and member.size <= MAX_BYTES:
                parts[member.name] = io.BytesIO(archive.extractfile(member).read())
    if missing := [name for name in ("storages", "tensors", "pickle") if name not in parts]:
        raise UnsafePickleError(f"its member {missing[0]} is missing, or is no plain file")
    contents: dict[str, np.ndarray] = {}
    storages: dict[str, Storage] = {}
    file = parts["storages"]
    for _ in range(_count(load_torch(file, _storage))):
        key, _, kind = _fields(load_torch(file, _storage))
        if not isinstance(kind, StorageType):
            raise UnsafePickleError("a storage has no type")
        at = file.tell()
        (count,) = struct.unpack("<q", file.read(8))
        file.seek(at)
        storages[_tar_key(key)] = Storage(_tar_key(key), kind, count)
        contents[_tar_key(key)] = _read_storage(file, storages[_tar_key(key)])
    if load_torch(file, _storage):
        raise UnsafePickleError("its storages share numbers")
    tensors: dict[str, Tensor] = {}
    file = parts["tensors"]
    for _ in range(_count(load_torch(file, _storage))):
        key, storage, _ = _fields(load_torch(file, _storage))
        (ndim,) = struct.unpack("<i4x", file.read(8))
        if not 0 <= ndim <= 8:
            raise UnsafePickleError(f"a tensor has {ndim} dimensions")
        shape = struct.unpack(f"<{ndim}q", file.read(8 * ndim))
        stride = struct.unpack(f"<{ndim}q", file.read(8 * ndim))
        (offset,) = struct.unpack("<q", file.read(8))
        tensors[_tar_key(key)] = Tensor(storages[_tar_key(storage)], offset, shape, stride)
    value = load_torch(parts["pickle"], lambda pid: tensors[_tar_key(pid)])
    return value, lambda storage: contents[storage.key]


def _count(value: object) -> int:
    """A number of things that a file claims to hold."""
    if not isinstance(value, int) or not 0 <= value <= 10_000:
        raise UnsafePickleError("it claims a number of arrays that no AlexNet has")
    return value


def _fields(value: object) -> tuple:
    """The three fields of a storage or a tensor: key, another key or a place, type."""
    if not isinstance(value, tuple) or len(value) != 3:
        raise UnsafePickleError("its description of an array is damaged")
    return value


def _tar_key(key: object) -> str:
    """The key of a storage or a tensor: an integer, which persistent ids have as text."""
    if not isinstance(key, int | str):
        raise UnsafePickleError("its description of an array is damaged")
    return str(key)
