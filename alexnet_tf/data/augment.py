"""The random numbers of one training image (paper §4.1).

They are drawn on the host, image by image, as a pure function of (seed, epoch, index), so that
any step can be made again alone and the number of replicas changes nothing; they are applied on
the device by `preprocess.py`.
"""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.models.spec import AUGMENTATIONS, Preprocessing


def draw(
    seed: int,
    epoch: tf.Tensor,
    index: tf.Tensor,
    spec: Preprocessing,
    augmentations: tuple[str, ...] = AUGMENTATIONS,
) -> dict[str, tf.Tensor]:
    """Draws where to crop, whether to reflect and how to light one image.

    Args:
        seed: the run's.
        epoch: int64 scalar.
        index: int64 scalar, the image's place in the unshuffled training set.
        spec: says the sides and whether there is lighting.
        augmentations: which of `AUGMENTATIONS` are on; without "crop" the crop is the centre.

    Returns:
        offset int32 [2] (row and column, uniform on 0 to S - C, ends included), reflect bool,
        and alpha float32 [3] (Gaussian of the lighting's σ, or zeros).
    """
    margin = spec.image_size - spec.crop_size
    # Two words of a counter-based generator: the run, and the image in its epoch.
    words = tf.stack([tf.constant(seed, tf.int64), epoch * 2**40 + index])
    # Split, because uniform and Gaussian numbers of one seed are made of the same bits, and the
    # colour of an image would follow from the place of its crop.
    uniform_seed, normal_seed = tf.unstack(tf.random.split(words, 2))
    uniform = tf.random.stateless_uniform([3], uniform_seed)
    offset = tf.fill([2], margin // 2)
    if "crop" in augmentations:
        offset = tf.cast(uniform[:2] * tf.cast(margin + 1, tf.float32), tf.int32)
        offset = tf.minimum(offset, margin)  # uniform · (margin + 1) may round up to the end
    alpha = tf.zeros([3])
    if "lighting" in augmentations and spec.lighting is not None:
        alpha = spec.lighting.sigma * tf.random.stateless_normal([3], normal_seed)
    reflect = (uniform[2] < 0.5) if "reflect" in augmentations else tf.constant(False)
    return {"offset": offset, "reflect": reflect, "alpha": alpha}
