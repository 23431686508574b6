"""Converts the JSON of TensorFlow Serving's REST API to arrays and back.

https://www.tensorflow.org/tfx/serving/api_rest: the row format ("instances" to "predictions"), the
column format ("inputs" to "outputs"), binary values as {"b64": "..."}, and Classify's "examples".
All functions are pure, and raise `RequestError` for a wrong request.
"""

from __future__ import annotations

import base64
import binascii
import gc
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

# A number takes up to 24 bytes in memory, an empty list 72, a string 50, an object 230. Counted are
# the signs of all of them, before anything is parsed; those in strings count, too.
_MAX_SIGNS = (
    (b",", 3_000_000, "values"),  # 15 images of 256 x 256 pixels
    (b"[", 1_200_000, "lists"),
    (b"{", 20_000, "objects"),
    (b'"', 200_000, "quotation marks"),
)
_INT64, _MAX_FLOAT32 = range(-(2**63), 2**63), float(np.finfo(np.float32).max)
_SPACES = b" \t\r\n\v\f"
EXAMPLE_KEY = "image/encoded"  # feature of a tf.Example, as in TensorFlow's own image datasets


class RequestError(Exception):
    """A request that cannot be answered; the message is for the client.

    Attributes:
        status: HTTP status code.
    """

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


def as_objects(values: Iterable[Any]) -> np.ndarray:
    """Makes an array of objects, [N]; NumPy would turn lists of equal length into rows."""
    return np.array([*values, None], object)[:-1]


def parse_body(body: bytes | bytearray) -> dict[str, Any]:
    """Parses a body as a JSON object, unless that would take much more memory than the body."""
    for sign, limit, name in _MAX_SIGNS:
        if (count := body.count(sign)) > limit:
            raise RequestError(
                f"The request is too large: at most {limit:,} {name} are allowed. Received: "
                f"{count:,}",
                413,
            )
    collects = gc.isenabled()
    gc.disable()  # it would look at the growing lists again and again: six times as slow
    try:
        values = json.loads(body, object_pairs_hook=_unique_names, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"Expected JSON. Received: {str(error)[:200]}") from None
    finally:
        if collects:
            gc.enable()
    if not isinstance(values, dict):
        raise RequestError(f"Expected a JSON object. Received: {type(values).__name__}")
    return values


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a name that comes twice: another parser might take another one of its values."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("an object with the same name twice")
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, which JSON does not have")


def brief(value: Any) -> str:
    """Describes a JSON value in an error; lists, which may be deep, by their type only."""
    if isinstance(value, str):
        return repr(value[:100])
    scalar = value is None or isinstance(value, bool | int | float)
    return json.dumps(value)[:80] if scalar else type(value).__name__


def parse_predict(
    values: dict[str, Any], argument: tf.TensorSpec, max_images: int
) -> tuple[np.ndarray, bool]:
    """Parses a predict request.

    Args:
        values: from `parse_body`.
        argument: the single argument of the signature.
        max_images: images that are accepted.

    Returns:
        The batch, of the argument's shape and type (bytes as objects), and whether the request
        has the row format.

    Raises:
        RequestError: the values do not fit the argument, or are too many.
    """
    rows = "instances" in values
    if rows == ("inputs" in values):
        received = "both" if rows else "neither"
        raise RequestError(f'Expected "instances" or "inputs". Received: {received}')
    if rows:
        batch = values["instances"]
        if not isinstance(batch, list) or not batch:
            raise RequestError('Expected "instances" to be a list with at least one value')
        _check_number(batch, max_images)
        if len({_is_named(instance) for instance in batch}) > 1:
            raise RequestError(
                f'Expected all "instances" to be named "{argument.name}", or none of them'
            )
        batch = [_only(instance, argument.name) for instance in batch]
    else:
        batch = _only(values["inputs"], argument.name)
        if not isinstance(batch, list):
            raise RequestError('Expected "inputs" to be a list with one value per image')
        _check_number(batch, max_images)
    return _to_array(batch, argument), rows


def _check_number(images: list, max_images: int) -> None:
    if len(images) > max_images:
        raise RequestError(
            f"Expected at most {max_images} images for this signature. Received: {len(images)}", 413
        )


def _is_named(value: Any) -> bool:
    """Returns whether a value comes with its argument's name."""
    return isinstance(value, dict) and set(value) != {"b64"}


def _only(value: Any, name: str) -> Any:
    """Returns the value of the single argument, which may be named or not."""
    if _is_named(value):
        if set(value) != {name}:
            raise RequestError(f'Expected only "{name}". Received: {sorted(value)!r:.200}')
        return value[name]
    return value


