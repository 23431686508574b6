"""Caffe's files: .caffemodel, .binaryproto and the prototxt that belongs to a network.

Source of the layouts: BVLC/caffe, `src/caffe/proto/caffe.proto` and `models/bvlc_alexnet`.
"""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

import numpy as np

from alexnet_tf.models.layer_summary import layer_summary
from alexnet_tf.models.spec import ACTIVATION, Conv, Dense, Dropout, Norm, Op, Pool, Variant
from alexnet_tf.models.variants import CAFFE, CAFFENET
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.untrusted import read_bytes
from alexnet_tf.weights.arrays import (
    MAX_BYTES,
    Arrays,
    WeightFile,
    from_channels_first,
    listing,
    reading,
    to_channels_first,
)
from alexnet_tf.weights.caffe_proto import V1_TYPES, check_size, message_class

# The layers of both networks, in order (models/bvlc_alexnet/deploy.prototxt).
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def read_caffemodel(path: str) -> WeightFile:
    """Reads a .caffemodel of `layer` or of old `layers` messages.

    Raises:
        UserError: not such a file, damaged, or of another network.
    """
    net = _parse("NetParameter", path)
    layers = _layers(net, path)
    learned = {name: blobs for name, _, blobs in layers if blobs}
    if not learned:
        raise UserError(f"{path} holds no Caffe layer with weights")
    names = tuple(name for name in LAYERS if name in learned)
    if len(names) < len(LAYERS) or len(learned) > len(LAYERS):
        raise UserError(
            f"{path} is no AlexNet: it has weights for {listing(learned)}. "
            f"Expected {', '.join(LAYERS)}"
        )
    kernels = {}
    for name in LAYERS:
        if len(learned[name]) != 2:
            raise UserError(f"{path}: layer {name} has {len(learned[name])} blobs, expected 2")
        kernel, bias = (_blob(blob, f"{path}: layer {name}") for blob in learned[name])
        if name.startswith("fc"):  # the old style has 1 × 1 × units × inputs
            kernel = kernel.reshape(
                [n for n in kernel.shape[:-2] if n != 1] + list(kernel.shape[-2:])
            )
        kernels[name] = kernel, bias.reshape(-1)
    return WeightFile(
        path, "a Caffe model", from_channels_first(kernels, path), _conventions(net, layers, path)
    )


def _conventions(net: Any, layers: list[tuple[str, str, Any]], path: str) -> tuple[Variant, ...]:
    """The networks that the file may be of, with the file's own constants of normalisation.

    CaffeNet pools before it normalises. A file may list only the layers with weights; then it can
    be of either.
    """
    kinds = [kind for _, kind, _ in layers]
    if "Pooling" not in kinds:
        return CAFFE, CAFFENET
    if "LRN" not in kinds:
        return ()
    variant = CAFFE if kinds.index("LRN") < kinds.index("Pooling") else CAFFENET
    norms = [layer.lrn_param for layer in (*net.layer, *net.layers) if layer.HasField("lrn_param")]
    for norm in norms:
        if not all(0 < value < math.inf for value in (norm.alpha, norm.beta, norm.k)):
            raise UserError(
                f"{path}: response normalisation with α = {norm.alpha:g}, β = {norm.beta:g} and "
                f"k = {norm.k:g}, which must be positive"
            )
    return (_with_norms(variant, norms),)


def _with_norms(variant: Variant, norms: list[Any]) -> Variant:
    """The variant with the constants of a file's LRN layers, in order."""
    remaining = iter(norms)

    def own(op: Op) -> Op:
        """The operation with the constants of the next LRN layer of the file."""
        norm = next(remaining, None) if isinstance(op, Norm) else None
        if norm is None:
            return op
        # As floats of 32 bits these are 0.0001 and 0.75, plus rounding, which must not count.
        alpha, beta, k = (float(f"{value:.7g}") for value in (norm.alpha, norm.beta, norm.k))
        return Norm(norm.local_size, k, alpha, beta, divide_by_size=True)

    return dataclasses.replace(
        variant,
        convs=tuple(
            dataclasses.replace(conv, post_ops=tuple(map(own, conv.post_ops)))
            for conv in variant.convs
        ),
    )


