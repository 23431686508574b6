"""A trained network with its preprocessing and its class names: pictures in, probabilities out."""

from __future__ import annotations

import keras
import tensorflow as tf

from alexnet_tf.data.decode import decode_square
from alexnet_tf.data.preprocess import Preprocessor


class Classifier(tf.Module):
    """What evaluation, prediction and the SavedModel share, so that they cannot disagree.

    Args:
        model: from normalised images [B, C, C, 3] to logits [B, classes].
        preprocessor: of the model's variant and training set.
        classes: names in label order.
    """

    def __init__(self, model: keras.Model, preprocessor: Preprocessor, classes: tuple[str, ...]):
        super().__init__()
        self.model = model
        self.preprocessor = preprocessor
        self.classes = tuple(classes)

    def decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """Encoded images, string [B], to uint8 [B, S, S, 3].

        Raises:
            tf.errors.InvalidArgumentError: one of them is no image.
        """
        spec = self.preprocessor.spec
        side = spec.image_size
        return tf.map_fn(
            lambda image: decode_square(image, spec),
            encoded,
            fn_output_signature=tf.TensorSpec([side, side, 3], tf.uint8),
        )

    def log_probabilities(self, images: tf.Tensor, views: int = 1) -> tf.Tensor:
        """Logarithms of `probabilities`, exact where those are too small for float32.

        Args:
            images: uint8 [B, S, S, 3].
            views: 1 or 10.

        Returns:
            float32 [B, classes], 0 or less.
        """
        inputs = self.preprocessor.views(images, views)  # [B, views, C, C, 3]
        logits = self.model(tf.reshape(inputs, [-1, *inputs.shape[2:]]), training=False)
        logs = tf.nn.log_softmax(tf.cast(logits, tf.float32))  # [B · views, classes]
        by_view = tf.reshape(logs, [-1, views, len(self.classes)])
        return tf.reduce_logsumexp(by_view, axis=1) - tf.math.log(float(views))

    def probabilities(self, images: tf.Tensor, views: int = 1) -> tf.Tensor:
        """Class probabilities, the softmax averaged over the views (paper §4.1).

        Args:
            images: uint8 [B, S, S, 3].
            views: 1 or 10.

        Returns:
            float32 [B, classes].
        """
        return tf.exp(self.log_probabilities(images, views))
