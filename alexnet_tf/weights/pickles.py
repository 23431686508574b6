"""Reads the pickles in which others keep arrays, and runs nothing that they ask for.

A pickle is a program: it names functions and calls them. `_Machine` carries out the few
instructions that arrays, and dictionaries and lists of them, need. The names in a pickle lead to
the classes below, which only note what they were given; any other name ends the reading. No
function of NumPy or PyTorch is called by the pickle. `pickle.Unpickler` is not used: it sets
attributes of what it finds, and computes the hash of any key, which takes for ever for tuples that
are nested fifty times.

Sources: `pickletools` of Python's library, for the instructions; `numpy/core/multiarray`
(`_reconstruct`), and `torch/_utils.py` (`_rebuild_tensor_v2`), for what the names mean. PyTorch's
own `torch/_weights_only_unpickler.py` works in the same way.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from alexnet_tf.system.errors import first_line

_MAX_INSTRUCTIONS = 200_000  # an AlexNet has some hundreds
# Of the result: arrays, names and lists, and bytes. What is there twice counts twice.
_MAX_VALUES = 10_000
_MAX_BYTES = 800_000_000

_FLOATS = {"f2", "f4", "f8"}
_OBJECTS = {"O", "O4", "O8"}  # NumPy wraps a dictionary in an array of one object
_INTEGERS = {"i1", "i2", "i4", "i8", "u1", "b1"}


class UnsafePickleError(ValueError):
    """The pickle asks for something that arrays do not need. The message says what."""


class _Dtype:
    """Stands for `numpy.dtype`."""

    def __init__(self, kind: object = "", *_: object):
        self.kind, self.order = kind.lstrip("<>=|") if isinstance(kind, str) else "", "<"
        if self.kind not in _FLOATS | _INTEGERS | _OBJECTS:
            raise UnsafePickleError(f"it holds an array of type {_shown(kind)}")

    def set_state(self, state: tuple) -> None:
        """Takes the byte order."""
        self.order = ">" if state[1] == ">" else "<"


class _Array:
    """Stands for `numpy.ndarray`, and for `numpy.core.multiarray._reconstruct`, which makes one."""

    def __init__(self, *_: object):
        self.shape, self.dtype, self.fortran, self.content = (), _Dtype("f4"), False, None

    def set_state(self, state: tuple) -> None:
        """Takes version, shape, type, order and contents."""
        _, shape, self.dtype, self.fortran, self.content = state
        self.shape = _checked_shape(shape)

    def value(self) -> np.ndarray | list:
        """The array, or the list of an array of objects.

        Raises:
            UnsafePickleError: shape, type and contents do not belong together.
        """
        if not isinstance(self.dtype, _Dtype):
            raise UnsafePickleError("it holds an array without a type")
        objects = self.dtype.kind in _OBJECTS
        kind = np.dtype("u1" if objects else self.dtype.order + self.dtype.kind)
        content = self.content
        if not isinstance(content, list if objects else str | bytes) or math.prod(
            self.shape
        ) * kind.itemsize != len(content):
            raise UnsafePickleError(f"an array claims shape {self.shape} and holds other contents")
        if objects:
            return content
        if isinstance(content, str):  # bytes of Python 2, read as Latin-1
            content = content.encode("latin-1")
        array = np.frombuffer(content, kind)
        array = array.reshape(self.shape, order="F" if self.fortran is True else "C")
        return array.astype(kind.newbyteorder("="), copy=False)


def _encode(text: str, encoding: str) -> str:
    """Stands for `_codecs.encode`, by which Python 3 writes bytes for Python 2.

    They stay text until an array takes them: a pickle could ask for a million copies.
    """
    if encoding != "latin1" or not isinstance(text, str):
        raise UnsafePickleError(f"it encodes text as {_shown(encoding)}")
    return text


class StorageType:
    """Stands for a class of PyTorch such as `FloatStorage`."""

    def __init__(self, dtype: str):
        self.dtype = np.dtype(dtype)


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


class _Mapping(dict):
    """Stands for `collections.OrderedDict`, which PyTorch gives an attribute (`_metadata`)."""

    def __init__(self, items: object = (), *_: object):
        super().__init__()
        for key, value in items if isinstance(items, list) else ():
            self[_key(key)] = value

    def set_state(self, state: object) -> None:
        """Leaves the attributes out."""


_NUMPY: dict[str, Any] = {
    "numpy.dtype": _Dtype,
    "numpy.ndarray": _Array,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "_codecs.encode": _encode,
}
_TORCH: dict[str, Any] = {
    "collections.OrderedDict": _Mapping,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch.FloatStorage": StorageType("<f4"),
    "torch.DoubleStorage": StorageType("<f8"),
    "torch.HalfStorage": StorageType("<f2"),
    "torch.LongStorage": StorageType("<i8"),
    # The tar format names a tensor's class, too; its storage says the same.
    "torch.FloatTensor": StorageType("<f4"),
    "torch.DoubleTensor": StorageType("<f8"),
    "torch.LongTensor": StorageType("<i8"),
}


def load_numpy(file: io.BufferedIOBase) -> Any:
    """Arrays, and dictionaries and lists of them, from a pickle of any protocol.

    Raises:
        UnsafePickleError: it asks for anything else, or is damaged.
    """
    return _Result().of(_load(file, _NUMPY, None))


def load_torch(file: io.BufferedIOBase, find_storage: Callable[[object], object]) -> Any:
    """The next pickle of a PyTorch file; tensors are `Tensor`.

    Args:
        file: at the beginning of the pickle; afterwards at its end.
        find_storage: from what the pickle says about a storage, to a `Storage`.

    Raises:
        UnsafePickleError: it asks for anything else, or is damaged.
    """
    return _load(file, _TORCH, find_storage)


def _load(file: io.BufferedIOBase, names: dict, find_storage: Callable | None) -> Any:
    try:
        return _Machine(names, find_storage).run(file)
    except UnsafePickleError:
        raise
    except Exception as error:  # a damaged pickle can end in any of them
        reason = f"{type(error).__name__}: {first_line(error, 100)}"
        raise UnsafePickleError(f"it is damaged ({reason})") from None


_CONSTANTS = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
}
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}
_CALLS = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID", "PERSID"}
_COUNTS = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "APPEND": 1, "SETITEM": 2}  # values they take
_CONTAINERS = {"MARK", "TUPLE", "LIST", "APPENDS", "SETITEMS", "DICT", *_COUNTS}


class _Machine:
    """Carries out the instructions of one pickle.

    Args:
        names: what stands for each name that the pickle may use.
        find_storage: called with what the pickle says about data elsewhere; None refuses it.
    """

    def __init__(self, names: dict[str, Any], find_storage: Callable | None):
        self._names, self._find_storage = names, find_storage
        self._stack: list[Any] = []
        self._marks: list[int] = []  # heights of the stack
        self._memo: dict[int, Any] = {}

    def run(self, file: io.BufferedIOBase) -> Any:
        """The value of the pickle at the file's position; leaves the file at the pickle's end."""
        stack, memo = self._stack, self._memo
        for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
            name = instruction.name
            if count > _MAX_INSTRUCTIONS:
                raise UnsafePickleError(f"it has over {_MAX_INSTRUCTIONS:,} instructions")
            if name == "STOP":
                return stack.pop()
            if name in _VALUES:
                stack.append(argument)
            elif name in _CONSTANTS:
                stack.append(_CONSTANTS[name]())
            elif name in ("GET", "BINGET", "LONG_BINGET"):
                stack.append(memo[argument])
            elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
                memo[argument] = stack[-1]
            elif name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif name in _CALLS:
                self._call(name, argument)
            elif name in _CONTAINERS:
                self._fill(name)
            elif name not in ("PROTO", "FRAME"):
                raise UnsafePickleError(f"it has the instruction {name}")
        raise UnsafePickleError("it has no end")

    def _call(self, name: str, argument: Any) -> None:
        """Names, calls of what stands for them, and references to data elsewhere."""
        stack = self._stack
        if name == "GLOBAL":
            stack.append(_find(self._names, *argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            stack[-2:] = [_find(self._names, *stack[-2:])]
        elif name == "REDUCE":
            function, arguments = stack[-2:]
            if not isinstance(arguments, tuple) or not callable(function):
                raise UnsafePickleError("it calls something that is no function")
            stack[-2:] = [function(*arguments)]
        elif name == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], _Dtype | _Array | _Mapping):
                raise UnsafePickleError("it changes something that is no array")
            stack[-1].set_state(state)
        elif self._find_storage is None:
            raise UnsafePickleError("it refers to data elsewhere")
        else:
            stack.append(self._find_storage(argument if name == "PERSID" else stack.pop()))

    def _fill(self, name: str) -> None:
        """Tuples, lists and dictionaries."""
        stack = self._stack
        if name == "MARK":
            self._marks.append(len(stack))
            return
        if name in _COUNTS:
            self._marks.append(len(stack) - _COUNTS[name])
        at = self._marks.pop()
        values = stack[at:]
        del stack[at:]
        if name.startswith("TUPLE"):
            stack.append(tuple(values))
        elif name == "LIST":
            stack.append(values)
        elif name.startswith("APPEND"):
            _of_type(stack[-1], list).extend(values)
        else:
            if name == "DICT":
                stack.append({})
            mapping = _of_type(stack[-1], dict)
            for key, value in zip(values[::2], values[1::2], strict=True):
                mapping[_key(key)] = value


def _find(names: dict, module: object, name: object) -> Any:
    """What stands for a name."""
    wanted = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else ""
    if wanted not in names:
        raise UnsafePickleError(f"it asks for {wanted[:100] or 'something without a name'}")
    return names[wanted]


def _key(key: object) -> str | int | bytes:
    """A key of a dictionary. Not a tuple: the hash of nested ones takes for ever."""
    if not isinstance(key, str | int | bytes):
        raise UnsafePickleError(f"a key is of the type {type(key).__name__}")
    return key


def _of_type(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise UnsafePickleError(f"it fills a {type(value).__name__} as a {kind.__name__}")
    return value


def _shown(value: object) -> str:
    """A value for a message. Nested ones are not written out, which can take for ever."""
    return repr(value[:20]) if isinstance(value, str) else type(value).__name__


class _Result:
    """Puts arrays in place of their stand-ins, up to a number of values and bytes.

    A list that holds another ten times over, and so on, would never end.
    """

    def __init__(self):
        self._values, self._bytes = 0, 0

    def of(self, value: Any, depth: int = 0) -> Any:
        """The value, with strings as keys and lists for tuples."""
        self._values += 1
        if depth > 20 or self._values > _MAX_VALUES:
            raise UnsafePickleError("its lists are nested too deeply")
        if isinstance(value, _Array):
            value = value.value()
            self._bytes += getattr(value, "nbytes", 0)
            if self._bytes > _MAX_BYTES:
                raise UnsafePickleError("its arrays have more bytes than an AlexNet has")
        if isinstance(value, dict):
            return {_text(key): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(item, depth + 1) for item in value]
        return value


def _text(key: str | int | bytes) -> str:
    """A key as text; pickles of Python 2 and bytes of Python 3 give the same."""
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)
