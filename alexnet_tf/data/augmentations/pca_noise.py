"""PCA colour noise: a random multiple of each principal component of RGB (paper §4.1)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from alexnet_tf.data.augmentations import Augmentation, Batch, Images, Preprocessor
from alexnet_tf.data.random_bits import normal

_KEY = 3  # the key's word


def color_shift(alpha: tf.Tensor, preprocessor: Preprocessor) -> tf.Tensor:
    """The colour that is added to every pixel.

    Args:
        alpha: float32 [B, 3], the paper's α of each principal component.
        preprocessor: of a variant that has PCA noise.

    Returns:
        float32 [B, 1, 1, 3], RGB, in units of 0 to 255.
    """
    values = preprocessor.statistics.eigenvalues
    if preprocessor.preprocessing.pca_noise.scaled_by == "standard_deviation":
        values = np.sqrt(values)
    directions = 255 * preprocessor.statistics.eigenvectors * values  # [3 of RGB, 3 components]
    return tf.einsum("bi,ci->bc", alpha, tf.constant(directions))[:, None, None]


def _draw(images: Images) -> Batch:
    """pca_applied bool [B]; pca_noise float32 [B, 3], the paper's α, Gaussian, 0 if not applied."""
    noise = images.preprocessing.pca_noise
    if noise is None:
        return _off(images)
    applied = tf.cast(images.epoch, tf.float32) < images.pca_noise_until
    alpha = noise.sigma * normal(images.key(_KEY), 3)
    return {"pca_applied": applied, "pca_noise": tf.where(applied[:, None], alpha, 0.0)}


def _off(images: Images) -> Batch:
    number = tf.size(images.index)
    return {"pca_applied": tf.fill([number], False), "pca_noise": tf.zeros([number, 3])}


def _apply(images: tf.Tensor, batch: Batch, preprocessor: Preprocessor) -> tf.Tensor:
    noise = preprocessor.preprocessing.pca_noise
    if noise is None:
        return images
    images += color_shift(batch["pca_noise"], preprocessor)
    divisor = tf.where(batch["pca_applied"], noise.divisor, 1.0)
    return images / divisor[:, None, None, None]


AUGMENTATION = Augmentation("pca_noise", ("pca_applied", "pca_noise"), _draw, _off, apply=_apply)
