"""What a request asks of the model, checked and ready to be computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from alexnet_tf.serving import rest
from alexnet_tf.serving.batching import Answer
from alexnet_tf.serving.explain import look
from alexnet_tf.serving.limits import Limits
from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.serving.rest import RequestError
from alexnet_tf.serving.screening import pixels_of
from alexnet_tf.serving.signatures import CLASSIFY, EXAMPLE_KEY

_DEFAULT = "serving_default"


@dataclasses.dataclass(frozen=True)
class Question:
    """One request's.

    Attributes:
        signature: that is asked.
        batch: a row an image; an encoded image that takes too much to decode is empty here, so
            that the model says of it what it says of a broken one.
        pixels: that decoding it takes.
        to_json: from the signature's answer to JSON values; may raise `RequestError`.
    """

    signature: str
    batch: np.ndarray
    pixels: int
    to_json: Callable[[Answer], dict[str, Any]]


class Parser:
    """Makes questions of requests' bodies.

    Args:
        model: to be asked.
        limits: for images, pixels and values of a request.
    """

    def __init__(self, model: LoadedModel, limits: Limits):
        self._model, self._limits = model, limits
        self._methods = {
            name: definition.method_name.rpartition("/")[2]
            for name, definition in model.definitions.items()
            if name in model.functions
        }

    def predict(self, body: bytes) -> Question:
        """Of `:predict`, which may ask every signature, as in TensorFlow Serving."""
        values = rest.parse_body(body)
        signature = self._signature(values, sorted(self._methods))
        batch, in_rows = rest.parse_predict(values, self._model.argument(signature))
        return self._question(
            signature, batch, lambda answer: rest.format_predictions(answer, in_rows)
        )

    def classify(self, body: bytes) -> Question:
        """Of `:classify`."""
        values = rest.parse_body(body)
        known = sorted(name for name, method in self._methods.items() if method == "classify")
        signature = self._signature(values, known)
        return self._question(signature, rest.parse_classify(values), rest.format_classifications)

    def look(self, body: bytes) -> Question:
        """Of the page: the body is a photograph."""
        return self._question(
            "look_inside", rest.as_objects([body]), lambda answer: look(answer, self._model.labels)
        )

    def _signature(self, values: dict[str, Any], known: list[str]) -> str:
        """The signature that a request names; without a name, the default one."""
        name = values.get("signature_name", _DEFAULT)
        name = _DEFAULT if name == "" else name
        if not isinstance(name, str) or name not in known:
            raise RequestError(
                f'Expected "signature_name" to be one of {", ".join(known)}. Received: '
                f"{rest.brief(name)}"
            )
        return name

    def _question(
        self, signature: str, batch: np.ndarray, to_json: Callable[[Answer], dict]
    ) -> Question:
        """Checks how much is asked, and leaves out what would take too much."""
        most = max(
            1, min(self._limits.images, self._limits.values // self._model.values(signature))
        )
        if len(batch) > most:
            raise RequestError(
                f"Expected at most {most} images for {signature}. Received: {len(batch)}", 413
            )
        argument = self._model.argument(signature)
        if argument.dtype != tf.string:
            return Question(signature, batch, 0, to_json)
        is_example = self._methods[signature] == CLASSIFY
        images, pixels = screen(map(image_of, batch) if is_example else batch)
        if pixels > self._limits.pixels:
            raise RequestError(
                f"Expected images of at most {self._limits.pixels:,} pixels in one request. "
                f"Received: {pixels:,}",
                413,
            )
        # The examples are written anew: another parser could find another image in the same bytes.
        rows = map(example_of, images) if is_example else images
        return Question(signature, rest.as_objects(rows), pixels, to_json)


def screen(images: Iterable[bytes]) -> tuple[list[bytes], int]:
    """Encoded images, those that take too much to decode empty, and the pixels of the others."""
    kept, total = [], 0
    for image in images:
        pixels = pixels_of(image)
        kept.append(image if pixels else b"")
        total += pixels or 0
    return kept, total


def image_of(serialised: bytes) -> bytes:
    """The image of a tf.Example; empty if there is not exactly one."""
    try:
        features = tf.train.Example.FromString(serialised).features.feature
    except DecodeError:
        return b""
    found = features[EXAMPLE_KEY].bytes_list.value if EXAMPLE_KEY in features else ()
    return found[0] if len(found) == 1 else b""


def example_of(image: bytes) -> bytes:
    """A serialised tf.Example of an image."""
    example = tf.train.Example()
    example.features.feature[EXAMPLE_KEY].bytes_list.value.append(image)
    return example.SerializeToString()
