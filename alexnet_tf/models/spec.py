"""The dataclasses in which a variant of AlexNet is written down.

A variant is frozen data: `build.py` reads the network part, `alexnet_tf/data/` the preprocessing
part. Images are [height, width, 3] with pixel values 0 to 255, and RGB until the last step of the
preprocessing.
This module imports neither TensorFlow nor Keras.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

ACTIVATION = "activation"  # in `pre_ops` and `post_ops`: the variant's own nonlinearity

ActivationName = Literal["relu", "tanh", "sigmoid", "leaky_relu", "noisy_relu"]
# σ of a zero-mean Gaussian; or "he": σ = √(2 / fan-in); or "torch": U(±1 / √fan-in), bias too.
Init = Union[float, Literal["he", "torch"]]


@dataclass(frozen=True)
class Norm:
    """Response normalisation across neighbouring maps (paper §3.3)."""

    size: int = 5  # maps
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    divide_by_size: bool = False  # whether alpha is divided by size
    towers: int = 1  # the window ends at a tower's edge


@dataclass(frozen=True)
class WithinMapNorm:
    """Response normalisation over a square within one map (`layers-145.cfg`, cnorm2a and b)."""

    size: int = 5  # pixels
    k: float = 1.0  # cuda-convnet's kernels: `1 + addScale · ...`; the 2012 code lacks this file
    alpha: float = 1e-3  # divided by size²
    beta: float = 0.75


@dataclass(frozen=True)
class Pool:
    """Max pooling without padding; overlapping when stride < size (paper §3.4)."""

    size: int = 3  # pixels
    stride: int = 2  # pixels


@dataclass(frozen=True)
class Dropout:
    """Dropout of a fully connected layer's units (paper §4.2)."""

    rate: float = 0.5
    # "unscaled": mask in training, × (1 - rate) at test. "inverted": mask / (1 - rate) in training.
    convention: Literal["unscaled", "inverted"] = "unscaled"


Op = Union[str, Norm, WithinMapNorm, Pool, Dropout]


@dataclass(frozen=True)
class Conv:
    """A convolution and what follows it, in order."""

    name: str
    filters: int  # over all towers
    kernel: int  # pixels
    stride: int = 1  # pixels
    padding: Literal["same"] | tuple[int, int] = "same"  # or zeros (top and left, bottom and right)
    towers: int = 1  # groups of channels; each sees only its own group of the input
    init: Init = 0.01
    bias: float = 0.0
    post_ops: tuple[Op, ...] = (ACTIVATION,)


@dataclass(frozen=True)
class Dense:
    """A fully connected layer, what precedes it and what follows it, in order."""

    name: str
    units: int | None  # None: the number of classes
    init: Init = 0.01
    bias: float = 0.0
    pre_ops: tuple[Op, ...] = ()
    post_ops: tuple[Op, ...] = ()


@dataclass(frozen=True)
class PCANoise:
    """PCA colour noise (paper §4.1), one draw an image."""

    sigma: float = 0.1  # of the Gaussian α
    # What scales each component: the eigenvalues of the RGB covariance of images in [0, 1], or
    # the standard deviations along the components of images in [0, 255].
    scaled_by: Literal["eigenvalue", "standard_deviation"] = "eigenvalue"
    divisor: float = 1.0  # the image is divided by this after noise was added to it


@dataclass(frozen=True)
class Preprocessing:
    """From a decoded image to the network's input."""

    image_size: int = 256  # pixels: side of the square from which crops are cut
    crop_size: int = 224  # pixels: the network's input
    # "shorter_side": scale that side, then cut the centre square. "warp": scale both sides.
    resize: Literal["shorter_side", "warp"] = "shorter_side"
    # "pixel": the training set's mean image, at the crop's offset. "pixel_centre": its centre crop
    # at every offset. Or three constants, R, G, B, in 0 to 255.
    mean: Literal["pixel", "pixel_centre"] | tuple[float, float, float] = "pixel"
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)  # R, G, B; divides after the mean is removed
    channels: Literal["rgb", "bgr"] = "rgb"  # order of the network's input
    pca_noise: PCANoise | None = None
    augmentations: tuple[str, ...] = ("crop", "flip", "pca_noise")  # default; data/augmentations/
    chunk: int = 1  # successive training images that share one offset and flip


@dataclass(frozen=True)
class Variant:
    """One network and the preprocessing that belongs to it."""

    name: str
    summary: str  # one line
    convs: tuple[Conv, ...]
    denses: tuple[Dense, ...]
    preprocessing: Preprocessing
    activation: ActivationName = "relu"
