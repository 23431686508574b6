"""What a server's graph may do: compute, and nothing that reaches out of it.

No Python (PyFunc), no files, no network, no random numbers, no state but the weights. A graph in
which there is anything else is not exported.
"""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.system.errors import UserError

# Decoding, and the dataset that drops an image which cannot be decoded (data/decode.py).
_IMAGES = """
    BatchDatasetV2 ConcatenateDataset DatasetToSingleElement DecodeImage DecodeJpeg DecodeRaw
    ExtractJpegShape IgnoreErrorsDataset ParallelMapDatasetV2 ParseExampleV2 RangeDataset
    ScaleAndTranslate StringJoin StringLength Substr TensorDataset
"""
_NETWORK = """
    AvgPool BiasAdd Conv2D LeakyRelu LogSoftmax MatMul MaxPool Pad ReadVariableOp Relu Rsqrt
    Sigmoid Sqrt Square StopGradient Tanh TopKV2
"""
# Arithmetic, shapes, branches, and the loops of data/graph_checks.py, whose steps are limited.
_ARITHMETIC = """
    AddV2 All Assert Cast ClipByValue ConcatV2 Const EnsureShape Equal Exp ExpandDims Fill FloorDiv
    FloorMod GatherV2 Greater GreaterEqual Identity If IsFinite Less LessEqual Log
    LogicalAnd Max Min Minimum Mul NoOp OnesLike Pack Placeholder Prod Range RealDiv Reshape
    ReverseV2 Round ScatterNd SelectV2 Shape Size Split Squeeze StatelessCase StatelessIf
    StatelessWhile StridedSlice Sub Sum Unpack While
"""
# They call functions of the same graph, which are looked at as well.
_CALLS = "PartitionedCall StatefulPartitionedCall"
ALLOWED = frozenset((_IMAGES + _NETWORK + _ARITHMETIC + _CALLS).split())


def operations(function: tf.types.experimental.ConcreteFunction) -> set[str]:
    """Types of the operations of a traced function, and of all functions that it calls."""
    graph = function.graph.as_graph_def()
    functions = {each.signature.name for each in graph.library.function}
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    return {node.op for node in nodes} - functions


def check_operations(name: str, function: tf.types.experimental.ConcreteFunction) -> None:
    """Refuses a signature that does what a server's graph may not.

    Raises:
        UserError: there is such an operation in it.
    """
    others = sorted(operations(function) - ALLOWED)
    if others:
        raise UserError(
            f"Expected only operations that a server may run in signature {name}. Received: "
            f"{', '.join(others)}; see serving/operations.py"
        )
