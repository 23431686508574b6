"""The operations that a model's graphs may contain.

A graph only computes: no Python (PyFunc), no files, no network, no random numbers, and no state
besides the weights. `export` writes no other graphs, and model_safety.py loads no others.
"""

from __future__ import annotations

# Decoding, and the dataset that drops an image which cannot be decoded (data/decode.py).
_IMAGE_OPS = """
    BatchDatasetV2 ConcatenateDataset DatasetToSingleElement DecodeImage DecodeJpeg DecodeRaw
    ExtractJpegShape IgnoreErrorsDataset ParallelMapDatasetV2 ParseExampleV2 RangeDataset
    ScaleAndTranslate StringJoin StringLength Substr TensorDataset
"""
_NETWORK_OPS = """
    AvgPool BiasAdd Conv2D LeakyRelu LogSoftmax MatMul MaxPool Pad ReadVariableOp Relu Rsqrt
    Sigmoid Sqrt Square StopGradient Tanh TopKV2
"""
# Arithmetic, shapes, branches, and the loops of data/graph_checks.py, which are limited in steps.
_ARITHMETIC_OPS = """
    AddV2 All Assert Cast ClipByValue ConcatV2 Const EnsureShape Equal Exp ExpandDims Fill FloorDiv
    FloorMod GatherV2 Greater GreaterEqual Identity If IsFinite Less LessEqual Log
    LogicalAnd LogicalOr Max Min Minimum Mul NoOp OnesLike Pack Placeholder Prod Range RealDiv
    Reshape ReverseV2 Round ScatterNd SelectV2 Shape Size Split Squeeze StatelessCase StatelessIf
    StatelessWhile StridedSlice Sub Sum Unpack While
"""
# Calls of functions of the same graph; the operations of these are checked as well.
_CALL_OPS = "PartitionedCall StatefulPartitionedCall"
ALLOWED_OPS = frozenset((_IMAGE_OPS + _NETWORK_OPS + _ARITHMETIC_OPS + _CALL_OPS).split())

# TensorFlow adds these to every SavedModel: variables outside of functions, and two functions that
# save and restore the weights, which only TensorFlow Serving calls.
_VARIABLE_OPS = "AssignVariableOp VarHandleOp VarIsInitializedOp"
_SAVER_OPS = """
    AssignVariableOp DisableCopyOnRead MergeV2Checkpoints RestoreV2 SaveV2 Select ShardedFilename
    StaticRegexFullMatch
"""
VARIABLE_OPS, SAVER_OPS = frozenset(_VARIABLE_OPS.split()), frozenset(_SAVER_OPS.split())
