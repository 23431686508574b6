"""The loss of an image: cross-entropy, with label smoothing, or one of Keras's or of the caller."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from alexnet_tf.system.errors import UserError

# From labels int64 [B] and logits float32 [B, classes] to the loss of each image, float32 [B].
LossFunction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The paper's loss: minus the logarithm of the probability of the label."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def make_loss(label_smoothing: float = 0.0, loss: keras.losses.Loss | None = None) -> LossFunction:
    """The function that training minimises.

    Args:
        label_smoothing: ε; the label has probability 1 - ε + ε / classes, each other class
            ε / classes (Szegedy et al., 2016, section 7).
        loss: in place of the cross-entropy. It gets logits, and labels as Keras has them for it:
            one-hot float32 [B, classes] for Keras's own losses and their subclasses, except
            `SparseCategoricalCrossentropy`; whole numbers int64 [B] for any other subclass of
            `keras.losses.Loss`. Its `reduction` is not used: the step divides the sum over images
            by the batch size.

    Raises:
        UserError: `loss` is not one of Keras's losses, expects probabilities, or is given together
            with label smoothing.
    """
    if loss is None:
        if not label_smoothing:
            return cross_entropy
        return lambda labels, logits: tf.nn.softmax_cross_entropy_with_logits(
            _one_hot(labels, logits, label_smoothing), logits
        )
    if not isinstance(loss, keras.losses.Loss):
        raise UserError(f"Expected loss to be a keras.losses.Loss. Received: {loss!r}")
    if label_smoothing:
        raise UserError(
            "Expected --label_smoothing=0 beside a loss, which smooths labels by itself. "
            f"Received: {label_smoothing:g}"
        )
    if loss.get_config().get("from_logits") is False:
        raise UserError(
            "Expected a loss with from_logits=True, because the network computes logits. Received: "
            f"{loss.name}"
        )
    one_hot = _wants_one_hot(loss)

    def per_image(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Labels int64 [B] and logits float32 [B, classes] to losses [B]."""
        values = loss.call(_one_hot(labels, logits) if one_hot else labels, logits)
        if values.shape.rank != 1:
            raise UserError(
                f"Expected a loss with one value for each image, of shape [B]. Received: "
                f"{loss.name}, which returns {values.shape}"
            )
        return tf.cast(values, tf.float32)

    return per_image


def _wants_one_hot(loss: keras.losses.Loss) -> bool:
    """Whether it is one of Keras's losses for labels of the shape of predictions."""
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return False
    kerass = {kind for kind in vars(keras.losses).values() if isinstance(kind, type)}
    return any(kind in kerass for kind in type(loss).__mro__ if kind is not keras.losses.Loss)


def _one_hot(labels: tf.Tensor, logits: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """Labels int64 [B] to float32 [B, classes]."""
    classes = logits.shape[-1]
    low = smoothing / classes
    return tf.one_hot(labels, classes, on_value=1 - smoothing + low, off_value=low)