def _layers(net: Any, path: str) -> list[tuple[str, str, Any]]:
    """Name, type and blobs of each layer; a layer that is told twice counts once."""
    if any(layer.HasField("layer") for layer in net.layers):
        raise UserError(
            f"{path} is in Caffe's format of 2013 (V0). Convert it with Caffe's "
            "upgrade_net_proto_binary"
        )
    layers = [(layer.name, layer.type, layer.blobs) for layer in net.layer]
    return layers or [
        (layer.name, V1_TYPES.get(layer.type, str(layer.type)), layer.blobs) for layer in net.layers
    ]


def _blob(blob: Any, where: str) -> np.ndarray:
    """The numbers of a blob, float32.

    Raises:
        UserError: shape and numbers disagree.
    """
    if blob.HasField("shape"):
        shape = tuple(blob.shape.dim)
    else:
        shape = (blob.num, blob.channels, blob.height, blob.width)
    data, kind = b"".join(blob.data), "<f4"
    if not data:
        data, kind = b"".join(blob.double_data), "<f8"
    if not 1 <= len(shape) <= 4 or min(shape) < 1 or math.prod(shape) * int(kind[2]) != len(data):
        raise UserError(f"{where} claims shape {shape} and holds {len(data):,} bytes of numbers")
    return np.frombuffer(data, kind).reshape(shape).astype(np.float32)


def _parse(message: str, path: str) -> Any:
    """A message from a file.

    Raises:
        UserError: too large, or no such message.
    """
    content = read_bytes(path, MAX_BYTES)
    with reading(path, "Caffe file"):
        check_size(message, content)
        return message_class(message).FromString(content)


def read_mean(path: str) -> np.ndarray:
    """The mean image of a .binaryproto or .npy file, as Caffe's tools write it.

    Returns:
        float32 [height, width, 3], RGB, 0 to 255.

    Raises:
        UserError: not such a file.
    """
    if path.endswith(".npy"):
        from alexnet_tf.weights.numpy_files import read_array

        mean = read_array(path)
    else:
        mean = _blob(_parse("BlobProto", path), path)
    mean = mean.reshape([n for i, n in enumerate(mean.shape) if i > 0 or n != 1 or mean.ndim == 3])
    if mean.ndim != 3 or mean.shape[0] != 3 or not np.isfinite(mean).all():
        raise UserError(f"{path} is no mean image: expected [3, height, width], got {mean.shape}")
    return np.ascontiguousarray(mean[::-1].transpose(1, 2, 0), np.float32)  # BGR to RGB


def write_caffemodel(path: str, arrays: Arrays, variant: Variant) -> None:
    """Writes weights, and beside them the network for inference as PATH with .prototxt.

    Raises:
        UserError: Caffe has no layer for a part of the variant.
    """
    from alexnet_tf.system.files import write_atomically

    prototxt = deploy_prototxt(variant, arrays)
    net = message_class("NetParameter")(name=variant.name)
    kernels = to_channels_first(arrays)
    norms = {
        f"norm{number}": op
        for number, conv in enumerate(variant.convs, start=1)
        for op in conv.post_ops
        if isinstance(op, Norm)
    }
    for name, kind in _sequence(variant):
        layer = net.layer.add(name=name, type=kind)
        if kind == "LRN":
            norm = norms[name]
            layer.lrn_param.local_size, layer.lrn_param.k = norm.size, norm.k
            layer.lrn_param.alpha, layer.lrn_param.beta = _caffe_alpha(norm), norm.beta
        for array in kernels.get(name, ()):
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.append(array.astype("<f4", copy=False).tobytes())
    with write_atomically(os.path.splitext(path)[0] + ".prototxt") as file:
        file.write(prototxt.encode())
    with write_atomically(path) as file:
        file.write(net.SerializeToString(deterministic=True))


def _sequence(variant: Variant) -> list[tuple[str, str]]:
    """Name and Caffe's type of each layer, in order."""
    return [(name, kind) for name, kind, _ in _described(variant, {})]


