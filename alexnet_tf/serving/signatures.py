"""What a server can be asked: the functions of a SavedModel.

Encoded images are JPEG, PNG, BMP or GIF files, of which the first frame is taken. One that cannot
be decoded does not fail the others of its batch: its `valid` is false, its numbers are 0 and its
class names empty. k is 5, or the number of classes if that is less.

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

EXAMPLE_KEY = "image/encoded"  # of a tf.Example, as TensorFlow's own image datasets have it
CLASSIFY = "classify"
SIGNATURES = ("serving_default", "ten_view", "images", "features", "look_inside", CLASSIFY)


class Servable(tf.Module):
    """A classifier's weights and the functions that a server calls.

    Args:
        classifier: the trained network; of several, signatures `features` and `look_inside` cannot
            be made.
    """

    def __init__(self, classifier: Classifier):
        super().__init__()
        self._classifier = classifier
        models = classifier.models
        self._weights = [variable.value for model in models for variable in model.weights]
        self._names = tf.constant(classifier.classes)
        if len(models) == 1:  # else nobody can look inside
            self._features = feature_model(classifier.model)
            self._first_layer = first_layer_model(classifier.model)

    def signatures(
        self, names: Iterable[str] = SIGNATURES
    ) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Name to traced function; the batch dimension is free everywhere."""
        side = self._classifier.preprocessor.preprocessing.image_size
        encoded = tf.TensorSpec([None], tf.string, name="image_bytes")
        squares = tf.TensorSpec([None, side, side, 3], tf.uint8, name="images")
        examples = tf.TensorSpec([None], tf.string, name="inputs")
        functions = {
            "serving_default": (self._centre_view, encoded),
            "ten_view": (self._ten_views, encoded),
            "images": (self._of_squares, squares),
            "features": (self._fc7, encoded),
            "look_inside": (self._look_inside, encoded),
            CLASSIFY: (self._classify, examples),
        }
        traced = {}
        for name in names:
            function, spec = functions[name]
            traced[name] = tf.function(function, input_signature=[spec]).get_concrete_function()
        return traced

    def _centre_view(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._answer(image_bytes, views=1)

    def _ten_views(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._answer(image_bytes, views=10)

    def _of_squares(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._best(self._classifier.log_probabilities(images))

    def _fc7(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        squares, valid = self._classifier.decode(image_bytes)
        features = self._features(self._inputs(squares), training=False)
        return {"features": _where(valid, features), "valid": valid}

    def _look_inside(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        squares, valid = self._classifier.decode(image_bytes)
        first_layer = self._first_layer(self._inputs(squares), training=False)
        return {
            "square": squares,
            "views": self._classifier.preprocessor.crops(squares, 10),
            "view_probabilities": _where(valid, self._classifier.view_probabilities(squares, 10)),
            "first_layer": _where(valid, first_layer),
            "valid": valid,
        }

    def _classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        feature = tf.io.FixedLenFeature([], tf.string)

        def image_of(example: tf.Tensor) -> tf.Tensor:
            """Fails for what is no example, and for one without an image or with several."""
            return tf.io.parse_single_example(example, {EXAMPLE_KEY: feature})[EXAMPLE_KEY]

        squares, valid = self._classifier.decode(inputs, image_of)
        logs = self._classifier.log_probabilities(squares)
        logs, indices = tf.math.top_k(logs, len(self._classifier.classes))
        names = tf.where(valid[:, None], tf.gather(self._names, indices), "")
        return {"classes": names, "scores": _where(valid, tf.exp(logs))}

    def _answer(self, image_bytes: tf.Tensor, views: int) -> dict[str, tf.Tensor]:
        squares, valid = self._classifier.decode(image_bytes)
        best = self._best(self._classifier.log_probabilities(squares, views))
        return {
            "classes": tf.where(valid[:, None], best["classes"], ""),
            "scores": _where(valid, best["scores"]),
            "probabilities": _where(valid, best["probabilities"]),
            "valid": valid,
        }

    def _best(self, logs: tf.Tensor) -> dict[str, tf.Tensor]:
        """[B, classes] to the k most probable classes; logarithms rank what float32 calls 0."""
        best, indices = tf.math.top_k(logs, min(TOP, len(self._classifier.classes)))
        return {
            "classes": tf.gather(self._names, indices),
            "scores": tf.exp(best),
            "probabilities": tf.exp(logs),
        }

    def _inputs(self, squares: tf.Tensor) -> tf.Tensor:
        """The network's input for the centre view, float32 [B, C, C, 3]."""
        return self._classifier.preprocessor.views(squares, 1)[:, 0]


def _where(valid: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Values [B, ...], and 0 where the image is not valid."""
    shape = tf.concat([tf.shape(valid), tf.ones([tf.rank(values) - 1], tf.int32)], axis=0)
    return tf.where(tf.reshape(valid, shape), values, 0.0)
