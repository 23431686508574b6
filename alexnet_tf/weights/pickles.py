"""Reads the pickles in which others keep arrays, and runs nothing that they ask for.

A pickle is a program: it names functions and calls them. Here its names lead to the classes below,
which only note what they were given. No function of NumPy or PyTorch is called by the pickle, and
any other name ends the reading. Instructions are looked at before the first one is carried out.

Sources: `pickletools` of Python's library; `numpy/core/multiarray` (`_reconstruct`), and
`torch/_utils.py` (`_rebuild_tensor_v2`), for what the names mean.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

_MAX_INSTRUCTIONS = 200_000  # an AlexNet has some hundreds
_MAX_MEMO = 200_000  # the C reader takes memory for the largest number, used or not

# Instructions that arrays, dictionaries and lists of them need.
_ALLOWED = """
PROTO STOP FRAME MARK POP POP_MARK DUP MEMOIZE BINPUT LONG_BINPUT PUT BINGET LONG_BINGET GET
GLOBAL STACK_GLOBAL REDUCE BUILD BINPERSID PERSID NONE NEWTRUE NEWFALSE
INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8
UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8
EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE
EMPTY_DICT DICT SETITEM SETITEMS
"""
_INSTRUCTIONS = frozenset(_ALLOWED.split())

_FLOATS = {"f2", "f4", "f8"}
_OBJECTS = {"O", "O4", "O8"}  # NumPy wraps a dictionary in an array of one object
_INTEGERS = {"i1", "i2", "i4", "i8", "u1", "b1"}


class UnsafePickleError(ValueError):
    """The pickle asks for something that arrays do not need. The message says what."""


class _Dtype:
    """Stands for `numpy.dtype`."""

    def __init__(self, kind: str = "", *_: object):
        self.kind, self.order = str(kind).lstrip("<>=|"), "<"
        if self.kind not in _FLOATS | _INTEGERS | _OBJECTS:
            raise UnsafePickleError(f"it holds an array of type {str(kind)[:20]!r}")

    def __setstate__(self, state: tuple) -> None:
        self.order = ">" if state[1] == ">" else "<"


class _Array:
    """Stands for `numpy.ndarray`; `value` is the array once its contents are known."""

    value: np.ndarray | list | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _Dtype):
            raise UnsafePickleError("it holds an array without a type")
        shape = _checked_shape(shape)
        if isinstance(content, str):  # a pickle of Python 2, read as Latin-1
            content = content.encode("latin-1")
        if dtype.kind in _OBJECTS:
            if not isinstance(content, list) or len(content) != math.prod(shape):
                raise UnsafePickleError("an array of objects is damaged")
            self.value = content
            return
        kind = np.dtype(dtype.order + dtype.kind)
        if not isinstance(content, bytes) or math.prod(shape) * kind.itemsize != len(content):
            raise UnsafePickleError(f"an array claims shape {shape} and holds other contents")
        array = np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C")
        self.value = array.astype(kind.newbyteorder("="), copy=False)


def _reconstruct(*_: object) -> _Array:
    """Stands for `numpy.core.multiarray._reconstruct`, which makes an empty array."""
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    """Stands for `_codecs.encode`, by which Python 3 writes bytes for Python 2."""
    if encoding != "latin1" or not isinstance(text, str):
        raise UnsafePickleError(f"it encodes text as {str(encoding)[:20]!r}")
    return text.encode("latin-1")


class StorageType:
    """Stands for a class of PyTorch such as `FloatStorage`."""

    def __init__(self, name: str, dtype: str):
        self.name, self.dtype = name, np.dtype(dtype)

    def __setstate__(self, state: object) -> None:
        raise UnsafePickleError("it changes a class")


class Storage:
    """Stands for numbers in another part of the file."""

    def __init__(self, key: str, kind: StorageType, numel: int):
        self.key, self.kind, self.numel = key, kind, numel


class Tensor:
    """Stands for `torch.Tensor`: a part of a storage."""

    def __init__(self, storage: Storage, offset: int, size: tuple, stride: tuple):
        self.storage, self.offset = storage, offset
        self.size, self.stride = _checked_shape(size), tuple(stride)

    def array(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor as an array, from all numbers of its storage.

        Raises:
            UnsafePickleError: it is not contiguous, or reaches beyond its storage.
        """
        count = math.prod(self.size)
        contiguous = tuple(math.prod(self.size[i + 1 :]) for i in range(len(self.size)))
        strides = (s for s, n in zip(self.stride, self.size, strict=True) if n != 1)
        wanted = (s for s, n in zip(contiguous, self.size, strict=True) if n != 1)
        if tuple(strides) != tuple(wanted):
            raise UnsafePickleError(f"a tensor of shape {self.size} is not contiguous")
        if not 0 <= self.offset <= len(numbers) - count:
            raise UnsafePickleError(f"a tensor of shape {self.size} is larger than its storage")
        return numbers[self.offset : self.offset + count].reshape(self.size)


