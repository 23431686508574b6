"""A trained network with its preprocessing and its class names: pictures in, probabilities out."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from alexnet_tf.data.decode import decode_each, decode_square
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.system.errors import UserError

TOP = 5  # classes that are named, and that the top-5 error is about


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

    @property
    def models(self) -> list[keras.Model]:
        """The network, as a list: an ensemble has several."""
        return [self.model]

    def decode(
        self, encoded: tf.Tensor, image_of: Callable[[tf.Tensor], tf.Tensor] = tf.identity
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Encoded images to the squares that views are cut from.

        Args:
            encoded: string [B]; JPEG, PNG, BMP, or GIF, of which the first frame is taken.
            image_of: takes the image out of an element; where it fails, there is no image.

        Returns:
            uint8 [B, S, S, 3], and bool [B], false where there is no image; it is black there.
        """
        spec = self.preprocessor.preprocessing
        return decode_each(
            lambda place: decode_square(image_of(encoded[place]), spec),
            tf.size(encoded),
            spec.image_size,
            tf.data.AUTOTUNE,
        )

    def log_probabilities(self, images: tf.Tensor, views: int = 1) -> tf.Tensor:
        """Logarithms of `probabilities`, exact where those are too small for float32.

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
        """Class probabilities of each view by itself, float32 [B, views, classes]."""
        return tf.exp(self._view_logs(images, views))

    def _view_logs(self, images: tf.Tensor, views: int) -> tf.Tensor:
        inputs = self.preprocessor.views(images, views)  # [B, views, C, C, 3]
        logits = self.model(tf.reshape(inputs, [-1, *inputs.shape[2:]]), training=False)
        logs = tf.nn.log_softmax(tf.cast(logits, tf.float32))  # [B · views, classes]
        return tf.reshape(logs, [-1, views, len(self.classes)])


class Ensemble(Classifier):
    """Several classifiers whose probabilities are averaged, as the paper's five (§6, table 2).

    Args:
        members: of the same classes, and with squares of one size made in one way; they may be
            of different variants otherwise.

    Raises:
        UserError: they do not go together.
    """

    def __init__(self, members: list[Classifier]):
        first, *others = members
        for other in others:
            if other.classes != first.classes:
                raise UserError(
                    "Expected models of the same classes in the same order, to average them. "
                    f"Received: {len(first.classes)} ({first.classes[0]}, ...) and "
                    f"{len(other.classes)} ({other.classes[0]}, ...)"
                )
            for fact in ("image_size", "resize"):
                one, two = (getattr(m.preprocessor.preprocessing, fact) for m in (first, other))
                if one != two:
                    raise UserError(
                        f"Expected models with one {fact}, to average them. Received: {one} and "
                        f"{two}"
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
        """There is none that stands for all."""
        raise AttributeError("Expected one network. Received: an ensemble; ask for `models`")

    def _view_logs(self, images: tf.Tensor, views: int) -> tf.Tensor:
        """Each member sees its own crops of the squares; what is averaged are probabilities."""
        logs = [member._view_logs(images, views) for member in self.members]
        return tf.reduce_logsumexp(tf.stack(logs), axis=0) - tf.math.log(float(len(logs)))
