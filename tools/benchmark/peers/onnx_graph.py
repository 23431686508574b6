"""AlexNet as an ONNX graph, for ONNX Runtime and OpenCV."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
from onnx import helper, numpy_helper

from alexnet_tf.models.layer_summary import layer_summary
from alexnet_tf.models.spec import ACTIVATION, Dropout, Norm, Op, Pool, Variant
from tools.benchmark.peers.weights import to_channels_first

_OPSET, _IR = 13, 8  # old enough for OpenCV 4


@dataclasses.dataclass
class _Graph:
    """A graph that grows node by node; `last` is the name of the newest tensor."""

    nodes: list = dataclasses.field(default_factory=list)
    constants: list = dataclasses.field(default_factory=list)
    last: str = "image"

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes) -> list[str]:
        """Adds a node; returns the names of its outputs."""
        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        self.last = names[0]
        return names

    def constant(self, name: str, value: np.ndarray) -> str:
        """Adds a constant; returns its name."""
        self.constants.append(numpy_helper.from_array(value, name))
        return name


def build(
    variant: Variant, weights: dict[str, tuple[np.ndarray, np.ndarray]], batch_size: int
) -> bytes:
    """The network of a variant, serialized, from `image` [B, 3, S, S] to `logits` [B, classes].

    Args:
        variant: the network.
        weights: by layer name, from `weights.draw_weights`.
        batch_size: B.

    Raises:
        NotImplementedError: ONNX has no node for one of its operations.
    """
    graph = _Graph()
    for conv in variant.convs:
        kernel, bias = weights[conv.name]
        before, after = ((conv.kernel - 1) // 2,) * 2 if conv.padding == "same" else conv.padding
        graph.add(
            "Conv", graph.last,
            graph.constant(f"{conv.name}_w", to_channels_first(conv.name, kernel, None)),
            graph.constant(f"{conv.name}_b", bias),
            kernel_shape=[conv.kernel] * 2, strides=[conv.stride] * 2, group=conv.towers,
            pads=[before, before, after, after],
        )  # fmt: skip
        _apply(graph, conv.post_ops, conv.filters)
    graph.add("Flatten", graph.last, axis=1)
    features = layer_summary(variant, 1)[len(variant.convs) - 1].output_after_pooling
    for number, dense in enumerate(variant.denses):
        kernel, bias = weights[dense.name]
        _apply(graph, dense.pre_ops, 0)
        graph.add(
            "Gemm", graph.last,
            graph.constant(
                f"{dense.name}_w",
                to_channels_first(dense.name, kernel, features if number == 0 else None),
            ),
            graph.constant(f"{dense.name}_b", bias),
            transB=1,
        )  # fmt: skip
        _apply(graph, dense.post_ops, 0)
    graph.nodes[-1].output[0] = "logits"
    side, classes = variant.preprocessing.crop_size, len(weights[variant.denses[-1].name][1])
    value = helper.make_tensor_value_info
    whole = helper.make_graph(
        graph.nodes, variant.name,
        [value("image", onnx.TensorProto.FLOAT, [batch_size, 3, side, side])],
        [value("logits", onnx.TensorProto.FLOAT, [batch_size, classes])],
        graph.constants,
    )  # fmt: skip
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = _IR
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _apply(graph: _Graph, ops: tuple[Op, ...], channels: int) -> None:
    for op in ops:
        if op == ACTIVATION:
            graph.add("Relu", graph.last)
        elif isinstance(op, Norm):
            _normalize(graph, op, channels)
        elif isinstance(op, Pool):
            graph.add(
                "MaxPool", graph.last, kernel_shape=[op.size] * 2, strides=[op.stride] * 2
            )  # fmt: skip
        elif isinstance(op, Dropout):
            if op.convention == "unscaled":
                scale = np.array(1 - op.rate, np.float32)
                name = graph.constant(f"scale_{len(graph.nodes)}", scale)
                graph.add("Mul", graph.last, name)
        else:
            raise NotImplementedError(f"ONNX has no node for {op!r}")


def _normalize(graph: _Graph, norm: Norm, channels: int) -> None:
    """Response normalisation tower by tower; ONNX always divides alpha by size."""
    alpha = norm.alpha if norm.divide_by_size else norm.alpha * norm.size
    settings = {"alpha": alpha, "beta": norm.beta, "bias": norm.k, "size": norm.size}
    if norm.towers == 1:
        graph.add("LRN", graph.last, **settings)
        return
    sizes = np.full(norm.towers, channels // norm.towers, np.int64)
    split = graph.constant(f"split_{len(graph.nodes)}", sizes)
    towers = graph.add("Split", graph.last, split, outputs=norm.towers, axis=1)
    graph.add("Concat", *[graph.add("LRN", tower, **settings)[0] for tower in towers], axis=1)