def deploy_prototxt(variant: Variant, arrays: Arrays) -> str:
    """The network for inference, as Caffe and OpenCV read it.

    Raises:
        UserError: Caffe has no layer for a part of the variant.
    """
    size = variant.preprocessing.crop_size
    text = [
        f'name: "{variant.name}"\n'
        'layer { name: "data" type: "Input" top: "data" '
        f"input_param {{ shape {{ dim: 1 dim: 3 dim: {size} dim: {size} }} }} }}"
    ]
    units = {name: layer.shape[-1] for name, layer in arrays.items()}
    bottom = "data"
    for name, kind, parameters in _described(variant, units):
        top = bottom if kind in ("ReLU", "Dropout") else name  # these two work in place
        text.append(
            f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {parameters}}}'
        )
        bottom = top
    text.append(f'layer {{ name: "prob" type: "Softmax" bottom: "{bottom}" top: "prob" }}\n')
    return "\n".join(text)


def _described(variant: Variant, units: dict[str, int]) -> list[tuple[str, str, str]]:
    """Name, Caffe's type and parameters of each layer, in order."""
    if variant.activation != "relu":
        raise UserError(f"Caffe's AlexNet has ReLUs; this network has {variant.activation}")
    layers = []
    sizes = {layer.name: layer.outputs for layer in layer_summary(variant)}
    for number, part in enumerate((*variant.convs, *variant.denses), start=1):
        for op in getattr(part, "pre_ops", ()):
            layers.append(_operation(op, number, part))
        layers.append(
            _conv(part) if isinstance(part, Conv) else _dense(part, units.get(part.name, 0))
        )
        edge = sizes[part.name][0] if isinstance(part, Conv) else 0
        for op in part.post_ops:
            if isinstance(op, Pool):
                # Caffe rounds the number of windows up, this package down.
                if (edge - op.size) % op.stride:
                    raise UserError(
                        f"Caffe would pool {part.name}'s maps of {edge} pixels into one row more"
                    )
                edge = (edge - op.size) // op.stride + 1
            layers.append(_operation(op, number, part))
    return layers


def _conv(conv: Conv) -> tuple[str, str, str]:
    padding = (conv.kernel // 2,) * 2 if conv.padding == "same" else conv.padding
    if len(set(padding)) > 1 or (conv.padding == "same" and conv.kernel % 2 == 0):
        raise UserError(f"Caffe cannot pad {conv.name} by {padding[0]} and {padding[1]} pixels")
    return (
        conv.name,
        "Convolution",
        (
            f"convolution_param {{ num_output: {conv.filters} kernel_size: {conv.kernel} "
            f"stride: {conv.stride} pad: {padding[0]} group: {conv.towers} }} "
        ),
    )


def _dense(dense: Dense, units: int) -> tuple[str, str, str]:
    return dense.name, "InnerProduct", (f"inner_product_param {{ num_output: {units} }} ")


def _caffe_alpha(norm: Norm) -> float:
    """α as Caffe means it, which divides it by the size."""
    return norm.alpha if norm.divide_by_size else norm.alpha * norm.size


def _operation(op: object, number: int, part: Conv | Dense) -> tuple[str, str, str]:
    if op == ACTIVATION:
        return f"relu{number}", "ReLU", ""
    if isinstance(op, Pool):
        return (
            f"pool{number}",
            "Pooling",
            (f"pooling_param {{ pool: MAX kernel_size: {op.size} stride: {op.stride} }} "),
        )
    if isinstance(op, Norm) and op.towers == 1:
        return (
            f"norm{number}",
            "LRN",
            (
                f"lrn_param {{ local_size: {op.size} alpha: {_caffe_alpha(op)!r} "
                f"beta: {op.beta!r} k: {op.k!r} }} "
            ),
        )
    if isinstance(op, Dropout) and op.convention == "inverted":
        return f"drop{number}", "Dropout", f"dropout_param {{ dropout_ratio: {op.rate} }} "
    raise UserError(f"Caffe has no layer for {part.name}'s {op}")
