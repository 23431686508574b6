"""Options that name layers of a variant: `--layer_rates`, `--freeze` and `--init_exclude`."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

from alexnet_tf.models.spec import Variant
from alexnet_tf.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class LayerRate:
    """One item of `--layer_rates`.

    Attributes:
        pattern: regular expression of the paths of the variables.
        epoch: from which on.
        multiplier: of the learning rate.
    """

    pattern: str
    epoch: float
    multiplier: float


def weighted_layers(variant: Variant) -> list[str]:
    """Names of the layers with weights, in the order of the network: conv1 ... fc8."""
    return [row.name for row in (*variant.convs, *variant.denses)]


def parse_layer_rates(
    items: Sequence[str], layers: Sequence[str], frozen: Sequence[str] = ()
) -> tuple[LayerRate, ...]:
    """Reads items such as "conv1:72:0" or "conv1/kernel:68:0.1".

    Args:
        items: of the option.
        layers: names of the network's layers.
        frozen: the layers of them that are not trained.

    Returns:
        The rates in the order of their epochs.

    Raises:
        UserError: an item of another form, or of a layer that is not there or is not trained.
    """
    rates = [_parse_layer_rate(item, layers, frozen) for item in items]
    return tuple(sorted(rates, key=lambda rate: rate.epoch))


def _parse_layer_rate(item: str, layers: Sequence[str], frozen: Sequence[str]) -> LayerRate:
    match = re.fullmatch(r"(\w+)(/kernel|/bias)?:([\d.]+):(\d[\d.e-]*)", item)
    try:
        layer, variable, epoch, multiplier = match.groups()
        # In towers conv1 is conv1a and conv1b: conv1a/conv1a/kernel and conv1b/conv1b/kernel.
        rate = LayerRate(f"\\b{layer}[ab]?{variable or '/'}", float(epoch), float(multiplier))
        if not math.isfinite(rate.epoch + rate.multiplier):
            raise ValueError(item)
    except (AttributeError, ValueError):
        raise UserError(
            f"Expected --layer_rates=LAYER:EPOCH:MULTIPLIER,..., e.g. conv1:72:0. Received: {item}"
        ) from None
    if layer not in layers:
        raise UserError(
            f"Expected --layer_rates with layers of {', '.join(layers)}. Received: {item}"
        )
    if layer in frozen:
        raise UserError(f"Expected --layer_rates without layers of --freeze. Received: {item}")
    return rate


def parse_layers(items: Sequence[str], layers: Sequence[str], flag: str) -> tuple[str, ...]:
    """Reads names of layers and ranges of them: "conv1-conv5", "fc8".

    Args:
        items: of the option.
        layers: names of the network's layers, in order.
        flag: name of the option, for messages.

    Returns:
        The names, in the order of the network.

    Raises:
        UserError: a layer that is not there, or a range that ends before it begins.
    """
    chosen = set()
    for item in items:
        first, _, last = item.strip().partition("-")
        last = last or first
        if first not in layers or last not in layers or layers.index(first) > layers.index(last):
            raise UserError(
                f"Expected --{flag} with layers of {', '.join(layers)}, or ranges such as "
                f"{layers[0]}-{layers[-2]}. Received: {item}"
            )
        chosen.update(layers[layers.index(first) : layers.index(last) + 1])
    return tuple(layer for layer in layers if layer in chosen)


def describe_layers(names: Sequence[str], layers: Sequence[str]) -> str:
    """Names with runs of them shortened: "conv1 to conv5, fc8".

    Args:
        names: in the order of the network.
        layers: all of the network's.
    """
    runs: list[list[str]] = []
    for name in names:
        if runs and layers.index(name) == layers.index(runs[-1][-1]) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    texts = []
    for run in runs:
        texts += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else run
    return ", ".join(texts) or "no layer"
