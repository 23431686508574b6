"""Devices of the layers of a split network, read from the traced graph."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterable

import keras
import tensorflow as tf

from alexnet_tf.data.pipeline import training_batch_spec
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.towers.layers import OnDevice

_IMAGES = 127  # of a batch; prime, so that a multiple of it must be a number of images
_OUTSIDE = "preprocessing, loss"  # operations outside of all layers


def describe_placement(
    compute_gradients: Callable,
    model: keras.Model,
    preprocessing: Preprocessing,
    devices: tuple[str, str],
) -> str:
    """Traces forward and backward pass, and lists the device of each layer.

    Args:
        compute_gradients: `train_step.make_gradient_function`'s.
        model: `build_towers`'s.
        preprocessing: of the variant.
        devices: of the towers; operations without a device are on the first.

    Returns:
        A table of the layers that have weights or where bytes cross: layer, device, and the bytes
        per image that cross to it in the forward pass, and from it in the backward pass. A tensor
        counts once, even if several operations on the other device use it.
    """
    batch = training_batch_spec(_IMAGES, preprocessing)
    graph = tf.function(compute_gradients).get_concrete_function(batch).graph
    layers = [layer.name for layer in model.layers if isinstance(layer, OnDevice)]
    places, forward, backward = read_graph(graph.get_operations(), layers, devices[0])
    rows = [("layer", "device", "bytes in, forward", "bytes out, backward")]
    weighty = {layer.name for layer in model.layers if layer.weights}
    for layer in [*layers, _OUTSIDE]:
        if layer in weighty or forward[layer] or backward[layer]:
            crossing = (f"{total[layer] / _IMAGES:,.0f}" for total in (forward, backward))
            rows.append((layer, ", ".join(sorted(places[layer])), *crossing))
    totals = (f"{sum(total.values()) / _IMAGES:,.0f}" for total in (forward, backward))
    rows.append(("in all, for each image", "", *totals))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"  {name:{widths[0]}}  {device:{widths[1]}}  {there:>{widths[2]}}  {back:>{widths[3]}}"
        for name, device, there, back in rows
    )


def read_graph(
    operations: Iterable[tf.Operation], layers: list[str], default: str
) -> tuple[dict[str, set[str]], collections.Counter, collections.Counter]:
    """Devices of layers, and the bytes that cross between them.

    Args:
        operations: of the graph.
        layers: names, as parts of the operations' names.
        default: the device of operations that name none.

    Returns:
        For each layer the devices of its operations; the bytes that come to it from the other
        device; and the bytes of its gradients that the other device uses.
    """
    pattern = re.compile(rf"/({'|'.join(map(re.escape, layers))})(_\d+)?/")

    def layer_of(operation: tf.Operation) -> str:
        """The layer that an operation belongs to, by its name."""
        found = pattern.search(operation.name)
        return found.group(1) if found else _OUTSIDE

    def device_of(operation: tf.Operation) -> str:
        """The device of an operation, e.g. CPU:1."""
        spec = tf.DeviceSpec.from_string(operation.device or default)
        return f"{spec.device_type}:{spec.device_index}"

    places = collections.defaultdict(set)
    forward, backward = collections.Counter(), collections.Counter()
    crossed = set()
    for operation in operations:
        place = device_of(operation)
        if operation.device:
            places[layer_of(operation)].add(place)
        for tensor in operation.inputs:
            if not operation.device or not _is_of_images(tensor):
                continue
            if device_of(tensor.op) == place or (tensor.name, place) in crossed:
                continue
            size = tensor.shape.num_elements()
            crossed.add((tensor.name, place))
            if "gradients/" in tensor.name:
                backward[layer_of(tensor.op)] += size * tensor.dtype.size
            else:
                forward[layer_of(operation)] += size * tensor.dtype.size
    return places, forward, backward


def _is_of_images(tensor: tf.Tensor) -> bool:
    """Whether its first axis counts images; that of weights, seeds and shapes does not."""
    shape = tensor.shape
    return bool(shape.rank) and shape.is_fully_defined() and shape[0] % _IMAGES == 0
