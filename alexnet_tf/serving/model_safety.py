"""Checks a SavedModel that a stranger may have made, before TensorFlow loads it.

TensorFlow runs parts of a graph while it loads it, and the rest when the model is called. So a
graph is a program: one with `WriteFile` writes files, one with `ReadFile` shows their contents as
class names. A checked model contains only the operations of `ALLOWED_OPS`, which compute and do
nothing else, and the objects that `export` writes. All files of its directory are regular files of
a bounded size, and no link leads out of it.

A checked model can still give wrong answers, and its loops can take time and memory.
"""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError
from tensorflow.core.framework import function_pb2, node_def_pb2, tensor_pb2
from tensorflow.core.protobuf import (
    meta_graph_pb2,
    saved_model_pb2,
    saved_object_graph_pb2,
)
from tensorflow.python.framework import dtypes

from alexnet_tf.serving.allowed_ops import ALLOWED_OPS, SAVER_OPS, VARIABLE_OPS
from alexnet_tf.system.errors import UserError

_GRAPH = "saved_model.pb"
_OTHER_GRAPHS = ("saved_model.pbtxt", "saved_model.cpb")  # other forms of the same file
_MAX_GRAPH_BYTES = 16 * 2**20  # `paper` has 6 MB; once parsed, it may be 55 times as large
_MAX_FILE_BYTES = 64 * 2**20  # of any other file but the weights
_MAX_WEIGHT_BYTES = 4 * 2**30  # in files and as declared
MAX_TENSOR_BYTES = 256 * 2**20  # a few bytes can stand for many equal numbers
_MAX_NODES = 100_000  # `paper` has 5,000
_MAX_FILES = 1000

_OBJECTS = {"user_object", "variable", "function", "bare_concrete_function", "constant"}
_USER_OBJECTS = {
    *("", "_generic_user_object", "signature_map"),
    *("trackable_list_wrapper", "trackable_dict_wrapper", "trackable_tuple_wrapper"),
}
_REGISTERED = {"", "tf.TrackableConstant"}


class UnsafeModelError(UserError):
    """A SavedModel that is not loaded, because it may do more than compute.

    Args:
        path: its directory.
        reason: what was found.
    """

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(
            f"{path} is not loaded: {reason}. A SavedModel is a program. If you trust its author, "
            "add --trust_model."
        )


def check_saved_model(directory: pathlib.Path) -> None:
    """Checks the files of a SavedModel and its graph.

    Args:
        directory: contains saved_model.pb.

    Raises:
        UnsafeModelError: something that `export` does not write was found.
        OSError: a file cannot be read.
    """
    reason = next(_faults_of_files(directory), "")
    if not reason:
        try:
            saved_model = saved_model_pb2.SavedModel.FromString((directory / _GRAPH).read_bytes())
        except DecodeError:
            raise UserError(
                f"Expected a SavedModel that alexnet_tf.export wrote. Received: {directory} "
                f"({_GRAPH} is damaged)"
            ) from None
        reason = next(_faults_of_graphs(saved_model), "")
    if reason:
        raise UnsafeModelError(directory, reason)


def tensor_bytes(tensor: tensor_pb2.TensorProto) -> float:
    """Returns the size of a tensor once it is expanded; infinity for handles of objects."""
    return _size(tensor.dtype, [dim.size for dim in tensor.tensor_shape.dim])


def _faults_of_files(directory: pathlib.Path) -> Iterator[str]:
    root, files, weights = directory.resolve(), 0, 0
    for folder, folders, names in os.walk(root):
        for path in (pathlib.Path(folder, name) for name in (*folders, *names)):
            inner = path.relative_to(root)
            if not path.resolve().is_relative_to(root):
                yield f"{str(inner)!r} is a link to a file elsewhere"
            if path.is_dir():
                continue
            if not path.is_file():
                yield f"{str(inner)!r} is no regular file"
            files, size = files + 1, path.stat().st_size
            if inner.match("variables/variables.data-*"):
                weights += size
            elif size > (_MAX_GRAPH_BYTES if str(inner) == _GRAPH else _MAX_FILE_BYTES):
                yield f"{str(inner)!r} is too large ({size:,} bytes)"
        if files > _MAX_FILES:
            yield f"it has more than {_MAX_FILES:,} files"
    if weights > _MAX_WEIGHT_BYTES:
        yield f"its weights are too large ({weights:,} bytes)"
    for name in _OTHER_GRAPHS:
        if (root / name).exists():
            yield f"it contains {name} beside {_GRAPH}"


