"""Augmentations of training images (paper §4.1), one file each.

A file of this folder is an augmentation: its name is the file's, it is a word of --augment, and
`AUGMENTATION` in it says how its random numbers are drawn and how they are applied. Nothing else
has to know of it. `register` adds one that is written elsewhere.

Random numbers are drawn on the host, a batch at a time, as a pure function of (seed, epoch, index):
any step can be made again alone, and the number of replicas changes nothing. They are applied
either while the image is decoded, which saves decoding what is cut off, or on the device, in the
compiled preprocessing step.

Importing this module imports no TensorFlow, as --help needs the names.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

Batch = dict[str, "tf.Tensor"]


class Preprocessor(Protocol):
    """`preprocess.Preprocessor`, as far as augmentations use it."""

    preprocessing: Preprocessing
    statistics: Any  # `statistics.Statistics` of the training set


@dataclasses.dataclass(frozen=True)
class Images:
    """The images of a batch whose random numbers are to be drawn.

    Attributes:
        seed: the run's.
        epoch: int64 [B].
        index: int64 [B], each image's place in the unshuffled training set.
        position: int64 [B], each image's place in the order of the epoch.
        preprocessing: the variant's.
        pca_noise_until: epochs after which there is no PCA noise.
    """

    seed: int
    epoch: tf.Tensor
    index: tf.Tensor
    position: tf.Tensor
    preprocessing: Preprocessing
    pca_noise_until: float = math.inf

    def key(self, word: str | int, per_chunk: bool = False) -> tf.Tensor:
        """Keys uint64 [B] for `random_bits.py`.

        Args:
            word: sets these random numbers apart from all others, e.g. the augmentation's name.
            per_chunk: whether images that follow one another share a key, as in the original code
                (`Preprocessing.chunk`).
        """
        from alexnet_tf.data.random_bits import make_key

        chunk = self.preprocessing.chunk
        owner = self.position // chunk if per_chunk and chunk > 1 else self.index
        word = zlib.crc32(word.encode()) if isinstance(word, str) else word
        return make_key(self.seed, word, self.epoch, owner)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """One augmentation.

    Attributes:
        name: the word of --augment.
        tensors: names of the tensors [B, ...] that `draw` adds to the batch.
        draw: makes them, in graph mode.
        draw_off: makes them where the augmentation is not used; None: the batch has none.
        window: from one image's drawn tensors and its size, int32 [2], to the part of it that is
            decoded and resized to the crop: int32 [4], top, left, height and width. The batch does
            not keep these tensors. None: the crop of the square at the batch's `offset`.
        apply: from images float32 [B, C, C, 3], RGB in 0 to 255, and the batch, to changed images,
            on the device. It is called where the batch has `tensors`.
        before_mean: whether `apply` comes before the mean is subtracted from the images.
        excludes: names of augmentations that cannot be used with this one.
    """

    name: str
    tensors: tuple[str, ...]
    draw: Callable[[Images], Batch]
    draw_off: Callable[[Images], Batch] | None = None
    window: Callable[[Batch, tf.Tensor], tf.Tensor] | None = None
    apply: Callable[[tf.Tensor, Batch, Preprocessor], tf.Tensor] | None = None
    before_mean: Callable[[Preprocessing], bool] = lambda preprocessing: False
    excludes: tuple[str, ...] = ()


# The names of all augmentations, in the order in which they are applied; `register` appends to it.
AUGMENTATIONS = sorted(module.name for module in pkgutil.iter_modules(__path__))
_registered: dict[str, Augmentation] = {}


def register(augmentation: Augmentation) -> None:
    """Adds an augmentation that has no file here.

    Raises:
        ValueError: the name is taken.
    """
    if augmentation.name in AUGMENTATIONS:
        raise ValueError(f"Expected a new name. Received: {augmentation.name}")
    _registered[augmentation.name] = augmentation
    AUGMENTATIONS.append(augmentation.name)


def unregister(name: str) -> None:
    """Removes an augmentation that `register` added."""
    del _registered[name]
    AUGMENTATIONS.remove(name)


def get(name: str) -> Augmentation:
    """The augmentation of that name.

    Raises:
        ValueError: there is none.
    """
    if name in _registered:
        return _registered[name]
    if name not in AUGMENTATIONS:
        raise ValueError(f"Expected one of {', '.join(AUGMENTATIONS)}. Received: {name}")
    return importlib.import_module(f"{__name__}.{name}").AUGMENTATION


def check(used: tuple[str, ...], cached: bool = False) -> Augmentation | None:
    """Checks that augmentations can be used together.

    Args:
        used: their names.
        cached: whether squares come from a cache, which no longer has the original images.

    Returns:
        The augmentation that says which part of an image is decoded, if one does.

    Raises:
        ValueError: an unknown name.
        UserError: they cannot.
    """
    for each in map(get, used):
        if clash := [name for name in each.excludes if name in used]:
            raise UserError(
                f"Expected --augment with {clash[0]} or with {each.name}. Received: both"
            )
        if each.window is not None and cached:
            raise UserError(
                f"Expected --cache=none with {each.name}, which needs the original image. "
                "Received: a cache"
            )
    return find_window(used)


def draw(images: Images, used: tuple[str, ...]) -> Batch:
    """The random numbers of a batch, by name.

    Args:
        images: whose.
        used: names of augmentations.

    Returns:
        At least offset int32 [B, 2] (row and column of the crop), flip bool [B], pca_applied bool
        [B] and pca_noise float32 [B, 3]; and what other augmentations draw.
    """
    drawn = {}
    for each in map(get, AUGMENTATIONS):
        function = each.draw if each.name in used else each.draw_off
        if function is not None:
            made = function(images)
            drawn |= {name: made[name] for name in each.tensors}
    return drawn


def apply(
    images: tf.Tensor, batch: Batch, preprocessor: Preprocessor, before_mean: bool
) -> tf.Tensor:
    """Images float32 [B, C, C, 3] after all augmentations of one of the two stages, on the device.

    Args:
        images: RGB, in units of 0 to 255.
        batch: has the drawn tensors of the augmentations that are used.
        preprocessor: of the variant and the training set.
        before_mean: whether to apply those that come before the mean is subtracted, or the others.
    """
    for each in map(get, AUGMENTATIONS):
        here = each.before_mean(preprocessor.preprocessing) == before_mean
        if here and each.apply is not None and batch.keys() >= set(each.tensors):
            images = each.apply(images, batch, preprocessor)
    return images


def find_window(used: tuple[str, ...]) -> Augmentation | None:
    """The augmentation that says which part of an image is decoded, if one does."""
    return next((each for each in map(get, used) if each.window is not None), None)