def _rebuild_tensor(
    storage: Storage, offset: int, size: tuple, stride: tuple, *_: object
) -> Tensor:
    """Stands for `torch._utils._rebuild_tensor_v2` and its predecessor without version."""
    if not isinstance(storage, Storage) or not isinstance(offset, int):
        raise UnsafePickleError("it builds a tensor of something else than a storage")
    if not isinstance(stride, tuple) or len(stride) != len(size):
        raise UnsafePickleError("a tensor has no strides")
    return Tensor(storage, offset, size, stride)


def _rebuild_parameter(tensor: Tensor, *_: object) -> Tensor:
    """Stands for `torch._utils._rebuild_parameter`."""
    if not isinstance(tensor, Tensor):
        raise UnsafePickleError("it builds a parameter of something else than a tensor")
    return tensor


def _checked_shape(shape: object) -> tuple[int, ...]:
    """A shape of at most 8 dimensions.

    Raises:
        UnsafePickleError: no shape.
    """
    if (
        not isinstance(shape, tuple)
        or len(shape) > 8
        or not all(isinstance(n, int) and 0 <= n < 2**40 for n in shape)
    ):
        raise UnsafePickleError("an array has no proper shape")
    return shape


_NUMPY: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): _encode,
}
_TORCH: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "FloatStorage"): StorageType("FloatStorage", "<f4"),
    ("torch", "DoubleStorage"): StorageType("DoubleStorage", "<f8"),
    ("torch", "HalfStorage"): StorageType("HalfStorage", "<f2"),
    ("torch", "LongStorage"): StorageType("LongStorage", "<i8"),
    # The tar format names a tensor's class, too; its storage says the same.
    ("torch", "FloatTensor"): StorageType("FloatTensor", "<f4"),
    ("torch", "DoubleTensor"): StorageType("DoubleTensor", "<f8"),
    ("torch", "LongTensor"): StorageType("LongTensor", "<i8"),
}


class _Reader(pickle.Unpickler):
    """Finds only the stand-ins."""

    def __init__(self, file: io.BufferedIOBase, names: dict, find_storage: Callable | None):
        super().__init__(file, encoding="latin-1")
        self._names, self._find_storage = names, find_storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._names:
            raise UnsafePickleError(f"it asks for {module}.{name}"[:120])
        return self._names[module, name]

    def persistent_load(self, pid: object) -> Storage:
        if self._find_storage is None:
            raise UnsafePickleError("it refers to data elsewhere")
        return self._find_storage(pid)


def load_numpy(content: bytes) -> Any:
    """Arrays, and dictionaries, lists and tuples of them, from a pickle of any protocol.

    Raises:
        UnsafePickleError: it asks for anything else, or is damaged.
    """
    return _arrays(_load(io.BytesIO(content), _NUMPY, None))


def load_torch(file: io.BufferedIOBase, find_storage: Callable[[object], Storage]) -> Any:
    """The next pickle of a PyTorch file; tensors are `Tensor`.

    Args:
        file: at the beginning of the pickle; afterwards at its end.
        find_storage: from what the pickle says about a storage, to a `Storage`.

    Raises:
        UnsafePickleError: it asks for anything else, or is damaged.
    """
    return _load(file, _TORCH, find_storage)


def _load(file: io.BufferedIOBase, names: dict, find_storage: Callable | None) -> Any:
    start = file.tell()
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
            if instruction.name not in _INSTRUCTIONS or count > _MAX_INSTRUCTIONS:
                raise UnsafePickleError(f"it has the instruction {instruction.name}")
            if "PUT" in instruction.name and not 0 <= argument <= _MAX_MEMO:
                raise UnsafePickleError(f"it has the instruction {instruction.name} {argument}")
            if instruction.name == "GLOBAL" and tuple(argument.split(" ", 1)) not in names:
                raise UnsafePickleError(f"it asks for {argument.replace(' ', '.', 1)}"[:120])
        end = file.tell()
        file.seek(start)
        result = _Reader(file, names, find_storage).load()
        file.seek(end)
        return result
    except UnsafePickleError:
        raise
    except Exception as error:  # a damaged pickle can end in any of them
        first_line = (str(error).splitlines() or [""])[0]
        raise UnsafePickleError(
            f"it is damaged ({type(error).__name__}: {first_line})"[:160]
        ) from None


def _arrays(value: Any, depth: int = 0) -> Any:
    """The same with arrays in place of their stand-ins."""
    if depth > 20:
        raise UnsafePickleError("its lists are nested too deeply")
    if isinstance(value, _Array):
        if value.value is None:
            raise UnsafePickleError("it holds an array without contents")
        return _arrays(value.value, depth + 1)
    if isinstance(value, dict):
        return {str(key): _arrays(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_arrays(item, depth + 1) for item in value]
    return value
