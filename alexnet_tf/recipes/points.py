"""The points on which the sources of AlexNet disagree, and what a network does there.

Each is read off a row of `models/variants.py` and a run's options by one function, so that the
report (recipe_report.py) says what the code does, not what a table says of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from alexnet_tf.models.layer_summary import layer_summary
from alexnet_tf.models.spec import (
    ACTIVATION,
    Conv,
    Dense,
    Dropout,
    Norm,
    Op,
    Pool,
    Variant,
    WithinMapNorm,
)
from alexnet_tf.training.options import Options


@dataclasses.dataclass(frozen=True)
class Fixed:
    """A point that no network or option of ours decides.

    Attributes:
        ours: what this package does.
        others: what a source does, where that is something else; by its name.
    """

    ours: str
    others: dict[str, str]


def _input(variant: Variant, options: Options) -> str:
    padding = variant.convs[0].padding
    before, after = (0, 0) if padding == "same" else padding
    zeros = f", {before} zeros before and {after} after" if before or after else ", no padding"
    return f"{variant.preprocessing.crop_size} pixels{zeros}"


def _maps(variant: Variant, options: Options) -> str:
    """Sides of the convolutions' maps, and of what the fully connected layers get."""
    layers = layer_summary(variant)[: len(variant.convs)]
    return ", ".join(
        str(side) for side in (*(x.outputs[0] for x in layers), layers[-1].output_after_pooling[0])
    )


def _kernels(variant: Variant, options: Options) -> str:
    return ", ".join(str(conv.filters) for conv in variant.convs)


def _towers(variant: Variant, options: Options) -> str:
    split = [conv.name for conv in variant.convs if conv.towers > 1]
    return f"two, apart in {', '.join(split)}" if split else "one"


def _order(index: int) -> Callable[[Variant, Options], str]:
    """Of what follows a convolution."""

    def read(variant: Variant, options: Options) -> str:
        """The order after one convolution."""
        conv = variant.convs[index]
        return ", ".join(["convolution", *(_name(op, variant) for op in conv.post_ops)])

    return read


def _name(op: Op, variant: Variant) -> str:
    names = {
        Norm: "normalisation",
        WithinMapNorm: "within-map normalisation",
        Pool: "pooling",
        Dropout: "dropout",
    }
    return variant.activation.replace("relu", "ReLU") if op == ACTIVATION else names[type(op)]


def _operations(variant: Variant, kind: type) -> list:
    rows: tuple[Conv | Dense, ...] = (*variant.convs, *variant.denses)
    return [
        op
        for row in rows
        for op in (*getattr(row, "pre_ops", ()), *row.post_ops)
        if type(op) is kind
    ]


def _norm(variant: Variant, options: Options) -> str:
    for op in _operations(variant, Norm):
        divided = f" divided by {op.size}" if op.divide_by_size else ""
        where = "inside each tower" if op.towers > 1 else "across all maps"
        return f"k={op.k:g}, n={op.size}, α={op.alpha:g}{divided}, β={op.beta:g}, {where}"
    return "none"


def _within_map_norm(variant: Variant, options: Options) -> str:
    for op in _operations(variant, WithinMapNorm):
        square = f"{op.size}×{op.size}"
        return f"{square}, k={op.k:g}, α={op.alpha:g} divided by {op.size**2}, β={op.beta:g}"
    return "none"


def _sigmas(variant: Variant, options: Options) -> str:
    rules = {"he": "√(2 / fan-in)", "torch": "uniform on ±1 / √fan-in"}
    return _by_layer(variant, lambda row: rules.get(row.init) or f"{row.init:g}")


def _biases(variant: Variant, options: Options) -> str:
    drawn = ("torch",)  # biases are drawn as the kernels are
    return _by_layer(variant, lambda row: "drawn" if row.init in drawn else f"{row.bias:g}")


def _by_layer(variant: Variant, read: Callable[[Conv | Dense], str]) -> str:
    """The layers of each value: ".01 in conv1, conv2; .03 in conv3"."""
    layers: dict[str, list[str]] = {}
    for row in (*variant.convs, *variant.denses):
        layers.setdefault(read(row), []).append(row.name)
    return "; ".join(
        value if len(layers) == 1 else f"{value} in {', '.join(names)}"
        for value, names in layers.items()
    )


def _dropout(variant: Variant, options: Options) -> str:
    places = [
        f"{'before' if _has_dropout(row.pre_ops) else 'after'} {row.name}"
        for row in variant.denses
        if _has_dropout(row.pre_ops) or _has_dropout(row.post_ops)
    ]
    if not places:
        return "none"
    op = _operations(variant, Dropout)[0]
    how = {
        "unscaled": f"outputs × {1 - op.rate:g} at test",
        "inverted": f"outputs ÷ {1 - op.rate:g} in training",
    }
    return f"{op.rate:g} {', '.join(places)}, {how[op.convention]}"


