"""Parses and checks request bodies, and turns them into batches for the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from alexnet_tf.data.image_checks import pixels_to_decode
from alexnet_tf.serving import rest
from alexnet_tf.serving.batching import Outputs
from alexnet_tf.serving.explain import explain
from alexnet_tf.serving.limits import Limits
from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.serving.rest import EXAMPLE_KEY, RequestError
from alexnet_tf.serving.signatures import CLASSIFY, image_example

_DEFAULT = "serving_default"


@dataclasses.dataclass(frozen=True)
class InferenceRequest:
    """One request to the model.

    Attributes:
        signature: to call.
        batch: one row per image; an encoded image that is too expensive to decode is empty here,
            so that the model calls it invalid.
        pixels: to decode.
        to_json: from the signature's outputs to JSON values; may raise `RequestError`.
    """

    signature: str
    batch: np.ndarray
    pixels: int
    to_json: Callable[[Outputs], dict[str, Any]]


class RequestParser:
    """Turns request bodies into inference requests.

    Args:
        model: the model that computes them.
        limits: of images, pixels and values per request.
    """

    def __init__(self, model: LoadedModel, limits: Limits):
        self._model, self._limits = model, limits
        self._methods = {
            name: definition.method_name.rpartition("/")[2]
            for name, definition in model.definitions.items()
            if name in model.functions
        }

    def predict(self, body: bytes | bytearray) -> InferenceRequest:
        """Parses `:predict`, which may name any signature, as in TensorFlow Serving."""
        values = rest.parse_body(body)
        signature = self._signature(values, sorted(self._methods))
        batch, in_rows = rest.parse_predict(
            values, self._model.argument(signature), self._max_images(signature)
        )
        if self._methods[signature] == CLASSIFY:
            batch = map(_image_of, batch)
        return self._request(
            signature, batch, lambda outputs: rest.format_predictions(outputs, in_rows)
        )

    def classify(self, body: bytes | bytearray) -> InferenceRequest:
        """Parses `:classify`."""
        values = rest.parse_body(body)
        known = sorted(name for name, method in self._methods.items() if method == "classify")
        signature = self._signature(values, known)
        images = rest.parse_classify(values, self._max_images(signature))
        return self._request(signature, images, rest.format_classifications)

    def explain(self, body: bytes | bytearray) -> InferenceRequest:
        """Parses the page's request; its body is an image file."""
        labels = self._model.labels
        batch = rest.as_objects([bytes(body)])
        return self._request("look_inside", batch, lambda outputs: explain(outputs, labels))

    def _signature(self, values: dict[str, Any], known: list[str]) -> str:
        """Returns the signature that a request names, or the default one."""
        name = values.get("signature_name", _DEFAULT)
        name = _DEFAULT if name == "" else name
        if not isinstance(name, str) or name not in known:
            raise RequestError(
                f'Expected "signature_name" to be one of {", ".join(known)}. Received: '
                f"{rest.brief(name)}"
            )
        return name

    def _max_images(self, signature: str) -> int:
        affordable = self._limits.max_values // self._model.values(signature)
        return max(1, min(self._limits.max_images, affordable))

    def _request(
        self,
        signature: str,
        batch: np.ndarray | Iterable[bytes],
        to_json: Callable[[Outputs], dict],
    ) -> InferenceRequest:
        """Checks the size of encoded images and empties those that are too expensive to decode.

        Args:
            signature: to call.
            batch: decoded images, or files.
            to_json: see `InferenceRequest`.
        """
        if self._model.argument(signature).dtype != tf.string:
            return InferenceRequest(signature, batch, 0, to_json)
        images = list(batch)
        # One image of a context may stand for all: it is sent once, but is copied for the model.
        if (size := sum(map(len, images))) > self._limits.max_request_bytes:
            raise RequestError(
                f"Expected images of at most {self._limits.max_request_bytes:,} bytes in one "
                f"request. Received: {size:,}",
                413,
            )
        images, pixels = _empty_expensive(images)
        if pixels > self._limits.max_pixels:
            raise RequestError(
                f"Expected images of at most {self._limits.max_pixels:,} pixels in one request. "
                f"Received: {pixels:,}",
                413,
            )
        # Examples are serialised anew: another parser could find another image in the same bytes.
        rows = map(image_example, images) if self._methods[signature] == CLASSIFY else images
        return InferenceRequest(signature, rest.as_objects(rows), pixels, to_json)


def _empty_expensive(images: Iterable[bytes]) -> tuple[list[bytes], int]:
    """Empties images that are too expensive to decode; returns the pixels of the others, too."""
    kept, total = [], 0
    for image in images:
        pixels = pixels_to_decode(image)
        kept.append(image if pixels else b"")
        total += pixels or 0
    return kept, total


def _image_of(serialised: bytes) -> bytes:
    """Returns the image of a tf.Example; empty unless there is exactly one."""
    try:
        features = tf.train.Example.FromString(serialised).features.feature
    except DecodeError:
        return b""
    found = features[EXAMPLE_KEY].bytes_list.value if EXAMPLE_KEY in features else ()
    return found[0] if len(found) == 1 else b""
