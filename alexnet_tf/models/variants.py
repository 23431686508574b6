"""The variants of AlexNet as data; `build.py` turns each into a `keras.Model`.

Sources, cited at each number that needs one:
    paper      Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional
               Neural Networks, 2012
    slides     McCraith: the 2016 lecture of the same title
    145        the original code's `layers/layers-145.cfg`; its other files are cited by name, also
               those of run 146
    Caffe      BVLC Caffe's `models/bvlc_alexnet` and `models/bvlc_reference_caffenet`
    torch      torchvision's `alexnet`, after Krizhevsky: One weird trick for parallelizing
               convolutional neural networks, 2014

Feature maps of all the 224/227 pixel networks: 55, 27, 13, 13, 13 and 6 after pool5.
"""

from __future__ import annotations

import dataclasses

from alexnet_tf.models.spec import (
    ACTIVATION,
    Conv,
    Dense,
    Dropout,
    Norm,
    PCANoise,
    Pool,
    Preprocessing,
    Variant,
    WithinMapNorm,
)
from alexnet_tf.system.errors import UserError

# 224 pixels give 55 outputs only if the last window may hang over the edge: 1 + ceil((224-11)/4)
# (`layer.py`, modulesX). The same as 3 rows and columns of zeros after the mean is subtracted.
_CEIL_EDGE = (0, 3)

_OVERLAPPING = Pool(size=3, stride=2)  # paper §3.4
_ONE_BIAS_IN = ("conv2", "conv4", "conv5")  # paper §5


def _paper_convs(
    towers: int,
    one_bias_in: tuple[str, ...] = _ONE_BIAS_IN,
    bias: float = 1.0,  # paper §5: "the constant 1"
    sigmas: tuple[float, ...] = (0.01, 0.01, 0.01, 0.01, 0.01),  # paper §5
    edge: tuple[int, int] = _CEIL_EDGE,
    post_ops: tuple[tuple, ...] | None = None,
) -> tuple[Conv, ...]:
    """The five convolutions of paper §3.5; only what the sources dispute is an argument."""
    if post_ops is None:
        # Paper §3.3 to 3.5: response normalisation follows the ReLU of layers 1 and 2, pooling
        # follows both and layer 5. By the paper's letter the window crosses from one GPU's maps to
        # the other's: N is "the total number of kernels in the layer" (§3.3). The code behind the
        # paper's results normalises inside each tower (145, rnorm1a and b), and we follow it.
        norm = Norm(towers=towers)
        first = (ACTIVATION, norm, _OVERLAPPING)
        post_ops = (first, first, (ACTIVATION,), (ACTIVATION,), (ACTIVATION, _OVERLAPPING))
    shapes = (  # name, filters, kernel, stride, padding, towers: paper §3.5 and figure 2
        ("conv1", 96, 11, 4, edge, 1),
        ("conv2", 256, 5, 1, "same", towers),
        ("conv3", 384, 3, 1, "same", 1),  # here the towers meet
        ("conv4", 384, 3, 1, "same", towers),
        ("conv5", 256, 3, 1, "same", towers),
    )
    return tuple(
        Conv(*shape, init=sigma, bias=bias if shape[0] in one_bias_in else 0.0, post_ops=ops)
        for shape, sigma, ops in zip(shapes, sigmas, post_ops, strict=True)
    )


def _paper_denses(
    units: int = 4096,  # paper §3.5
    bias: float = 1.0,  # paper §5
    sigma: float = 0.01,  # paper §5
    dropout: Dropout | None = None,
) -> tuple[Dense, ...]:
    """Two hidden layers with dropout (paper §4.2) and the classifier."""
    hidden = (ACTIVATION, dropout or Dropout(rate=0.5))
    return (
        Dense("fc6", units, init=sigma, bias=bias, post_ops=hidden),
        Dense("fc7", units, init=sigma, bias=bias, post_ops=hidden),
        Dense("fc8", None, init=0.01),  # every source
    )


# Paper §4.1: 224 of 256, per-pixel mean, α ~ N(0, .1) times the eigenvalue. The paper does not
# say in which unit pixels are. It can only be [0, 1]: in 0 to 255 the noise has σ above 1,000.
_PAPER_INPUT = Preprocessing(image_size=256, crop_size=224, mean="pixel", pca_noise=PCANoise())

PAPER = Variant(
    name="paper",
    summary="the 2012 paper: two towers, ReLU before normalisation before pooling",
    convs=_paper_convs(towers=2),
    denses=_paper_denses(),
    preprocessing=_PAPER_INPUT,
)

