"""Mutations of saved_model.pb: operations, functions, objects, and single fields of any message."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from tensorflow.core.protobuf import saved_model_pb2

_OPS = (
    *("WriteFile", "ReadFile", "PyFunc", "EagerPyFunc", "PyFuncStateless", "MatchingFiles"),
    *("SaveV2", "RestoreV2", "Save", "PrintV2", "TextLineDataset", "TFRecordReaderV2"),
    *("LoadAndRemapMatrix", "RemoteCall", "RpcCall", "DebugIdentityV2", "MutableHashTableV2"),
    *("InitializeTableFromTextFileV2", "GeneratorDataset", "XlaLaunch", "NoSuchOp", "Exit"),
    *("RandomUniform", "ImmutableConst", "FileSystemSetConfiguration", "WholeFileReaderV2"),
)
FORBIDDEN = frozenset(_OPS)  # a graph that contains one of them must not be accepted
_TEXTS = ("", "..", "/dev/zero", "stranger.Code", "\x1b[2J", "a" * 70_000, "__inference", "x:0")
_NUMBERS = (-1, 0, 1, 2, 7, 20, 21, 255, 2**31 - 1)


def mutate_graph(data: bytes, rng: np.random.Generator, outside: str) -> tuple[bytes, bool]:
    """Returns a mutated SavedModel, and whether it was given a forbidden operation."""
    saved_model = saved_model_pb2.SavedModel.FromString(data)
    (graph,) = saved_model.meta_graphs
    kind = rng.integers(4)
    if kind == 0:
        _put_operation(graph, rng, outside)
    elif kind == 1:
        _change_call(graph, rng)
    else:
        for _ in range(rng.integers(1, 4)):
            _change_field(_random_message(graph, rng), rng)
    return saved_model.SerializeToString(), kind == 0


def _put_operation(graph: Message, rng: np.random.Generator, outside: str) -> None:
    """Replaces an operation, or adds one, at the top level or in a function."""
    functions = graph.graph_def.library.function
    place = graph.graph_def.node
    if rng.integers(3):
        place = functions[rng.integers(len(functions))].node_def
    op = _OPS[rng.integers(len(_OPS))]
    if rng.integers(2) and len(place):
        place[rng.integers(len(place))].op = op
        return
    node = place.add(name="attack", op=op, input=["name", "contents"])
    for name, text in (("name", f"{outside}/new"), ("contents", "attacked")):
        constant = place.add(name=name, op="Const")
        constant.attr["dtype"].type = 7
        constant.attr["value"].tensor.dtype = 7
        constant.attr["value"].tensor.string_val.append(text.encode())
    node.attr["token"].s = b"pyfunc_0"


def _change_call(graph: Message, rng: np.random.Generator) -> None:
    """Lets a function call itself, another one, or one that is not there."""
    functions = list(graph.graph_def.library.function)
    calls = [
        (function.signature.name, value)
        for function in functions
        for node in function.node_def
        for value in node.attr.values()
        if value.HasField("func")
    ]
    caller, value = calls[rng.integers(len(calls))]
    others = [caller, "nothing", "", functions[rng.integers(len(functions))].signature.name]
    value.func.name = others[rng.integers(len(others))]


def _random_message(message: Message, rng: np.random.Generator) -> Message:
    while True:
        inner: list[Any] = []
        for field, value in message.ListFields():
            if field.type != FieldDescriptor.TYPE_MESSAGE:
                continue
            if isinstance(value, Message):
                inner.append(value)
            elif len(value):
                values = list(value.values() if hasattr(value, "values") else value)
                values = [each for each in values if isinstance(each, Message)]
                inner += [values[i] for i in rng.integers(len(values), size=2)] if values else []
        if not inner or rng.integers(6) == 0:
            return message
        message = inner[rng.integers(len(inner))]


def _change_field(message: Message, rng: np.random.Generator) -> None:
    fields = message.DESCRIPTOR.fields
    present = [field for field, _ in message.ListFields()]
    if present and rng.integers(4):
        fields = present
    if not fields:
        return
    field = fields[rng.integers(len(fields))]
    if field.type == FieldDescriptor.TYPE_MESSAGE or rng.integers(5) == 0:
        value = getattr(message, field.name)
        items = value if hasattr(value, "extend") else None  # a map has no order
        if items and rng.integers(2):
            del items[rng.integers(len(items))]
        elif items:
            items.extend([items[rng.integers(len(items))]])
        else:
            message.ClearField(field.name)
        return
    try:
        value = _scalar(field, rng)
        items = getattr(message, field.name)
        if not hasattr(items, "extend"):
            setattr(message, field.name, value)
        elif len(items) and rng.integers(3):
            items[rng.integers(len(items))] = value
        else:
            items.append(value)
    except (TypeError, ValueError, AttributeError):  # a map, or a value that the type cannot hold
        message.ClearField(field.name)


def _scalar(field: FieldDescriptor, rng: np.random.Generator) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        text = _TEXTS[rng.integers(len(_TEXTS))]
        return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return bool(rng.integers(2))
    return _NUMBERS[rng.integers(len(_NUMBERS))]
