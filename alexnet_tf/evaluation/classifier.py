"""A trained network with its preprocessing and class names: images in, probabilities out."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from alexnet_tf.data.decode import decode_each, decode_square
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.system.errors import UserError

TOP = 5  # classes that a prediction names, and that the top-5 error counts


class Classifier(tf.Module):
    """The computation that evaluation, prediction and the SavedModel share.

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

    @property
    def models(self) -> list[keras.Model]:
        """The network, as a list: an ensemble has several."""
        return [self.model]

    def decode(
        self, encoded: tf.Tensor, image_of: Callable[[tf.Tensor], tf.Tensor] = tf.identity
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes images to the squares that views are cut from.

        Args:
            encoded: string [B]; JPEG, PNG, BMP, or GIF, of which the first frame is used.
            image_of: extracts the image from an element; it fails where there is no image.

        Returns:
            uint8 [B, S, S, 3], and bool [B], false where decoding failed; the square is black
            there.
        """
        preprocessing = self.preprocessor.preprocessing
        return decode_each(
            lambda index: decode_square(image_of(encoded[index]), preprocessing),
            tf.size(encoded),
            preprocessing.image_size,
            tf.data.AUTOTUNE,
        )

    def log_probabilities(self, images: tf.Tensor, views: int = 1) -> tf.Tensor:
        """Logarithms of `probabilities`, also where these underflow float32.

        Args:
            images: uint8 [B, S, S, 3].
            views: 1 or 10.

        Returns:
            float32 [B, classes], 0 or less.
        """
        logs = self._view_logs(images, views)
        return tf.reduce_logsumexp(logs, axis=1) - tf.math.log(float(views))

    def probabilities(self, images: tf.Tensor, views: int = 1) -> tf.Tensor:
        """Class probabilities, the softmax averaged over the views (paper §4.1).

        Args:
            images: uint8 [B, S, S, 3].
            views: 1 or 10.

        Returns:
            float32 [B, classes].
        """
        return tf.exp(self.log_probabilities(images, views))

    def view_probabilities(self, images: tf.Tensor, views: int) -> tf.Tensor:
        """Class probabilities for each view, float32 [B, views, classes]."""
        return tf.exp(self._view_logs(images, views))

    def _view_logs(self, images: tf.Tensor, views: int) -> tf.Tensor:
        inputs = self.preprocessor.views(images, views)  # [B, views, C, C, 3]
        logits = self.model(tf.reshape(inputs, [-1, *inputs.shape[2:]]), training=False)
        logs = tf.nn.log_softmax(tf.cast(logits, tf.float32))  # [B · views, classes]
        return tf.reshape(logs, [-1, views, len(self.classes)])


class Ensemble(Classifier):
    """Several classifiers whose probabilities are averaged, as the paper's five (§6, table 2).

    Args:
        members: classifiers with the same classes, image size and way of resizing. Their variants
            may differ.

    Raises:
        UserError: classes, image sizes or ways of resizing differ.
    """

    def __init__(self, members: list[Classifier]):
        first, *others = members
        for other in others:
            if other.classes != first.classes:
                raise UserError(
                    "Expected models with the same classes in the same order. "
                    f"Received: {len(first.classes)} ({first.classes[0]}, ...) and "
                    f"{len(other.classes)} ({other.classes[0]}, ...)"
                )
            for name in ("image_size", "resize"):
                one, two = (getattr(m.preprocessor.preprocessing, name) for m in (first, other))
                if one != two:
                    raise UserError(
                        f"Expected models with the same {name}. Received: {one} and {two}"
                    )
        tf.Module.__init__(self)
        self.members = members
        self.preprocessor, self.classes = first.preprocessor, first.classes  # of the squares

    @property
    def models(self) -> list[keras.Model]:
        """The networks of all members."""
        return [model for member in self.members for model in member.models]

    @property
    def model(self) -> keras.Model:
        """An ensemble has no single network."""
        raise AttributeError("an ensemble has several networks; use `models`")

    def _view_logs(self, images: tf.Tensor, views: int) -> tf.Tensor:
        """Averages probabilities, not logits; each member cuts its own crops from the squares."""
        logs = [member._view_logs(images, views) for member in self.members]
        return tf.reduce_logsumexp(tf.stack(logs), axis=0) - tf.math.log(float(len(logs)))
