"""Subjects without a model directory: models of a notebook, and variants as they are."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from alexnet_tf.data.dataset import make_split
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.figures.context import FigureContext, Images
from alexnet_tf.models.build import AlexNet
from alexnet_tf.models.feature_extraction import variant_of
from alexnet_tf.models.spec import Variant
from alexnet_tf.system.errors import UserError


def subject_of(
    model: keras.Model,
    photos: Sequence[bytes],
    labels: Sequence[int] | np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    variant: Variant | None = None,
    **others,
) -> FigureContext:
    """A model built in a notebook, trained or not, with images to show it.

    Example:
        >>> subject = subject_of(alexnet_tf.AlexNet("tiny", classes=10), [photo_a, photo_b])

    Args:
        model: of `alexnet_tf.AlexNet`.
        photos: encoded images.
        labels: the class of each; None where they have none.
        classes: names of the model's classes in label order; None for "class 0" and so on.
        variant: what the model was built from, if that is a row of your own.
        others: attributes of `FigureContext`.

    Returns:
        A subject whose mean image is mid-grey, unless the variant has constants of its own, and
        whose principal components are those of grey noise.

    Raises:
        UserError: no photos, or something that does not go with the rest.
    """
    variant, number = variant_of(model, variant), model.output_shape[-1]
    classes = tuple(classes) if classes is not None else tuple(f"class {i}" for i in range(number))
    if not len(photos):
        raise UserError("Expected one photo or more. Received: none")
    if len(classes) != number:
        raise UserError(f"Expected names of {number} classes. Received: {len(classes)}")
    known = labels is not None
    labels = np.asarray(labels if known else [0] * len(photos))
    if labels.shape != (len(photos),) or labels.dtype.kind not in "iu":
        raise UserError(
            f"Expected a whole number for each of {len(photos)} photos as labels. Received: "
            f"{labels.dtype} {list(labels.shape)}"
        )
    if not 0 <= labels.min() <= labels.max() < number:
        raise UserError(
            f"Expected labels from 0 to {number - 1}. Received: {labels.min()} to {labels.max()}"
        )
    split = make_split(list(photos), labels.tolist(), "photos")
    images = Images(split, classes if known else None)
    classifier = _classifier(model, variant, classes)
    return FigureContext(classifier, variant, lambda: images, measured=False, **others)


def untrained(variant: Variant, classes: int = 1000) -> FigureContext:
    """A variant as it is before training, for the pictures that need no images.

    Args:
        variant: the row.
        classes: of the last layer.
    """

    def no_images() -> Images:
        """Says that there are none."""
        raise UserError("Expected a model and images, for this picture. Received: a variant alone")

    names = tuple(f"class {i}" for i in range(classes))
    classifier = _classifier(AlexNet(variant, classes), variant, names)
    return FigureContext(classifier, variant, no_images, measured=False)


def _classifier(model: keras.Model, variant: Variant, classes: tuple[str, ...]) -> Classifier:
    """A model without a training set."""
    side = variant.preprocessing.image_size
    mean = np.full((side, side, 3), 127.5, np.float32)  # the middle of 0 to 255
    variances = np.full(3, 1 / 12, np.float32)  # of uniform noise in 0 to 1
    statistics = Statistics(mean, variances, np.eye(3, dtype=np.float32))
    return Classifier(model, Preprocessor(variant.preprocessing, statistics), classes)
