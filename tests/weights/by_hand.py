"""Files of Caffe, NumPy and PyTorch, byte by byte, as the programs of their time wrote them."""

import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np

# Protocol buffers


def field(number, value):
    """A field of a message: an integer, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value):
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def old_blob(array, double=False):
    """`BlobProto` with num, channels, height and width."""
    shape = (1,) * (4 - array.ndim) + array.shape
    numbers = field(8, np.float64(array).tobytes()) if double else field(5, array.tobytes())
    return b"".join(field(i, n) for i, n in enumerate(shape, start=1)) + numbers


def blob(array, double=False):
    """`BlobProto` with a `BlobShape`."""
    shape = field(1, b"".join(map(varint, array.shape)))
    numbers = field(8, np.float64(array).tobytes()) if double else field(5, array.tobytes())
    return field(7, shape) + numbers


_V1 = {"Convolution": 4, "InnerProduct": 14, "LRN": 15, "Pooling": 17, "ReLU": 18}


def v1_layer(name, kind, blobs=()):
    """A `layers` message."""
    content = field(4, name.encode()) + field(5, _V1[kind])
    return field(2, content + b"".join(field(6, each) for each in blobs))


def layer(name, kind, blobs=(), extra=b""):
    """A `layer` message."""
    content = field(1, name.encode()) + field(2, kind.encode()) + extra
    return field(100, content + b"".join(field(7, each) for each in blobs))


def lrn(alpha, k=None, beta=0.75):
    """The `lrn_param` of a `layer`."""
    content = varint(2 << 3 | 5) + struct.pack("<f", alpha)
    content += varint(3 << 3 | 5) + struct.pack("<f", beta)
    if k is not None:
        content += varint(5 << 3 | 5) + struct.pack("<f", k)
    return field(118, field(1, 5) + content)


# Pickles


def text(value):
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value):
    return b"J" + struct.pack("<i", value)


def tuple_of(*parts):
    return b"(" + b"".join(parts) + b"t"


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def numbers(values):
    return tuple_of(*map(number, values))


def old_string(value):
    """`str` of Python 2."""
    return b"T" + struct.pack("<i", len(value)) + value


def python2_array(array, multiarray="numpy.core.multiarray"):
    """An array as Python 2 pickled it."""
    dtype = name("numpy", "dtype") + tuple_of(old_string(b"f4"), number(0), number(1)) + b"R"
    dtype += tuple_of(number(3), old_string(b"<"), b"NNN", number(-1), number(-1), number(0)) + b"b"
    state = tuple_of(number(1), numbers(array.shape), dtype, b"\x89", old_string(array.tobytes()))
    empty = tuple_of(name("numpy", "ndarray"), numbers([0]), old_string(b"b"))
    return name(multiarray, "_reconstruct") + empty + b"R" + state + b"b"


def object_npy(pickled):
    """A .npy file of one object."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickled


def python2_npy(layers, multiarray="numpy.core.multiarray"):
    """bvlc_alexnet.npy of Python 2: a dictionary in an array of one object."""
    items = b""
    for key, pair in layers.items():
        arrays = b"".join(python2_array(array, multiarray) for array in pair)
        items += old_string(key.encode()) + b"](" + arrays + b"e"
    dtype = name("numpy", "dtype") + tuple_of(old_string(b"O8"), number(0), number(1)) + b"R"
    dtype += (
        tuple_of(number(3), old_string(b"|"), b"NNN", number(-1), number(-1), number(63)) + b"b"
    )
    state = tuple_of(number(1), b")", dtype, b"\x89", b"](}(" + items + b"ue")
    empty = tuple_of(name("numpy", "ndarray"), numbers([0]), old_string(b"b"))
    return object_npy(b"\x80\x02" + name(multiarray, "_reconstruct") + empty + b"R" + state + b"b.")


def strides(shape):
    return [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]


def torch_tensor(key, shape, storage="FloatStorage", view=None, numel=None):
    """A pickled tensor; `view` is a field that only the format before 1.6 has."""
    numel = int(np.prod(shape)) if numel is None else numel
    parts = [text("storage"), name("torch", storage), text(key), text("cpu"), number(numel)]
    pid = tuple_of(*parts, *([view] if view else [])) + b"Q"
    hooks = name("collections", "OrderedDict") + b")R"
    arguments = tuple_of(pid, number(0), numbers(shape), numbers(strides(shape)), b"\x89", hooks)
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def torch_state(tensors):
    """The pickle of a state dictionary, from pickled tensors by name."""
    items = b"".join(text(key) + tensor for key, tensor in tensors.items())
    return b"\x80\x02" + name("collections", "OrderedDict") + b")R(" + items + b"u."


def zip_pth(pickled, storages, compression=zipfile.ZIP_STORED):
    """torch.save since 1.6."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def pth(named, storage="FloatStorage"):
    """A state dictionary as torch.save writes it today."""
    keys = {key: str(i) for i, key in enumerate(named)}
    tensors = {key: torch_tensor(keys[key], a.shape, storage) for key, a in named.items()}
    return zip_pth(torch_state(tensors), {keys[key]: a.tobytes() for key, a in named.items()})


def legacy_pth(named):
    """torch.save before 1.6."""
    keys = {key: str(100 + i) for i, key in enumerate(named)}
    tensors = {key: torch_tensor(keys[key], a.shape, view=b"N") for key, a in named.items()}
    start = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})
    content = b"".join(pickle.dumps(each, 2) for each in start)
    content += torch_state(tensors) + pickle.dumps(sorted(keys.values()), 2)
    contents = {keys[key]: struct.pack("<q", a.size) + a.tobytes() for key, a in named.items()}
    return content + b"".join(contents[key] for key in sorted(contents))


def tar_pth(named):
    """torch.save before 0.2: storages, tensors and a pickle in a tar archive."""
    storages = tensors = pickle.dumps(len(named), 2)
    for i, array in enumerate(named.values()):
        kind = tuple_of(number(i), text("cpu"), name("torch", "FloatStorage"))
        storages += b"\x80\x02" + kind + b"." + struct.pack("<q", array.size) + array.tobytes()
        kind = tuple_of(number(100 + i), number(i), name("torch", "FloatTensor"))
        shape = struct.pack(
            f"<i4x{2 * array.ndim + 1}q", array.ndim, *array.shape, *strides(array.shape), 0
        )
        tensors += b"\x80\x02" + kind + b"." + shape
    storages += pickle.dumps([], 2)
    state = torch_state({key: text(str(100 + i)) + b"Q" for i, key in enumerate(named)})
    return tar({"storages": storages, "tensors": tensors, "pickle": state})


def tar(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for key, content in members.items():
            info = tarfile.TarInfo(key)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()