# The slides give bias 1 to conv2 to conv5 and to the fully connected layers, by the letter to fc8
# too. fc8 starts at 0 here, as in the paper ("the fully-connected hidden layers", §5) and in 145.
SLIDES = dataclasses.replace(
    PAPER,
    name="slides",
    summary="the 2016 lecture: the paper with bias 1 in conv3 as well",
    convs=_paper_convs(towers=2, one_bias_in=(*_ONE_BIAS_IN, "conv3")),
)

_CODE_NORM = Norm(divide_by_size=True, towers=2)  # 145: scale 1e-4, divided by size in the code
_CODE_WITHIN_MAP_NORM = WithinMapNorm()  # 145, cnorm2a and b; the paper does not mention them
CODE2012 = Variant(
    name="code2012",
    summary="the original code's run 145: conv1 normalised and pooled before its ReLU",
    convs=_paper_convs(
        towers=2,
        sigmas=(0.01, 0.01, 0.03, 0.03, 0.03),  # 145, initW
        post_ops=(
            (_CODE_NORM, _OVERLAPPING, ACTIVATION),
            (ACTIVATION, _CODE_NORM, _CODE_WITHIN_MAP_NORM, _OVERLAPPING),
            (ACTIVATION,),
            (ACTIVATION,),
            (_OVERLAPPING, ACTIVATION),
        ),
    ),
    denses=_paper_denses(),
    preprocessing=dataclasses.replace(
        _PAPER_INPUT,
        mean="pixel_centre",  # the original data provider subtracts the mean's centre crop
        pca_noise=PCANoise(scaled_by="standard_deviation", divisor=1.1),  # and divides by 1.1
        chunk=32,  # and crops 32 successive images at one offset and flips them together
    ),
)

# Run 146, pretrained on the 2011 release and fine-tuned on ILSVRC-2012
# (`layers/layers-146-2012-2011.cfg`): 145 and, after the last pooling, conv6a and b, which see the
# maps of both towers and are not pooled. The fully connected layers are numbered on.
CODE2012_6CONV = dataclasses.replace(
    CODE2012,
    name="code2012_6conv",
    summary="the original code's run 146: run 145 with a sixth convolution after pooling",
    convs=(*CODE2012.convs, Conv("conv6", 256, 3, 1, "same", init=0.03, bias=1.0)),
    denses=tuple(
        dataclasses.replace(dense, name=name)
        for dense, name in zip(CODE2012.denses, ("fc7", "fc8", "fc9"), strict=True)
    ),
)

_CAFFE_NORM = Norm(k=1.0, divide_by_size=True)  # Caffe: k=1, alpha/n, across all 96 or 256 maps
_CAFFE_INPUT = Preprocessing(crop_size=227, resize="warp", mean="pixel", channels="bgr")
_CAFFE_FIRST = (ACTIVATION, _CAFFE_NORM, _OVERLAPPING)
CAFFE = Variant(
    name="caffe",
    summary="BVLC Caffe's bvlc_alexnet: 227 pixels, BGR, k=1, biases of 0.1",
    convs=_paper_convs(
        towers=2,
        bias=0.1,
        edge=(0, 0),  # 227 pixels fit without padding: (227 - 11) / 4 + 1 = 55
        post_ops=(
            _CAFFE_FIRST,
            _CAFFE_FIRST,
            (ACTIVATION,),
            (ACTIVATION,),
            (ACTIVATION, _OVERLAPPING),
        ),
    ),
    denses=_paper_denses(bias=0.1, sigma=0.005, dropout=Dropout(convention="inverted")),
    preprocessing=_CAFFE_INPUT,
)

_CAFFENET_FIRST = (ACTIVATION, _OVERLAPPING, _CAFFE_NORM)
CAFFENET = dataclasses.replace(
    CAFFE,
    name="caffenet",
    summary="Caffe's reference CaffeNet: pooling before normalisation, biases of 1",
    convs=_paper_convs(
        towers=2,
        bias=1.0,  # bvlc_reference_caffenet/train_val.prototxt
        edge=(0, 0),
        post_ops=(
            _CAFFENET_FIRST,
            _CAFFENET_FIRST,
            (ACTIVATION,),
            (ACTIVATION,),
            (ACTIVATION, _OVERLAPPING),
        ),
    ),
    denses=_paper_denses(bias=1.0, sigma=0.005, dropout=Dropout(convention="inverted")),
)

SINGLE_GPU = dataclasses.replace(
    PAPER,
    name="single_gpu",
    summary="the paper's widths without the split: every kernel sees every map",
    convs=_paper_convs(towers=1),
)

