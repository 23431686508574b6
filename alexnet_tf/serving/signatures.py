"""The signatures of a SavedModel.

Encoded images are JPEG, PNG, BMP or GIF files; the first frame of a GIF is used. An image that
cannot be decoded, or that TensorFlow would misread (`data/graph_checks.py`), does not fail the
others of its batch: its `valid` is false, its numbers are 0 and its class names are empty. k is 5,
or the number of classes if there are fewer.

signature         input                              output
serving_default   image_bytes, string [B]            classes, string [B, k], most probable first
                                                     scores, float32 [B, k], their probabilities
                                                     probabilities, float32 [B, classes]
                                                     valid, bool [B]
ten_view          image_bytes, string [B]            the same, averaged over ten views
images            images, uint8 [B, S, S, 3], RGB    the same without valid
features          image_bytes, string [B]            features, float32 [B, 4096]: fc7 after its
                                                     nonlinearity, and valid
look_inside       image_bytes, string [B]            square, uint8 [B, S, S, 3]; views, uint8
                                                     [B, 10, C, C, 3]; view_probabilities, float32
                                                     [B, 10, classes]; first_layer, float32
                                                     [B, H, W, kernels]; valid
classify          inputs, serialised tf.Example      classes and scores of all classes, most
                  with image/encoded                 probable first, as Classify returns them
"""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

from alexnet_tf.evaluation.classifier import TOP, Classifier
from alexnet_tf.models.feature_extraction import feature_model, first_layer_model
from alexnet_tf.serving.allowed_ops import ALLOWED_OPS
from alexnet_tf.serving.rest import EXAMPLE_KEY
from alexnet_tf.system.errors import UserError

CLASSIFY = "classify"
SIGNATURES = ("serving_default", "ten_view", "images", "features", "look_inside", CLASSIFY)
TEN_VIEWS = ("ten_view", "look_inside")  # those that compute ten views of each image


def check_ops(name: str, function: tf.types.experimental.ConcreteFunction) -> None:
    """Checks that a signature's graph, with all functions that it calls, has allowed operations.

    Raises:
        UserError: it has other operations.
    """
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    others = sorted({node.op for node in nodes} - ALLOWED_OPS)
    if others:
        raise UserError(
            f"Signature {name} cannot be exported: its graph contains {', '.join(others)}. A "
            "server may only run the operations listed in serving/allowed_ops.py."
        )


def image_example(encoded: bytes) -> bytes:
    """Serialises a tf.Example of one encoded image."""
    example = tf.train.Example()
    example.features.feature[EXAMPLE_KEY].bytes_list.value.append(encoded)
    return example.SerializeToString()


class Servable(tf.Module):
    """A classifier's weights and signatures.

    Args:
        classifier: the trained network; an ensemble has no signatures `features` and
            `look_inside`.
    """

    def __init__(self, classifier: Classifier):
        super().__init__()
        self._classifier = classifier
        models = classifier.models
        self._weights = [variable.value for model in models for variable in model.weights]
        self._class_names = tf.constant(classifier.classes)
        if len(models) == 1:
            self._features = feature_model(classifier.model)
            self._first_layer = first_layer_model(classifier.model)

    def signatures(
        self, names: Iterable[str] = SIGNATURES
    ) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Traces signatures, each with a free batch dimension.

        Returns:
            Signature name to function.
        """
        size = self._classifier.preprocessor.preprocessing.image_size
        encoded = tf.TensorSpec([None], tf.string, name="image_bytes")
        squares = tf.TensorSpec([None, size, size, 3], tf.uint8, name="images")
        examples = tf.TensorSpec([None], tf.string, name="inputs")
        functions = {
            "serving_default": (self._one_view, encoded),
            "ten_view": (self._ten_view, encoded),
            "images": (self._decoded, squares),
            "features": (self._fc7, encoded),
            "look_inside": (self._look_inside, encoded),
            CLASSIFY: (self._classify, examples),
        }
        traced = {}
        for name in names:
            function, argument = functions[name]
            traced[name] = tf.function(function, input_signature=[argument]).get_concrete_function()
        return traced

    def _one_view(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._predict(image_bytes, views=1)

    def _ten_view(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._predict(image_bytes, views=10)

    def _decoded(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._top_classes(self._classifier.log_probabilities(images))

    def _fc7(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        squares, valid = self._classifier.decode(image_bytes)
        features = self._features(self._inputs(squares), training=False)
        return {"features": _mask(valid, features), "valid": valid}

    def _look_inside(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        squares, valid = self._classifier.decode(image_bytes)
        first_layer = self._first_layer(self._inputs(squares), training=False)
        return {
            "square": squares,
            "views": self._classifier.preprocessor.crops(squares, 10),
            "view_probabilities": _mask(valid, self._classifier.view_probabilities(squares, 10)),
            "first_layer": _mask(valid, first_layer),
            "valid": valid,
        }

    def _classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        feature = tf.io.FixedLenFeature([], tf.string)

        def image_of(example: tf.Tensor) -> tf.Tensor:
            """Fails for an invalid example, and for one without an image or with several."""
            return tf.io.parse_single_example(example, {EXAMPLE_KEY: feature})[EXAMPLE_KEY]

        squares, valid = self._classifier.decode(inputs, image_of)
        logs = self._classifier.log_probabilities(squares)
        logs, indices = tf.math.top_k(logs, len(self._classifier.classes))
        names = tf.where(valid[:, None], tf.gather(self._class_names, indices), "")
        return {"classes": names, "scores": _mask(valid, tf.exp(logs))}

    def _predict(self, image_bytes: tf.Tensor, views: int) -> dict[str, tf.Tensor]:
        squares, valid = self._classifier.decode(image_bytes)
        top = self._top_classes(self._classifier.log_probabilities(squares, views))
        return {
            "classes": tf.where(valid[:, None], top["classes"], ""),
            "scores": _mask(valid, top["scores"]),
            "probabilities": _mask(valid, top["probabilities"]),
            "valid": valid,
        }

    def _top_classes(self, logs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Ranks by logarithms [B, classes], which differ where float32 probabilities are all 0."""
        top, indices = tf.math.top_k(logs, min(TOP, len(self._classifier.classes)))
        return {
            "classes": tf.gather(self._class_names, indices),
            "scores": tf.exp(top),
            "probabilities": tf.exp(logs),
        }

    def _inputs(self, squares: tf.Tensor) -> tf.Tensor:
        """Returns the network's input for the centre view, float32 [B, C, C, 3]."""
        return self._classifier.preprocessor.views(squares, 1)[:, 0]


def _mask(valid: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Sets values [B, ...] to 0 where the image is not valid."""
    shape = tf.concat([tf.shape(valid), tf.ones([tf.rank(values) - 1], tf.int32)], axis=0)
    return tf.where(tf.reshape(valid, shape), values, 0.0)