def _to_array(batch: list, argument: tf.TensorSpec) -> np.ndarray:
    if argument.dtype == tf.string:
        return as_objects(map(_to_bytes, batch))
    if not batch:
        return np.zeros([0, *argument.shape[1:]], argument.dtype.as_numpy_dtype)
    array = np.array(batch, object)  # any other type could make every element as large as one is
    shape = argument.shape.as_list()[1:]
    kind = np.iinfo(argument.dtype.as_numpy_dtype)
    types = set(map(type, array.ravel()))
    if list(array.shape[1:]) != shape or types - {int}:
        names = ", ".join(sorted(each.__name__ for each in types))
        raise RequestError(
            f'Expected "{argument.name}" of whole numbers, {shape} per image. Received: '
            f"{names:.100}, {list(array.shape[1:])}"
        )
    if array.size and not kind.min <= array.min() <= array.max() <= kind.max:
        raise RequestError(
            f'Expected "{argument.name}" from {kind.min} to {kind.max}. Received: '
            f"{brief(array.min())} to {brief(array.max())}"
        )
    return array.astype(argument.dtype.as_numpy_dtype)


def _to_bytes(value: Any) -> bytes:
    """Returns the bytes of a string or of {"b64": ...}."""
    try:
        if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
            # Padding and line breaks are optional.
            text = value["b64"].encode("ascii").translate(None, _SPACES)
            return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
        if isinstance(value, str):
            return value.encode()
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"Expected base64. Received: {str(error)[:200]}") from None
    raise RequestError(f'Expected {{"b64": "..."}}. Received: {brief(value)}')


def parse_classify(values: dict[str, Any], max_images: int) -> list[bytes]:
    """Parses a classify request; features of `context` belong to every example without them.

    Args:
        values: from `parse_body`.
        max_images: examples that are accepted.

    Returns:
        The encoded image of each example; empty unless the example has exactly one.

    Raises:
        RequestError: the values are not examples, or are too many.
    """
    examples, context = values.get("examples"), values.get("context", {})
    if not isinstance(examples, list) or not all(isinstance(e, dict) for e in examples):
        raise RequestError('Expected "examples" to be a list of objects')
    if not examples:
        raise RequestError('Expected "examples" to be a list with at least one object')
    _check_number(examples, max_images)
    if not isinstance(context, dict):
        raise RequestError('Expected "context" to be an object')
    common = _image_of(context)  # decoded once, not copied into each example
    images = [_image_of(example) for example in examples]
    return [
        image if EXAMPLE_KEY in example else common
        for image, example in zip(images, examples, strict=True)
    ]


def _image_of(features: dict[str, Any]) -> bytes:
    """Checks the features of an example; returns its image, empty unless there is exactly one."""
    image: list[bytes] = []
    for name, value in features.items():
        _to_bytes(name)  # fails for a name that is no text
        decoded = _bytes_of_feature(value if isinstance(value, list) else [value])
        if name == EXAMPLE_KEY:
            image = decoded
    return image[0] if len(image) == 1 else b""


def _bytes_of_feature(values: list) -> list[bytes]:
    """Returns a feature's strings; none if it has numbers, which must fit a tf.Example."""
    if all(isinstance(value, int) for value in values):  # true is 1
        fit = all(value in _INT64 for value in values)
    elif all(isinstance(value, int | float) for value in values):
        fit = all(abs(value) <= _MAX_FLOAT32 for value in values)
    else:
        return list(map(_to_bytes, values))
    if not fit:
        raise RequestError("Expected numbers of 64 bits, or of 32 with a fraction, in a tf.Example")
    return []


def format_predictions(outputs: dict[str, np.ndarray], rows: bool) -> dict[str, Any]:
    """Formats the answer to a predict request as JSON values.

    Args:
        outputs: output name to an array of B rows.
        rows: whether the request has the row format.
    """
    columns = {name: _to_json(name, array) for name, array in outputs.items()}
    if not rows:
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    together = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in together]}


def format_classifications(outputs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Formats the answer to a classify request: pairs of label and score for each example."""
    rows = zip(_to_json("classes", outputs["classes"]), outputs["scores"].tolist(), strict=True)
    return {"results": [[list(pair) for pair in zip(*row, strict=True)] for row in rows]}


def _to_json(name: str, array: np.ndarray) -> list:
    """Makes nested lists; strings become base64 only in outputs named ..._bytes."""
    if array.dtype != object:
        return array.tolist()

    def text(value: bytes) -> Any:
        """Formats one string."""
        if name.endswith("_bytes"):
            return {"b64": base64.b64encode(value).decode()}
        return value.decode(errors="replace")

    return as_objects(map(text, array.ravel())).reshape(array.shape).tolist()