def _faults_of_graphs(saved_model: saved_model_pb2.SavedModel) -> Iterator[str]:
    if len(saved_model.meta_graphs) != 1:
        yield f"it has {len(saved_model.meta_graphs)} graphs in place of one"
    (graph,) = saved_model.meta_graphs
    if not graph.HasField("object_graph_def"):
        yield "it has the format of TensorFlow 1"
    if graph.asset_file_def:
        yield "its graph reads files of its own"
    yield from _faults_of_nodes(graph)
    yield from _faults_of_objects(graph)


def _faults_of_nodes(graph: meta_graph_pb2.MetaGraphDef) -> Iterator[str]:
    library = graph.graph_def.library
    functions = {function.signature.name: function for function in library.function}
    nodes = sum(len(function.node_def) for function in library.function)
    if nodes + len(graph.graph_def.node) > _MAX_NODES:
        yield f"its graph has more than {_MAX_NODES:,} operations"
    if len(functions) != len(library.function):
        yield "two of its functions have the same name"
    if library.gradient or library.registered_gradients:
        yield "it defines gradients"
    savers = _saver_functions(graph, functions)
    reachable = set(_called_by_objects(graph.object_graph_def))
    constant_bytes, others = 0, set()
    for name, node in _nodes(graph):
        extra = SAVER_OPS if name in savers else () if name else VARIABLE_OPS
        if node.op not in ALLOWED_OPS and node.op not in extra:
            others.add(node.op[:100])
        called = set(_called(node))
        if unknown := called - functions.keys():
            yield f"its graph calls {min(unknown)[:100]!r}, which it does not define"
        if name:
            reachable |= called
        constant_bytes += sum(tensor_bytes(tensor) for tensor in _tensors(node))
        if constant_bytes > MAX_TENSOR_BYTES:
            yield f"its constants take more than {MAX_TENSOR_BYTES:,} bytes"
    if others:
        yield f"its graph contains {', '.join(map(repr, sorted(others)[:10]))}"
    # TensorFlow's loader ignores the saver, but runs other functions.
    if savers & reachable:
        yield "it saves or restores files when it is called"


def _saver_functions(
    graph: meta_graph_pb2.MetaGraphDef, functions: dict[str, function_pb2.FunctionDef]
) -> set[str]:
    """Names the functions that only the graph's saver calls."""
    saver = graph.saver_def
    names = {saver.save_tensor_name.partition(":")[0], saver.restore_op_name}
    callers = [node for node in graph.graph_def.node if node.name in names]
    return {name for node in callers for name in _called(node) if name in functions}


def _called_by_objects(
    objects: saved_object_graph_pb2.SavedObjectGraph,
) -> Iterator[str]:
    yield from objects.concrete_functions
    for node in objects.nodes:
        yield node.bare_concrete_function.concrete_function_name
        yield from node.function.concrete_functions


def _nodes(graph: meta_graph_pb2.MetaGraphDef) -> Iterator[tuple[str, node_def_pb2.NodeDef]]:
    """Yields all nodes, each with the name of its function, which is empty at the top level."""
    for node in graph.graph_def.node:
        yield "", node
    for function in graph.graph_def.library.function:
        for node in function.node_def:
            yield function.signature.name, node


def _called(node: node_def_pb2.NodeDef) -> Iterator[str]:
    """Yields the names of all functions in a node's attributes."""
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _tensors(node: node_def_pb2.NodeDef) -> Iterable[tensor_pb2.TensorProto]:
    for value in node.attr.values():
        if value.HasField("tensor"):
            yield value.tensor
        yield from value.list.tensor


def _size(dtype: int, shape: list[int]) -> float:
    """Returns bytes; infinity for a type of handles or an incomplete shape."""
    try:
        kind = dtypes.as_dtype(dtype)
    except TypeError:
        return math.inf
    if kind in (dtypes.resource, dtypes.variant) or any(length < 0 for length in shape):
        return math.inf
    return math.prod(shape) * (32 if kind == dtypes.string else kind.size)


def _faults_of_objects(graph: meta_graph_pb2.MetaGraphDef) -> Iterator[str]:
    weights = 0.0
    for node in graph.object_graph_def.nodes:
        kind = node.WhichOneof("kind")
        if kind not in _OBJECTS:
            yield f"it contains an object of kind {kind!r}"
        if node.user_object.identifier not in _USER_OBJECTS:
            yield f"it contains an object of type {node.user_object.identifier[:100]!r}"
        if node.registered_name not in _REGISTERED or node.registered_saver:
            yield f"it contains an object of type {node.registered_name[:100]!r}"
        if node.saveable_objects:
            yield "its objects restore themselves"
        if kind == "variable":
            shape = [dim.size for dim in node.variable.shape.dim]
            weights += _size(node.variable.dtype, shape)
    if weights > _MAX_WEIGHT_BYTES:
        yield f"its weights take more than {_MAX_WEIGHT_BYTES:,} bytes"
