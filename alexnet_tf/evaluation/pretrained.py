"""A classifier from a file of weights, which has neither class names nor a training set's mean."""

from __future__ import annotations

import keras
import numpy as np

from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.models.build import build_model
from alexnet_tf.models.imagenet_classes import imagenet_classes
from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError
from alexnet_tf.weights.arrays import WeightFile, advice, fitting_variants
from alexnet_tf.weights.network import assign


def choose_variant(found: WeightFile, name: str | None = None) -> Variant:
    """The variant that a file of weights is read as.

    Args:
        found: the weights.
        name: of the variant; None for the file's own.

    Raises:
        UserError: the file may be of several variants, or of none.
    """
    if name:
        return get_variant(name)
    fitting = fitting_variants(found.arrays)
    if not fitting:
        raise UserError(f"{found.path}: {advice(found.arrays)}")
    own = [variant.name for variant in found.conventions if variant.name in fitting]
    considered = own or fitting
    if len(considered) > 1:
        raise UserError(
            f"{found.path} does not say which network it is of. Considered: "
            f"{', '.join(considered)}. Choose with --variant={considered[0]}"
        )
    return get_variant(considered[0])


def classifier_from_weights(
    found: WeightFile, variant: Variant, mean: tuple[float, float, float]
) -> Classifier:
    """Builds a network, gives it weights, and preprocesses as its variant does.

    Args:
        found: the weights, with the top.
        variant: of the network.
        mean: R, G, B, 0 to 255, in place of the mean image of the training set.

    Raises:
        UserError: the weights do not fit.
    """
    last = variant.denses[-1].name
    if last not in found.arrays:
        raise UserError(f"{found.path} has no {last}: expected a network with its top")
    model = build_model(variant, len(found.arrays[last].bias))
    assign(model, variant, found)
    return classifier_of(model, variant, np.float32(mean))


def classifier_of(model: keras.Model, variant: Variant, mean: np.ndarray) -> Classifier:
    """A classifier from a network that did not come from a run.

    Args:
        model: of the variant; its classes are ImageNet's if there are a thousand, else numbered.
        variant: of the network.
        mean: RGB, 0 to 255; [3], or an image [S, S, 3].
    """
    names = tuple(synset for synset, _ in imagenet_classes())
    classes = model.output_shape[-1]
    if classes != len(names):
        names = tuple(f"class {number}" for number in range(classes))
    size = variant.preprocessing.image_size
    image = np.ascontiguousarray(np.broadcast_to(mean, (size, size, 3)), np.float32)
    statistics = Statistics(image, np.zeros(3, np.float32), np.eye(3, dtype=np.float32))
    return Classifier(model, Preprocessor(variant.preprocessing, statistics), names)
