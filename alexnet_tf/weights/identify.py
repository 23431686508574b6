"""Says what a file of weights is, and by which conventions it gives known logits."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from alexnet_tf.models.spec import Conv, Norm, Op, Pool, Variant
from alexnet_tf.models.variants import VARIANTS
from alexnet_tf.system.errors import UserError
from alexnet_tf.weights.arrays import (
    Arrays,
    LayerArrays,
    WeightFile,
    advice,
    fitting_variants,
)
from alexnet_tf.weights.numpy_files import read_array


def describe(found: WeightFile) -> str:
    """Format, layers and variants of a file, on several lines."""
    lines = [f"{found.path}: {found.format}"]
    for name, layer in found.arrays.items():
        shape = " × ".join(map(str, layer.shape))
        lines.append(f"  {name:6} {shape:22} {layer.kernel.size + layer.bias.size:12,} parameters")
    total = sum(layer.kernel.size + layer.bias.size for layer in found.arrays.values())
    lines.append(f"  total {total:36,} parameters")
    lines.append(f"  {advice(found.arrays)}")
    if found.conventions:
        names = " or ".join(variant.name for variant in found.conventions)
        lines.append(f"  Its numbers follow the conventions of {names}")
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Conventions:
    """What a converter can get wrong.

    Attributes:
        channels: order of the network's input.
        mean: subtracted from the input.
        flatten: order of the inputs of the first fully connected layer: "as read"; or that order is
            wrong, and the file has "channel first" or "channel last".
        groups: order of the two groups of grouped convolutions: "as read" or "swapped".
        divide_by_size: whether α of response normalisation is divided by the size.
        k: of response normalisation.
        norm_first: whether response normalisation comes before pooling.
        dropout: what the hidden units are multiplied by at test.
    """

    channels: str
    mean: str
    flatten: str
    groups: str
    divide_by_size: bool
    k: float
    norm_first: bool
    dropout: float

    def __str__(self) -> str:
        return (
            f"input {self.channels.upper()} less {self.mean}, flatten order {self.flatten}, "
            f"groups {self.groups}, α{' / n' if self.divide_by_size else ''}, k = {self.k:g}, "
            f"{'normalisation before pooling' if self.norm_first else 'pooling first'}, "
            f"hidden units × {self.dropout:g} at test"
        )


_MEANS = {
    "ImageNet's mean colour": (122.679, 116.669, 104.007),
    "nothing": (0.0, 0.0, 0.0),
    "127.5": (127.5, 127.5, 127.5),
}


def match_logits(found: WeightFile, inputs: str, logits: str) -> str:
    """Tries the known conventions and says which restore the expected logits.

    Args:
        found: the weights.
        inputs: .npy file of RGB images [B, size, size, 3], 0 to 255, or already normalised ones.
        logits: .npy file [B, classes].

    Raises:
        UserError: the files do not fit the network.
    """
    images, expected = (read_array(path).astype(np.float32) for path in (inputs, logits))
    fitting = fitting_variants(found.arrays)
    if not fitting:
        raise UserError(f"{found.path}: {advice(found.arrays)}")
    own = [variant.name for variant in found.conventions if variant.name in fitting]
    base = VARIANTS[(own or fitting)[0]]
    size = base.preprocessing.crop_size
    classes = list(found.arrays.values())[-1].shape[-1]
    if images.ndim != 4 or images.shape[1:] != (size, size, 3):
        raise UserError(f"{inputs} has the shape {images.shape}, expected [B, {size}, {size}, 3]")
    if expected.shape != (len(images), classes):
        raise UserError(
            f"{logits} has the shape {expected.shape}, expected {(len(images), classes)}"
        )
    trials = [
        (float(np.abs(outputs - expected).max()), each)
        for each, outputs in _outputs(found.arrays, base, images)
    ]
    trials.sort(key=lambda trial: trial[0])
    scale = float(np.abs(expected).max()) or 1.0
    best = trials[0]
    text = f"  tried {len(trials)} combinations of conventions\n"
    matching = [each for gap, each in trials if gap <= 1e-3 * scale]
    if not matching:
        return (
            text
            + f"  none restores the logits; the nearest is {best[0] / scale:.2g} off: {best[1]}"
        )
    return text + "\n".join(f"  restores the logits: {each}" for each in matching)


def _outputs(
    arrays: Arrays, variant: Variant, images: np.ndarray
) -> Iterator[tuple[Conventions, np.ndarray]]:
    """Logits [B, classes] under each combination of conventions."""
    from alexnet_tf.models.build import build_model

    ops = [op for conv in variant.convs for op in conv.post_ops]
    has_norm = any(isinstance(op, Norm) for op in ops)
    grouped = any(conv.towers > 1 for conv in variant.convs)
    denses = [arrays[dense.name] for dense in variant.denses]
    for divide, k, norm_first in itertools.product(
        *(((True, False), (1.0, 2.0), (True, False)) if has_norm else ((False,), (1.0,), (True,)))
    ):
        body = build_model(_with_norms(variant, divide, k, norm_first), include_top=False)
        for groups in ("as read", "swapped") if grouped else ("as read",):
            for conv in variant.convs:
                body.get_layer(conv.name).set_weights(_grouped(arrays[conv.name], conv, groups))
            for mean, channels in itertools.product(_MEANS, ("rgb", "bgr")):
                x = images - np.float32(_MEANS[mean])
                x = np.ascontiguousarray(x[..., ::-1] if channels == "bgr" else x)
                maps = np.asarray(body(x, training=False))  # [B, H, W, C]
                for flatten, dropout in itertools.product(_FLATTEN, (1.0, 0.5, 2.0)):
                    outputs = _top(_FLATTEN[flatten](maps), denses, dropout)
                    yield (
                        Conventions(
                            channels, mean, flatten, groups, divide, k, norm_first, dropout
                        ),
                        outputs,
                    )


def _last_for_first(maps: np.ndarray) -> np.ndarray:
    """Maps so that a kernel read as channel first meets inputs in the order channel last."""
    batch, height, width, channels = maps.shape
    flat = maps.reshape(batch, channels, height, width)  # the numbers in their own order
    return flat.transpose(0, 2, 3, 1)


_FLATTEN = {
    "as read": lambda maps: maps,
    "channel first": lambda maps: maps.transpose(0, 3, 1, 2),
    "channel last": _last_for_first,
}


def _top(maps: np.ndarray, denses: list[LayerArrays], dropout: float) -> np.ndarray:
    """Logits from the last feature maps."""
    x = maps.reshape(len(maps), -1)
    for number, dense in enumerate(denses):
        x = x @ dense.kernel + dense.bias
        if number < len(denses) - 1:
            x = np.maximum(x, 0) * np.float32(dropout)
    return x


def _grouped(layer: LayerArrays, conv: Conv, groups: str) -> list[np.ndarray]:
    """Kernel and bias, with the two groups of filters in this order."""
    if groups == "as read" or conv.towers == 1:
        return [layer.kernel, layer.bias]
    return [
        np.concatenate(np.split(value, conv.towers, axis=-1)[::-1], axis=-1)
        for value in (layer.kernel, layer.bias)
    ]


def _with_norms(variant: Variant, divide: bool, k: float, norm_first: bool) -> Variant:
    """The variant with these constants and this order."""

    def own(ops: tuple[Op, ...]) -> tuple[Op, ...]:
        """The operations of a layer with these constants, in this order."""
        norms = [
            dataclasses.replace(op, k=k, divide_by_size=divide)
            for op in ops
            if isinstance(op, Norm)
        ]
        pools = [op for op in ops if isinstance(op, Pool)]
        rest = [op for op in ops if not isinstance(op, Norm | Pool)]
        if not norms or not pools:
            return (*rest, *norms, *pools)
        return (*rest, *norms, *pools) if norm_first else (*rest, *pools, *norms)

    return dataclasses.replace(
        variant,
        convs=tuple(dataclasses.replace(c, post_ops=own(c.post_ops)) for c in variant.convs),
    )
