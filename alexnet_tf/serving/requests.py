"""Parses and checks request bodies, and turns them into batches for the model."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from alexnet_tf.data.image_checks import format_of, open_picture
from alexnet_tf.data.limits import MAX_PIXELS, MAX_PIXELS_TIMES_SCANS
from alexnet_tf.serving import rest
from alexnet_tf.serving.batching import Outputs
from alexnet_tf.serving.explain import explain
from alexnet_tf.serving.limits import Limits
from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.serving.rest import RequestError
from alexnet_tf.serving.signatures import CLASSIFY, EXAMPLE_KEY, image_example

_DEFAULT = "serving_default"
_FORMATS = ("JPEG", "PNG", "GIF", "BMP")  # that the model decodes

_START_OF_SCAN = b"\xff\xda"
_MIN_SCAN_PIXELS = 10_000  # a JPEG scan of fewer pixels takes as long as one of so many
_ICC_PROFILE = b"ICC_PROFILE\0"
_MAX_GIF_BLOCKS = 100_000  # of 255 bytes, if they are full


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

    def predict(self, body: bytes) -> InferenceRequest:
        """Parses `:predict`, which may name any signature, as in TensorFlow Serving."""
        values = rest.parse_body(body)
        signature = self._signature(values, sorted(self._methods))
        batch, in_rows = rest.parse_predict(values, self._model.argument(signature))
        return self._request(
            signature, batch, lambda outputs: rest.format_predictions(outputs, in_rows)
        )

    def classify(self, body: bytes) -> InferenceRequest:
        """Parses `:classify`."""
        values = rest.parse_body(body)
        known = sorted(name for name, method in self._methods.items() if method == "classify")
        signature = self._signature(values, known)
        return self._request(signature, rest.parse_classify(values), rest.format_classifications)

    def explain(self, body: bytes) -> InferenceRequest:
        """Parses the page's request, whose body is an image file."""
        labels = self._model.labels
        batch = rest.as_objects([body])
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

    def _request(
        self, signature: str, batch: np.ndarray, to_json: Callable[[Outputs], dict]
    ) -> InferenceRequest:
        """Checks the size of a request and empties images that are too expensive to decode."""
        affordable = self._limits.max_values // self._model.values(signature)
        max_images = max(1, min(self._limits.max_images, affordable))
        if len(batch) > max_images:
            raise RequestError(
                f"Expected at most {max_images} images for {signature}. Received: {len(batch)}",
                413,
            )
        if self._model.argument(signature).dtype != tf.string:
            return InferenceRequest(signature, batch, 0, to_json)
        is_example = self._methods[signature] == CLASSIFY
        images, pixels = _empty_expensive(map(_image_of, batch) if is_example else batch)
        if pixels > self._limits.max_pixels:
            raise RequestError(
                f"Expected images of at most {self._limits.max_pixels:,} pixels in one request. "
                f"Received: {pixels:,}",
                413,
            )
        # Examples are serialised anew: another parser could find another image in the same bytes.
        rows = map(image_example, images) if is_example else images
        return InferenceRequest(signature, rest.as_objects(rows), pixels, to_json)


def decoded_pixels(encoded: bytes) -> int | None:
    """Counts the pixels that decoding an image takes, from its bytes alone.

    `image_checks` has the limits per image. This adds the cost of many scans or frames, which a
    server must know before it computes images of several requests together.

    Args:
        encoded: JPEG, PNG, GIF or BMP.

    Returns:
        The pixels, of all frames of a GIF; None for another format or an image beyond a limit.
    """
    try:
        # Pillow fails on a damaged colour profile; libjpeg, which decodes, skips any profile.
        image = open_picture(encoded.replace(_ICC_PROFILE, bytes(len(_ICC_PROFILE))))
        kind, pixels = format_of(image), image.width * image.height
        if kind not in _FORMATS:
            return None
        if kind == "GIF":
            pixels = _gif_pixels(encoded)
        if kind == "JPEG":
            scans = encoded.count(_START_OF_SCAN)
            if scans * _MIN_SCAN_PIXELS > MAX_PIXELS_TIMES_SCANS:
                return None
    except Exception:  # Pillow raises exceptions of any kind for damaged images
        return None
    return pixels if 0 < pixels <= MAX_PIXELS else None


def _gif_pixels(encoded: bytes) -> int:
    """Counts the pixels of the screen and of all frames; 0 if there are too many blocks.

    Raises:
        struct.error, IndexError: the file is truncated.
    """
    width, height, flags = struct.unpack_from("<HHB", encoded, 6)
    pixels = width * height
    position, blocks = 13 + _palette_bytes(flags), 0
    while position < len(encoded) and blocks <= _MAX_GIF_BLOCKS:
        kind = encoded[position]
        if kind == 0x2C:  # a frame
            width, height, flags = struct.unpack_from("<HHB", encoded, position + 5)
            pixels += width * height
            position += 11 + _palette_bytes(flags)
        elif kind == 0x21:  # an extension
            position += 2
        else:  # the end of the file, or damaged from here on
            break
        while position < len(encoded) and encoded[position] and blocks <= _MAX_GIF_BLOCKS:
            position += 1 + encoded[position]
            blocks += 1
        position += 1
        blocks += 1
    return pixels if blocks <= _MAX_GIF_BLOCKS else 0


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _empty_expensive(images: Iterable[bytes]) -> tuple[list[bytes], int]:
    """Empties images that are too expensive to decode; returns the pixels of the others, too."""
    kept, total = [], 0
    for image in images:
        pixels = decoded_pixels(image)
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
