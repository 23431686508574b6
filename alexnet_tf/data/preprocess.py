"""Augments and normalises batches, on the device.

One implementation for training, evaluation and serving. In: uint8 images, RGB, 0 to 255.
Out: float32 in the variant's units and channel order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from alexnet_tf.data import augmentations
from alexnet_tf.data.augmentations.flip import is_before_mean, mirrored
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system.errors import UserError

VIEWS = (1, 10)


class Preprocessor:
    """The preprocessing of one variant with the statistics of one training set.

    Args:
        preprocessing: the variant's.
        statistics: the training set's.

    Raises:
        UserError: the mean image has another size than the variant.
    """

    def __init__(self, preprocessing: Preprocessing, statistics: Statistics):
        size = preprocessing.image_size
        if statistics.mean.shape != (size, size, 3):
            raise UserError(
                f"Expected a mean image of shape {(size, size, 3)}. "
                f"Received: {statistics.mean.shape}"
            )
        self.preprocessing = preprocessing
        self.statistics = statistics
        self._centre = (size - preprocessing.crop_size) // 2
        constants = (
            np.array(preprocessing.mean, np.float32)
            if isinstance(preprocessing.mean, tuple)
            else None
        )
        self._mean = statistics.mean if constants is None else constants

    def training(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """The network's input for a training batch.

        Args:
            batch: image uint8 [B, C, C, 3] (already cropped), offset int32 [B, 2], and the tensors
                of the augmentations that are applied here; see `pipeline.training_batch_spec`.

        Returns:
            float32 [B, C, C, 3].
        """
        images = tf.cast(batch["image"], tf.float32)
        images = augmentations.apply(images, batch, self, before_mean=True)
        images -= self._mean_at(batch["offset"], tf.constant(self._mean))
        images = augmentations.apply(images, batch, self, before_mean=False)
        return self._finish(images)

    def views(self, images: tf.Tensor, views: int) -> tf.Tensor:
        """The views of square images whose predictions are averaged at test (paper §4.1).

        Args:
            images: uint8 [B, S, S, 3].
            views: 1: the centre; 10: the corners, the centre and their reflections.

        Returns:
            float32 [B, views, C, C, 3]; of the ten, 0 to 4 are top left, top right, bottom left,
            bottom right and centre, 5 to 9 the same reflected.

        Raises:
            ValueError: another number of views.
        """
        mean = tf.constant(self._mean)  # once in the graph, not once a view
        stack = [
            self._centred(crop, tf.constant([offset]), flip, mean)
            for crop, offset, flip in self._cut(images, views)
        ]
        return self._finish(tf.stack(stack, axis=1))

    def crops(self, images: tf.Tensor, views: int) -> tf.Tensor:
        """The pixels of the views, to be shown.

        Args:
            images: uint8 [B, S, S, 3].
            views: 1 or 10, in the order of `views`.

        Returns:
            uint8 [B, views, C, C, 3].

        Raises:
            ValueError: another number of views.
        """
        return tf.stack(
            [mirrored(crop) if flip else crop for crop, _, flip in self._cut(images, views)],
            axis=1,
        )

    def _cut(
        self, images: tf.Tensor, views: int
    ) -> Iterator[tuple[tf.Tensor, tuple[int, int], bool]]:
        """Each view's crop [B, C, C, 3], its offset, and whether it is to be flipped."""
        if views not in VIEWS:
            raise ValueError(f"Expected 1 or 10 views. Received: views={views}")
        crop = self.preprocessing.crop_size
        end = self.preprocessing.image_size - crop
        corners = [(0, 0), (0, end), (end, 0), (end, end)] if views == 10 else []
        for flip in (False, True)[: 1 if views == 1 else 2]:
            for top, left in (*corners, (self._centre, self._centre)):
                yield images[:, top : top + crop, left : left + crop], (top, left), flip

    def _centred(
        self, images: tf.Tensor, offset: tf.Tensor, flip: bool, mean: tf.Tensor
    ) -> tf.Tensor:
        """Crops uint8 [B, C, C, 3] less their mean, flipped or not, in float32.

        Args:
            images: the crops.
            offset: int32 [1, 2], of all of them.
            flip: whether to flip them.
            mean: float32 [S, S, 3], or [3].
        """
        images, mean = tf.cast(images, tf.float32), self._mean_at(offset, mean)
        if not flip:
            return images - mean
        before = is_before_mean(self.preprocessing)
        return mirrored(images) - mean if before else mirrored(images - mean)

    def _mean_at(self, offsets: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
        """The mean to subtract from crops at offsets [B, 2] or [1, 2]; broadcasts to them."""
        if mean.shape.rank == 1:
            return mean
        if self.preprocessing.mean == "pixel_centre":
            offsets = tf.fill([1, 2], self._centre)
        pixels = offsets[:, :, None] + tf.range(self.preprocessing.crop_size)  # [B, 2, C]
        rows = tf.gather(mean, pixels[:, 0])  # [B, C, S, 3]
        return tf.gather(rows, pixels[:, 1], axis=2, batch_dims=1)  # [B, C, C, 3]

    def _finish(self, images: tf.Tensor) -> tf.Tensor:
        """[..., 3] divided by the standard deviation, in the network's channel order."""
        if any(value != 1 for value in self.preprocessing.std):
            images /= tf.constant(self.preprocessing.std)
        return tf.reverse(images, axis=[-1]) if self.preprocessing.channels == "bgr" else images
