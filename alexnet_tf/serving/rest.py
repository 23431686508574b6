"""Converts the JSON of TensorFlow Serving's REST API to arrays and back.

https://www.tensorflow.org/tfx/serving/api_rest: the row format ("instances" to "predictions"), the
column format ("inputs" to "outputs"), binary values as {"b64": "..."}, and Classify's "examples".
All functions are pure, and raise `RequestError` for a wrong request.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf


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


def parse_body(body: bytes) -> dict[str, Any]:
    """Parses a body as a JSON object."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"Expected JSON. Received: {str(error)[:200]}") from None
    if not isinstance(values, dict):
        raise RequestError(f"Expected a JSON object. Received: {type(values).__name__}")
    return values


def brief(value: Any) -> str:
    """Describes a JSON value in an error; lists, which may be deep, by their type only."""
    if isinstance(value, str):
        return repr(value[:100])
    scalar = value is None or isinstance(value, bool | int | float)
    return json.dumps(value)[:80] if scalar else type(value).__name__


def parse_predict(values: dict[str, Any], argument: tf.TensorSpec) -> tuple[np.ndarray, bool]:
    """Parses a predict request.

    Args:
        values: from `parse_body`.
        argument: the single argument of the signature.

    Returns:
        The batch, of the argument's shape and type (bytes as objects), and whether the request
        has the row format.

    Raises:
        RequestError: the values do not fit the argument.
    """
    rows = "instances" in values
    if rows == ("inputs" in values):
        received = "both" if rows else "neither"
        raise RequestError(f'Expected "instances" or "inputs". Received: {received}')
    if rows:
        batch = values["instances"]
        if not isinstance(batch, list) or not batch:
            raise RequestError('Expected "instances" to be a list with at least one value')
        if len({_is_named(instance) for instance in batch}) > 1:
            raise RequestError(
                f'Expected all "instances" to be named "{argument.name}", or none of them'
            )
        batch = [_only(instance, argument.name) for instance in batch]
    else:
        batch = _only(values["inputs"], argument.name)
        if not isinstance(batch, list):
            raise RequestError('Expected "inputs" to be a list with one value per image')
    return _to_array(batch, argument), rows


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
    try:
        array = np.array(batch)
    except (ValueError, OverflowError):
        array = np.zeros((), object)
    shape = argument.shape.as_list()[1:]
    limits = np.iinfo(argument.dtype.as_numpy_dtype)
    if array.dtype.kind not in "iu" or list(array.shape[1:]) != shape:
        raise RequestError(
            f'Expected "{argument.name}" of whole numbers, {shape} per image. Received: '
            f"{array.dtype.name}, {list(array.shape[1:])}"
        )
    if array.size and not limits.min <= array.min() <= array.max() <= limits.max:
        raise RequestError(
            f'Expected "{argument.name}" from {limits.min} to {limits.max}. Received: '
            f"{array.min()} to {array.max()}"
        )
    return array.astype(argument.dtype.as_numpy_dtype)


def _to_bytes(value: Any) -> bytes:
    """Returns the bytes of a string or of {"b64": ...}."""
    try:
        if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
            text = "".join(value["b64"].split())  # padding and line breaks are optional
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        if isinstance(value, str):
            return value.encode()
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"Expected base64. Received: {str(error)[:200]}") from None
    raise RequestError(f'Expected {{"b64": "..."}}. Received: {brief(value)}')


def parse_classify(values: dict[str, Any]) -> np.ndarray:
    """Parses a classify request to serialised tf.Examples, objects [B].

    Raises:
        RequestError: the values are not examples.
    """
    examples, context = values.get("examples"), values.get("context", {})
    if not isinstance(examples, list) or not all(isinstance(e, dict) for e in examples):
        raise RequestError('Expected "examples" to be a list of objects')
    if not examples:
        raise RequestError('Expected "examples" to be a list with at least one object')
    if not isinstance(context, dict):
        raise RequestError('Expected "context" to be an object')
    serialised = [_to_example({**context, **example}).SerializeToString() for example in examples]
    return as_objects(serialised)


def _to_example(features: dict[str, Any]) -> tf.train.Example:
    example = tf.train.Example()
    try:
        for name, value in features.items():
            values = value if isinstance(value, list) else [value]
            feature = example.features.feature[name]
            if all(isinstance(v, int) for v in values):
                feature.int64_list.value.extend(map(int, values))  # true is 1
            elif all(isinstance(v, int | float) for v in values):
                feature.float_list.value.extend(values)
            else:
                feature.bytes_list.value.extend(map(_to_bytes, values))
    except (ValueError, TypeError) as error:
        raise RequestError(f"Expected features of a tf.Example. Received: {error!s:.200}") from None
    return example


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
