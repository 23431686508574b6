"""Crop, reflect, light and normalise batches, on the device.

One implementation for training, evaluation and serving. In: uint8 images, RGB, 0 to 255.
Out: float32 in the variant's units and channel order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from alexnet_tf.data.statistics import Statistics
from alexnet_tf.models.spec import Preprocessing

VIEWS = (1, 10)


class Preprocessor:
    """The preprocessing of one variant with the statistics of one training set.

    Args:
        preprocessing: the variant's.
        statistics: the training set's.

    Raises:
        ValueError: a mean image of another size than the variant's.
    """

    def __init__(self, preprocessing: Preprocessing, statistics: Statistics):
        side = preprocessing.image_size
        if statistics.mean.shape != (side, side, 3):
            raise ValueError(
                f"Expected a mean image of shape {(side, side, 3)}. "
                f"Received: {statistics.mean.shape}"
            )
        self.preprocessing = preprocessing
        self.statistics = statistics
        self._centre = (side - preprocessing.crop_size) // 2
        constants = (
            np.array(preprocessing.mean, np.float32)
            if isinstance(preprocessing.mean, tuple)
            else None
        )
        self._mean = statistics.mean if constants is None else constants

    def training(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """The network's input for a training batch.

        Args:
            batch: image uint8 [B, C, C, 3] (already cropped), and `augment.draw`'s offset int32
                [B, 2], reflect bool [B], lit bool [B], alpha float32 [B, 3].

        Returns:
            float32 [B, C, C, 3].
        """
        mean = tf.constant(self._mean)
        centred = self._centred(batch["image"], batch["offset"], batch["flip"], mean)
        if self.preprocessing.pca_noise is not None:
            centred += self.lighting(batch["pca_noise"])
            divisor = tf.where(batch["pca_applied"], self.preprocessing.pca_noise.divisor, 1.0)
            centred /= divisor[:, None, None, None]
        return self._finish(centred)

    def views(self, images: tf.Tensor, views: int) -> tf.Tensor:
        """The views of square images whose predictions are averaged at test (paper §4.1).

        Args:
            images: uint8 [B, S, S, 3].
            views: 1 for the centre; 10 for the corners, the centre and their reflections.

        Returns:
            float32 [B, views, C, C, 3]; of the ten, 0 to 4 are top left, top right, bottom left,
            bottom right and centre, 5 to 9 the same reflected.

        Raises:
            ValueError: another number of views.
        """
        mean = tf.constant(self._mean)  # once in the graph, not once a view
        stack = [
            self._centred(crop, tf.constant([place]), reflect, mean)
            for crop, place, reflect in self._cut(images, views)
        ]
        return self._finish(tf.stack(stack, axis=1))

    def crops(self, images: tf.Tensor, views: int) -> tf.Tensor:
        """The pixels of the views, to be looked at.

        Args:
            images: uint8 [B, S, S, 3].
            views: 1 or 10, in the order of `views`.

        Returns:
            uint8 [B, views, C, C, 3].

        Raises:
            ValueError: another number of views.
        """
        return tf.stack(
            [_reflected(crop, reflect) for crop, _, reflect in self._cut(images, views)],
            axis=1,
        )

    def lighting(self, alpha: tf.Tensor) -> tf.Tensor:
        """The colour that is added to every pixel, of a variant that has lighting.

        Args:
            alpha: float32 [B, 3], of each principal component (paper §4.1).

        Returns:
            float32 [B, 1, 1, 3], RGB, in 0 to 255.
        """
        values = self.statistics.eigenvalues
        if self.preprocessing.pca_noise.scaled_by == "standard_deviation":
            values = np.sqrt(values)
        directions = 255 * self.statistics.eigenvectors * values  # [3 of RGB, 3 components]
        return tf.einsum("bi,ci->bc", alpha, tf.constant(directions))[:, None, None]

    def _cut(
        self, images: tf.Tensor, views: int
    ) -> Iterator[tuple[tf.Tensor, tuple[int, int], bool]]:
        """Each view's crop [B, C, C, 3], its offset, and whether it is yet to be reflected."""
        if views not in VIEWS:
            raise ValueError(f"Expected 1 or 10 views. Received: views={views}")
        crop, end = (
            self.preprocessing.crop_size,
            self.preprocessing.image_size - self.preprocessing.crop_size,
        )
        corners = [(0, 0), (0, end), (end, 0), (end, end)] if views == 10 else []
        for reflect in (False, True)[: 1 if views == 1 else 2]:
            for top, left in (*corners, (self._centre, self._centre)):
                yield images[:, top : top + crop, left : left + crop], (top, left), reflect

    def _centred(
        self, images: tf.Tensor, offsets: tf.Tensor, reflect: tf.Tensor | bool, mean: tf.Tensor
    ) -> tf.Tensor:
        """Crops [B, C, C, 3] less their mean, some of them reflected, in float32.

        Args:
            images: uint8 crops.
            offsets: int32 [B, 2], or [1, 2] for all.
            reflect: bool [B], or True or False for all.
            mean: float32 [S, S, 3], or [3].
        """
        images, mean = tf.cast(images, tf.float32), self._mean_at(offsets, mean)
        if self.preprocessing.mean == "pixel_centre":
            # The original code subtracts the unreflected mean from the reflected crop; elsewhere
            # the mean belongs to the image and is reflected with it.
            return _reflected(images, reflect) - mean
        return _reflected(images - mean, reflect)

    def _mean_at(self, offsets: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
        """What is subtracted from crops at offsets [B, 2] or [1, 2]; broadcasts to them."""
        if mean.shape.rank == 1:
            return mean
        if self.preprocessing.mean == "pixel_centre":
            offsets = tf.fill([1, 2], self._centre)
        places = offsets[:, :, None] + tf.range(self.preprocessing.crop_size)  # [B, 2, C]
        rows = tf.gather(mean, places[:, 0])  # [B, C, S, 3]
        return tf.gather(rows, places[:, 1], axis=2, batch_dims=1)  # [B, C, C, 3]

    def _finish(self, images: tf.Tensor) -> tf.Tensor:
        """[..., 3] divided by the standard deviation, in the network's channel order."""
        if any(value != 1 for value in self.preprocessing.std):
            images /= tf.constant(self.preprocessing.std)
        return tf.reverse(images, axis=[-1]) if self.preprocessing.channels == "bgr" else images


def _reflected(images: tf.Tensor, which: tf.Tensor | bool) -> tf.Tensor:
    """[B, H, W, 3], left and right changed, all of them or those of `which` [B]."""
    if which is False:
        return images
    reflected = tf.reverse(images, axis=[2])  # on all cores, unlike a slice of step -1
    return reflected if which is True else tf.where(which[:, None, None, None], reflected, images)
