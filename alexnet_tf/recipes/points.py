"""The points on which the sources of AlexNet disagree.

One function for each point reads a variant and a run's options and returns what they do there, as
text. So the report (report.py) states what the code does, and cannot go out of date.
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
    """A point that no variant or option decides.

    Attributes:
        ours: what this package always does.
        others: what a source does, by its name, if it does something else.
    """

    ours: str
    others: dict[str, str]


def _input(variant: Variant, options: Options) -> str:
    padding = variant.convs[0].padding
    before, after = (0, 0) if padding == "same" else padding
    zeros = f", {before} zeros before and {after} after" if before or after else ", no padding"
    return f"{variant.preprocessing.crop_size} pixels{zeros}"


def _maps(variant: Variant, options: Options) -> str:
    """Height (equal to width) of each convolution's output, and of the input to fc6."""
    layers = layer_summary(variant)[: len(variant.convs)]
    sizes = [layer.outputs[0] for layer in layers] + [layers[-1].output_after_pooling[0]]
    return ", ".join(map(str, sizes))


def _kernels(variant: Variant, options: Options) -> str:
    return ", ".join(str(conv.filters) for conv in variant.convs)


def _towers(variant: Variant, options: Options) -> str:
    split = [conv.name for conv in variant.convs if conv.towers > 1]
    return f"two, apart in {', '.join(split)}" if split else "one"


