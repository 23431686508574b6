"""Brings arrays from the conventions of one variant to those of another with the same layers.

Two implementations of one network can disagree in the order of colours, in the constants of
response normalisation and in where dropout scales. Each of these can be moved into the weights, so
that the logits agree. Where normalisation, pooling and nonlinearity come in another order, or a
window ends at a tower's edge, no weights make the networks equal; then this is an error.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from alexnet_tf.models.layer_summary import layer_summary, padding
from alexnet_tf.models.spec import Conv, Dense, Dropout, Norm, Op, Pool, Variant, WithinMapNorm
from alexnet_tf.system.errors import UserError
from alexnet_tf.weights.arrays import Arrays, LayerArrays


def reconcile(arrays: Arrays, source: Variant, target: Variant) -> Arrays:
    """Arrays with which `target` computes what `source` computes with the given ones.

    The networks' inputs are the same images, normalised as each of them wants it. Scaling is exact
    for dropout of 1/2 and rounds to float32 for response normalisation.

    Args:
        arrays: by layer, for `source`.
        source: the variant whose conventions the arrays follow.
        target: the variant that gets them.

    Raises:
        UserError: the networks differ in something that weights cannot make up for.
    """
    if differences := irreconcilable(source, target):
        raise UserError(
            f"weights of {source.name} do not fit {target.name}: {'; '.join(differences)}. "
            f"Choose the variant {source.name}"
        )
    parts = [*source.convs, *source.denses], [*target.convs, *target.denses]
    result: Arrays = {}
    scale = 1.0  # of this layer's input, target's over source's
    for a, b in zip(*parts, strict=True):
        if b.name not in arrays:  # it begins anew, so that its output has no scale to keep
            scale = _after(1.0, a.post_ops, b.post_ops)
            continue
        scale = _after(scale, getattr(a, "pre_ops", ()), getattr(b, "pre_ops", ()))
        kernel, bias = arrays[a.name].kernel, arrays[a.name].bias
        if a.name == "conv1" and source.preprocessing.channels != target.preprocessing.channels:
            kernel = np.ascontiguousarray(kernel[:, :, ::-1])
        own = _scale_for_norm(a.post_ops, b.post_ops)  # of this layer's output
        if own != scale:
            kernel = kernel * np.float32(own / scale)
        if own != 1:
            bias = bias * np.float32(own)
        scale = _after(own, a.post_ops, b.post_ops)
        result[b.name] = LayerArrays(kernel, bias)
    return result


def irreconcilable(source: Variant, target: Variant) -> list[str]:
    """The differences between two networks that no change of weights makes up for.

    Widths may differ: the shapes of arrays are checked elsewhere.
    """
    names = [[part.name for part in (*v.convs, *v.denses)] for v in (source, target)]
    if names[0] != names[1]:
        return [f"{', '.join(names[0])} there and {', '.join(names[1])} here"]
    found = []
    if source.activation != target.activation:
        found.append(f"{source.activation} there and {target.activation} here")
    for a, b in zip((*source.convs, *source.denses), (*target.convs, *target.denses), strict=True):
        if isinstance(a, Conv) and _windows(source)[a.name] != _windows(target)[b.name]:
            found.append(f"{a.name} has another kernel, stride or padding, or another image size")
        for ops in ("pre_ops", "post_ops"):
            ours = [_fixed(op) for op in getattr(b, ops, ())]
            theirs = [_fixed(op) for op in getattr(a, ops, ())]
            ours, theirs = ([op for op in each if op is not None] for each in (ours, theirs))
            if ours != theirs:
                found.append(_describe(a, theirs, ours))
            elif _scale_for_norm(getattr(a, ops, ()), getattr(b, ops, ())) != 1 and (
                source.activation not in ("relu", "leaky_relu")
                or sum(isinstance(op, Norm | WithinMapNorm) for op in theirs) > 1
            ):
                found.append(
                    f"{a.name}: other constants of normalisation, with {source.activation} or a "
                    "second normalisation"
                )
    return found


def _windows(variant: Variant) -> dict[str, tuple]:
    """The windows of each convolution: size, stride, zeros before the first, and their number."""
    number = {layer.name: layer.outputs[:2] for layer in layer_summary(variant)}
    return {
        conv.name: (conv.kernel, conv.stride, padding(conv)[0], conv.towers, number[conv.name])
        for conv in variant.convs
    }


def _describe(part: Conv | Dense, theirs: list[Op], ours: list[Op]) -> str:
    there, here = (" → ".join(map(_words, ops)) or "nothing" for ops in (theirs, ours))
    if there == here:  # other sizes
        there, here = (" → ".join(map(str, ops)) for ops in (theirs, ours))
    return f"{part.name} is followed by {there} there and by {here} here"


def _words(op: Op) -> str:
    if isinstance(op, Norm):
        return f"normalisation in {op.towers} towers" if op.towers > 1 else "normalisation"
    words = {Pool: "pooling", WithinMapNorm: "normalisation in maps"}
    return words.get(type(op), str(op))


def _fixed(op: Op) -> Op | None:
    """What of an operation has to agree; None if it may differ."""
    if isinstance(op, Norm):
        return dataclasses.replace(op, k=1.0, alpha=1.0, divide_by_size=False)
    return None if isinstance(op, Dropout) else op


def _constants(ops: tuple[Op, ...]) -> tuple[float, float, float] | None:
    """k, α as it multiplies the sum, and β of a layer's response normalisation."""
    for op in ops:
        if isinstance(op, Norm):
            return op.k, op.alpha / (op.size if op.divide_by_size else 1), op.beta
    return None


def _scale_for_norm(source: tuple[Op, ...], target: tuple[Op, ...]) -> float:
    """What a layer's output is multiplied by, so that both normalisations weigh it alike.

    x · (k + α Σx²)^-β keeps its form under x → s x if k → c k and α s² = c α, with c = k' / k.
    """
    a, b = _constants(source), _constants(target)
    if a is None or b is None or a == b:
        return 1.0
    return float((b[0] / a[0] * a[1] / b[1]) ** 0.5)


def _after(scale: float, source: tuple[Op, ...], target: tuple[Op, ...]) -> float:
    """The scale after a layer's operations, target's output over source's, in inference."""
    a, b = _constants(source), _constants(target)
    if a is not None and b is not None and a != b:
        scale *= (b[0] / a[0]) ** -b[2]
    for ops, power in ((source, -1), (target, 1)):
        for op in ops:
            if isinstance(op, Dropout) and op.convention == "unscaled":
                scale *= (1 - op.rate) ** power
    return scale
