"""Sizes, costs and receptive fields of a variant's layers, computed from the variant alone.

This module imports neither TensorFlow nor Keras.
"""

from __future__ import annotations

import dataclasses

from alexnet_tf.models.spec import ACTIVATION, Conv, Op, Pool, Variant, WithinMapNorm


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """The part of the network's input that a unit of a feature map sees, along one axis, in pixels.

    Unit i sees pixels `first + i · stride` to `first + i · stride + size - 1`. Pixels below 0 or
    past the edge are padding.
    """

    size: int = 1
    stride: int = 1
    first: int = 0

    def after(self, size: int, stride: int = 1, before: int = 0) -> ReceptiveField:
        """The receptive field of the next layer's units.

        Args:
            size: units of this layer that each of them sees.
            stride: units between their windows.
            before: units of padding at the near edge.
        """
        return ReceptiveField(
            self.size + (size - 1) * self.stride,
            self.stride * stride,
            self.first - before * self.stride,
        )


@dataclasses.dataclass(frozen=True)
class LayerSummary:
    """A layer with weights, for one image.

    Attributes:
        name: conv1 ... fc8.
        inputs: shape [height, width, channels], or [units].
        outputs: shape of the weights' output, likewise.
        output_after_pooling: shape that the next layer gets.
        kernel: kernel size in pixels; 0 for a fully connected layer.
        stride: pixels.
        towers: groups of channels; each sees only its own group of the input.
        parameters: weights and biases.
        multiply_adds: in one forward pass.
        field: receptive field after the nonlinearity; None for a fully connected layer.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    output_after_pooling: tuple[int, ...]
    kernel: int
    stride: int
    towers: int
    parameters: int
    multiply_adds: int
    field: ReceptiveField | None


def num_towers(variant: Variant) -> int:
    """2 if the channels of any convolution are split over two towers, else 1."""
    return max(conv.towers for conv in variant.convs)


def layer_summary(variant: Variant, classes: int = 1000) -> tuple[LayerSummary, ...]:
    """All layers with weights, in order.

    Args:
        variant: the network.
        classes: units of fc8.
    """
    size, channels, field = variant.preprocessing.crop_size, 3, ReceptiveField()
    layers = []
    for conv in variant.convs:
        inputs = (size, size, channels)
        before, after = padding(conv)
        size, channels = (size + before + after - conv.kernel) // conv.stride + 1, conv.filters
        outputs = (size, size, channels)
        field = field.after(conv.kernel, conv.stride, before)
        size, field, activation_field = _follow(conv.post_ops, size, field)
        weights = conv.kernel**2 * inputs[2] // conv.towers * channels
        layers.append(
            LayerSummary(
                conv.name, inputs, outputs, (size, size, channels), conv.kernel, conv.stride,
                conv.towers, weights + channels, weights * outputs[0] * outputs[1],
                activation_field,
            )
        )  # fmt: skip
    units = size * size * channels
    for dense in variant.denses:
        inputs, units = (units,), dense.units or classes
        weights = inputs[0] * units
        layers.append(
            LayerSummary(
                dense.name, inputs, (units,), (units,), 0, 1, 1, weights + units, weights, None
            )
        )
    return tuple(layers)


def smallest_input(variant: Variant) -> int:
    """The least height and width of images that leave a feature map at the end, in pixels."""
    size = 1
    for conv in reversed(variant.convs):
        for op in reversed(conv.post_ops):
            if isinstance(op, Pool):
                size = (size - 1) * op.stride + op.size
        size = max(1, (size - 1) * conv.stride + conv.kernel - sum(padding(conv)))
    return size


def padding(conv: Conv) -> tuple[int, int]:
    """Zeros before and after a convolution's input; "same" as TensorFlow pads for a stride of 1."""
    if conv.padding == "same":
        return (conv.kernel - 1) // 2, conv.kernel // 2
    return conv.padding


def _follow(
    ops: tuple[Op, ...], size: int, field: ReceptiveField
) -> tuple[int, ReceptiveField, ReceptiveField]:
    """Size and field after a convolution's operations, and the field at its nonlinearity."""
    activation_field = field
    for op in ops:
        if isinstance(op, Pool):
            size, field = (size - op.size) // op.stride + 1, field.after(op.size, op.stride)
        elif isinstance(op, WithinMapNorm):
            field = field.after(op.size, before=op.size // 2)
        elif op == ACTIVATION:
            activation_field = field
    return size, field, activation_field