def _order(index: int) -> Callable[[Variant, Options], str]:
    """Returns a function that describes the order of operations in a convolutional layer."""

    def read(variant: Variant, options: Options) -> str:
        """The convolution and its operations."""
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
    layers: tuple[Conv | Dense, ...] = (*variant.convs, *variant.denses)
    return [
        op
        for layer in layers
        for op in (*getattr(layer, "pre_ops", ()), *layer.post_ops)
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
    return _by_layer(variant, lambda layer: rules.get(layer.init) or f"{layer.init:g}")


def _biases(variant: Variant, options: Options) -> str:
    # PyTorch draws biases as it draws kernels.
    return _by_layer(variant, lambda layer: "drawn" if layer.init == "torch" else f"{layer.bias:g}")


def _by_layer(variant: Variant, read: Callable[[Conv | Dense], str]) -> str:
    """Each value with its layers: "0.01 in conv1, conv2; 0.03 in conv3"."""
    layers: dict[str, list[str]] = {}
    for layer in (*variant.convs, *variant.denses):
        layers.setdefault(read(layer), []).append(layer.name)
    return "; ".join(
        value if len(layers) == 1 else f"{value} in {', '.join(names)}"
        for value, names in layers.items()
    )


def _dropout(variant: Variant, options: Options) -> str:
    places = [
        f"{'before' if _has_dropout(dense.pre_ops) else 'after'} {dense.name}"
        for dense in variant.denses
        if _has_dropout(dense.pre_ops) or _has_dropout(dense.post_ops)
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
    decayed = "weights and biases" if options.decay_biases else "weights only"
    return f"{options.weight_decay:g} of {decayed}"


def _rate(variant: Variant, options: Options) -> str:
    if options.decay == "plateau":
        when = (
            f"divided by 10 after {options.patience} validations without a better one, "
            f"{options.plateau_reductions} times"
        )
    elif options.decay == "cosine":
        when = "falling to 0 along a cosine"
    elif options.decay == "step" and options.decay_epochs:
        when = f"divided by 10 after epochs {_epochs(options.decay_epochs)}"
    else:
        when = "divided by 10 never"
    warmup = f"rising for {options.warmup_epochs:g} epochs, " if options.warmup_epochs else ""
    return f"{options.learning_rate:g}, {warmup}{when}"


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
    preprocessing, names = variant.preprocessing, _augmentations(variant, options)
    if "resized_crop" in names:
        return "random resized crop of the whole image"
    if "crop" not in names:
        return "centre"
    crop = f"random {preprocessing.crop_size} of {preprocessing.image_size}"
    chunk = preprocessing.chunk
    return f"{crop}, one for {chunk} images" if chunk > 1 else f"{crop}, for each image"


def _resize(variant: Variant, options: Options) -> str:
    size = variant.preprocessing.image_size
    names = {
        "shorter_side": f"shorter side to {size}, then the central square",
        "warp": f"warped to {size}×{size}",
    }
    return names[variant.preprocessing.resize]


def _mean(variant: Variant, options: Options) -> str:
    mean = variant.preprocessing.mean
    if isinstance(mean, tuple):
        return "of each colour, and divided by the standard deviation"
    names = {
        "pixel": "of each pixel, at the crop's offset",
        "pixel_centre": "of each pixel, of the centre crop for every crop",
    }
    return names[mean]


def _pca_noise(variant: Variant, options: Options) -> str:
    noise = variant.preprocessing.pca_noise
    if noise is None or "pca_noise" not in _augmentations(variant, options):
        return "none"
    text = f"σ={noise.sigma:g} times the {noise.scaled_by.replace('_', ' ')}"
    if noise.divisor != 1:
        text += f", then everything ÷ {noise.divisor:g}"
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
    "initial biases": _biases,
    "dropout": _dropout,
    "batch": lambda variant, options: f"{options.batch_size} images",
    "length": _length,
    "learning rate": _rate,
    "learning rate of biases": _bias_rate,
    "learning rates of layers": _layer_rates,
    "momentum": lambda variant, options: f"{options.momentum:g}",
    "weight decay": _decay,
    "resizing": _resize,
    "crop": _crop,
    "mean": _mean,
    "channels": lambda variant, options: variant.preprocessing.channels.upper(),
    "colour noise": _pca_noise,
}

_TEN_VIEWS = "four corners, the centre and their reflections, softmax averaged"
FIXED: dict[str, Fixed] = {
    "update": Fixed(
        "v ← momentum · v - rate · (g + decay · w), w ← w + v",
        # torch.optim.SGD: a new rate acts at once on the whole velocity.
        {"torchvision": "v ← momentum · v + g + decay · w, w ← w - rate · v"},
    ),
    "views at test": Fixed(
        "the centre; alexnet_tf.evaluate --views=10 for the paper's ten",
        {source: _TEN_VIEWS for source in ("paper", "slides", "original code")},
    ),
    "order of images": Fixed(
        "shuffled in each epoch",
        {
            # convdata_jpeg.py: shuffling is commented out. The same 32 images share a crop.
            "original code": "the same in each epoch: files in sequence",
            "Caffe": "the same in each epoch: shuffled once, when the database is made",
        },
    ),
}

# Points on which a source is silent; its recipe here follows our choice.
NOT_SAID: dict[str, tuple[str, ...]] = {
    "paper": ("order of images",),
    "slides": ("order of images", "colour noise"),  # the slides: RGB values are altered
    "original code": ("resizing",),
}

_ZEROS = "the zeros are not said; ours"
_PATIENCE = "the number of validations is not said; ours"
_BIAS_DECAY = "the decay of biases is not said; ours"
_BIAS_RATE = "the rate of biases is not said; ours"
_OFFSET = "the offset is not said; ours"
_FILTER = "the filter is not said; ours"
_ACROSS = "taken literally, across all maps; in the original code, inside each tower"
# Details that a source does not mention, or gives in another way than its recipe here.
NOTES: dict[str, dict[str, str]] = {
    "paper": {
        "input": _ZEROS,
        "normalisation": _ACROSS,
        "learning rate": _PATIENCE,
        "learning rate of biases": _BIAS_RATE,
        "weight decay": _BIAS_DECAY,
        "resizing": _FILTER,
        "mean": _OFFSET,
    },
    "slides": {
        "input": _ZEROS,
        "normalisation": _ACROSS,
        "initial biases": "taken literally, 1 in fc8 as well",
        "learning rate": _PATIENCE,
        "learning rate of biases": _BIAS_RATE,
        "weight decay": _BIAS_DECAY,
        "resizing": _FILTER,
        "mean": _OFFSET,
    },
    "original code": {
        "learning rate": "our reading: its log says epochs 23, 51 and 78, counted from 1",
        "learning rates of layers": "our reading: its log says epochs 68 and 72, counted from 1",
        "colour noise": "our reading: its log says epoch 68, counted from 1",
        # Not recorded for this run; configs/code2012.flags has the evidence.
        "learning rate of biases": "the start and the drop are inferred from "
        "layer-params-120-4gpu.cfg and layer-params-120-4gpu-auto2.cfg",
        # cuda-convnet2, make-data/pyext/src/pyext.cpp
        "resizing": "the author's script of 2014: the same, by INTER_AREA to smaller and by "
        "INTER_CUBIC to larger images, JPEG quality 95",
    },
    # examples/imagenet, tools/convert_imageset
    "Caffe": {"resizing": "by ImageMagick's -resize or by OpenCV's default filter"},
    "torchvision": {"resizing": "Pillow's bilinear filter, no second JPEG"},
}