def _has_dropout(ops: tuple[Op, ...]) -> bool:
    return any(isinstance(op, Dropout) for op in ops)


def _decay(variant: Variant, options: Options) -> str:
    what = "weights and biases" if options.decay_biases else "weights only"
    return f"{options.weight_decay:g} of {what}"


def _rate(variant: Variant, options: Options) -> str:
    if options.plateau_patience:
        when = (
            f"whenever {options.plateau_patience} validations bring nothing better, "
            f"{options.plateau_reductions} times"
        )
    elif options.decay_epochs:
        when = f"after epochs {_epochs(options.decay_epochs)}"
    else:
        when = "never"
    return f"{options.learning_rate:g}, divided by 10 {when}"


def _length(variant: Variant, options: Options) -> str:
    return f"{options.steps:,} steps" if options.steps else f"{_epochs((options.epochs,))} epochs"


def _bias_rate(variant: Variant, options: Options) -> str:
    text = f"× {options.bias_rate:g}"
    if options.bias_decay_epochs:
        text += f", divided by 10 after epochs {_epochs(options.bias_decay_epochs)} only"
    return text


def _epochs(epochs: tuple[float, ...]) -> str:
    return ", ".join(f"{epoch:.4g}" for epoch in epochs)


def _layer_rates(variant: Variant, options: Options) -> str:
    texts = []
    for item in options.layer_rates:
        name, epoch, multiplier = item.split(":")
        text = "frozen" if float(multiplier) == 0 else f"at × {float(multiplier):g}"
        texts.append(f"{name} {text} from epoch {epoch}")
    return ", ".join(texts) or "all layers alike"


def _augmentations(variant: Variant, options: Options) -> tuple[str, ...]:
    if options.augment is None:
        return variant.preprocessing.augmentations
    return options.augment


def _crop(variant: Variant, options: Options) -> str:
    spec, names = variant.preprocessing, _augmentations(variant, options)
    if "resized_crop" in names:
        return "random resized crop of the whole image"
    if "crop" not in names:
        return "centre"
    whole = f"random {spec.crop_size} of {spec.image_size}"
    return f"{whole}, one for {spec.chunk} images" if spec.chunk > 1 else f"{whole}, for each image"


def _resize(variant: Variant, options: Options) -> str:
    side = variant.preprocessing.image_size
    names = {
        "shorter_side": f"shorter side to {side}, then the central square",
        "warp": f"warped to {side}×{side}",
    }
    return names[variant.preprocessing.resize]


def _mean(variant: Variant, options: Options) -> str:
    mean = variant.preprocessing.mean
    if isinstance(mean, tuple):
        return "of each colour, and divided by the standard deviation"
    names = {
        "pixel": "of each pixel, at the crop's place",
        "pixel_centre": "of each pixel, the centre's for every crop",
    }
    return names[mean]


def _lighting(variant: Variant, options: Options) -> str:
    lighting = variant.preprocessing.pca_noise
    if lighting is None or "pca_noise" not in _augmentations(variant, options):
        return "none"
    text = f"σ={lighting.sigma:g} times the {lighting.scaled_by.replace('_', ' ')}"
    if lighting.divisor != 1:
        text += f", then everything ÷ {lighting.divisor:g}"
    if options.pca_noise_until < options.epochs:
        text += f", until epoch {options.pca_noise_until:g}"
    return text


POINTS: dict[str, Callable[[Variant, Options], str]] = {
    "input": _input,
    "feature maps": _maps,
    "kernels": _kernels,
    "towers": _towers,
    "layer 1": _order(0),
    "layer 2": _order(1),
    "layer 5": _order(4),
    "normalisation": _norm,
    "within-map normalisation": _within_map_norm,
    "σ of kernels": _sigmas,
    "biases at first": _biases,
    "dropout": _dropout,
    "batch": lambda variant, options: f"{options.batch_size} images",
    "length": _length,
    "rate": _rate,
    "rate of biases": _bias_rate,
    "rates of layers": _layer_rates,
    "momentum": lambda variant, options: f"{options.momentum:g}",
    "weight decay": _decay,
    "resizing": _resize,
    "crop": _crop,
    "mean": _mean,
    "channels": lambda variant, options: variant.preprocessing.channels.upper(),
    "lighting": _lighting,
}

_TEN = "four corners, the centre and their reflections, softmax averaged"
FIXED: dict[str, Fixed] = {
    "update": Fixed(
        "v ← momentum · v - rate · (g + decay · w), w ← w + v",
        # torch.optim.SGD: a new rate acts at once on all that the velocity holds.
        {"torchvision": "v ← momentum · v + g + decay · w, w ← w - rate · v"},
    ),
    "views at test": Fixed(
        "the centre; alexnet_tf.evaluate --views=10 for the paper's ten",
        {source: _TEN for source in ("paper", "slides", "original code")},
    ),
}