_HALF = Dropout(rate=0.5, convention="inverted")
ONE_WEIRD_TRICK = Variant(
    name="one_weird_trick",
    summary="torchvision's alexnet: one tower, no normalisation, dropout before fc6 and fc7",
    convs=(
        Conv("conv1", 64, 11, 4, (2, 2), init="torch", post_ops=(ACTIVATION, _OVERLAPPING)),
        Conv("conv2", 192, 5, init="torch", post_ops=(ACTIVATION, _OVERLAPPING)),
        Conv("conv3", 384, 3, init="torch"),
        Conv("conv4", 256, 3, init="torch"),
        Conv("conv5", 256, 3, init="torch", post_ops=(ACTIVATION, _OVERLAPPING)),
    ),
    denses=(
        Dense("fc6", 4096, init="torch", pre_ops=(_HALF,), post_ops=(ACTIVATION,)),
        Dense("fc7", 4096, init="torch", pre_ops=(_HALF,), post_ops=(ACTIVATION,)),
        Dense("fc8", None, init="torch"),
    ),
    preprocessing=Preprocessing(
        mean=(123.675, 116.28, 103.53),  # torchvision's .485 .456 .406 of 255
        std=(58.395, 57.12, 57.375),  # torchvision's .229 .224 .225 of 255
        augmentations=("resized_crop", "flip"),  # torchvision's references/classification
    ),
)


# The small networks are ours: every feature of the paper at a size for two CPU cores. In narrow
# layers the signal dies out with weights of σ = .01, so σ follows the fan-in (He et al., 2015).
# Inputs are divided by 16. Divided by 1 or 8, the first noisy steps killed every ReLU in some runs;
# divided by 64, response normalisation has no effect and learning starts late.
_SMALL_STD = (16.0, 16.0, 16.0)


def _small_convs(*rows: tuple) -> tuple[Conv, ...]:
    """The paper's convolutions at other sizes.

    Args:
        rows: name, filters, kernel, stride, padding and towers of each.
    """
    first = (ACTIVATION, Norm(towers=2), _OVERLAPPING)
    post_ops = (first, first, (ACTIVATION,), (ACTIVATION,), (ACTIVATION, _OVERLAPPING))
    return tuple(
        Conv(*row, init="he", bias=1.0 if row[0] in _ONE_BIAS_IN else 0.0, post_ops=ops)
        for row, ops in zip(rows, post_ops, strict=True)
    )


def _small_denses(units: int) -> tuple[Dense, ...]:
    hidden = (ACTIVATION, Dropout(rate=0.5))
    return (
        Dense("fc6", units, init="he", bias=1.0, post_ops=hidden),
        Dense("fc7", units, init="he", bias=1.0, post_ops=hidden),
        Dense("fc8", None, init=0.01),
    )


TINY = Variant(
    name="tiny",
    summary="every feature of the paper at 64 pixels, trains in three minutes on two cores",
    convs=_small_convs(
        ("conv1", 32, 5, 2, (0, 0), 1),  # 64 -> 30; after the pools 14, 6 and 2
        ("conv2", 64, 5, 1, "same", 2),
        ("conv3", 96, 3, 1, "same", 1),
        ("conv4", 96, 3, 1, "same", 2),
        ("conv5", 64, 3, 1, "same", 2),
    ),
    denses=_small_denses(256),
    preprocessing=Preprocessing(image_size=72, crop_size=64, std=_SMALL_STD, pca_noise=PCANoise()),
)

TINY32 = Variant(
    name="tiny32",
    summary="tiny for 32 pixel images such as CIFAR-10's: conv1 keeps every pixel",
    convs=_small_convs(
        ("conv1", 48, 5, 1, "same", 1),  # 28; after the pools 13, 6 and 2
        ("conv2", 96, 5, 1, "same", 2),
        ("conv3", 128, 3, 1, "same", 1),
        ("conv4", 128, 3, 1, "same", 2),
        ("conv5", 96, 3, 1, "same", 2),
    ),
    denses=_small_denses(384),
    preprocessing=Preprocessing(image_size=32, crop_size=28, std=_SMALL_STD, pca_noise=PCANoise()),
)

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        PAPER,
        SLIDES,
        CODE2012,
        CODE2012_6CONV,
        CAFFE,
        CAFFENET,
        SINGLE_GPU,
        ONE_WEIRD_TRICK,
        TINY,
        TINY32,
    )
}


def variants() -> tuple[str, ...]:
    """The names that `AlexNet(variant=...)` and `--variant` take."""
    return tuple(VARIANTS)


def get_variant(name: str, activation: str | None = None) -> Variant:
    """The variant called `name`.

    Args:
        name: one of `variants()`.
        activation: replaces the variant's nonlinearity; None keeps it.

    Raises:
        UserError: no such variant.
    """
    if name not in VARIANTS:
        raise UserError(f"Unknown variant. Expected one of {', '.join(VARIANTS)}. Received: {name}")
    variant = VARIANTS[name]
    return dataclasses.replace(variant, activation=activation) if activation else variant
