"""Sizes, costs and receptive fields of a variant's layers, from its row alone.

This module imports neither TensorFlow nor Keras.
"""

from __future__ import annotations

import dataclasses

from alexnet_tf.models.spec import ACTIVATION, Conv, Op, Pool, Variant, WithinMapNorm


@dataclasses.dataclass(frozen=True)
class Field:
    """What the units of a map see of the network's input, along either axis, in pixels.

    Unit i sees pixels `first + i · stride` to `first + i · stride + size - 1`; those below 0 or
    past the edge are padding.
    """

    size: int = 1
    stride: int = 1
    first: int = 0

    def after(self, size: int, stride: int = 1, before: int = 0) -> Field:
        """Of the units of the next map.

        Args:
            size: of the window of units that each of them sees.
            stride: units between windows.
            before: units of padding at the near edge.
        """
        return Field(
            self.size + (size - 1) * self.stride,
            self.stride * stride,
            self.first - before * self.stride,
        )


@dataclasses.dataclass(frozen=True)
class LayerSummary:
    """A layer with weights, for one image.

    Attributes:
        name: conv1 ... fc8.
        inputs: shape [height, width, maps], or [units].
        outputs: likewise, of what its weights make of them.
        passed_on: shape of what the next layer gets, after pooling.
        kernel: side in pixels; 0 of a fully connected layer.
        stride: pixels.
        towers: groups of maps that see only their own tower's input.
        parameters: weights and biases.
        multiply_adds: of one forward pass.
        field: of its units after their nonlinearity; None of a fully connected layer's.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    passed_on: tuple[int, ...]
    kernel: int
    stride: int
    towers: int
    parameters: int
    multiply_adds: int
    field: Field | None


def num_towers(variant: Variant) -> int:
    """Towers that the maps are divided over: 2 if any convolution is split, else 1."""
    return max(conv.towers for conv in variant.convs)


def layer_summary(variant: Variant, classes: int = 1000) -> tuple[LayerSummary, ...]:
    """All layers with weights, in order.

    Args:
        variant: the network.
        classes: units of fc8.
    """
    side, maps, field = variant.preprocessing.crop_size, 3, Field()
    layers = []
    for conv in variant.convs:
        inputs = (side, side, maps)
        before, after = _padding(conv)
        side, maps = (side + before + after - conv.kernel) // conv.stride + 1, conv.filters
        outputs = (side, side, maps)
        field = field.after(conv.kernel, conv.stride, before)
        side, field, seen = _follow(conv.post_ops, side, field)
        weights = conv.kernel**2 * inputs[2] // conv.towers * maps
        layers.append(
            LayerSummary(
                conv.name, inputs, outputs, (side, side, maps), conv.kernel, conv.stride,
                conv.towers, weights + maps, weights * outputs[0] * outputs[1], seen,
            )
        )  # fmt: skip
    units = side * side * maps
    for dense in variant.denses:
        inputs, units = (units,), dense.units or classes
        weights = inputs[0] * units
        layers.append(
            LayerSummary(
                dense.name, inputs, (units,), (units,), 0, 1, 1, weights + units, weights, None
            )
        )
    return tuple(layers)


def _padding(conv: Conv) -> tuple[int, int]:
    """Zeros before and after; "same" is TensorFlow's, of a stride of 1."""
    if conv.padding == "same":
        return (conv.kernel - 1) // 2, conv.kernel // 2
    return conv.padding


def _follow(ops: tuple[Op, ...], side: int, field: Field) -> tuple[int, Field, Field]:
    """Side and field after a convolution's operations, and the field at its nonlinearity."""
    seen = field
    for op in ops:
        if isinstance(op, Pool):
            side, field = (side - op.size) // op.stride + 1, field.after(op.size, op.stride)
        elif isinstance(op, WithinMapNorm):
            field = field.after(op.size, before=op.size // 2)
        elif op == ACTIVATION:
            seen = field
    return side, field, seen
