"""The page's explanation of one photograph: predictions, ten views, first-layer responses."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf.evaluation.classifier import TOP
from alexnet_tf.serving.batching import Outputs
from alexnet_tf.serving.rest import RequestError
from alexnet_tf.visualize import grid


def explain(outputs: Outputs, labels: tuple[str, ...]) -> dict[str, Any]:
    """Makes the page's explanation.

    Args:
        outputs: of signature `look_inside`, for one image.
        labels: class names in label order.

    Returns:
        JSON values; images are PNG files in data URLs.

    Raises:
        RequestError: 415, the image is not valid.
    """
    if not outputs["valid"][0]:
        raise RequestError(
            "Expected a JPEG, PNG, GIF or BMP image. Received: another format, or a damaged file",
            415,
        )
    probabilities = outputs["view_probabilities"][0]  # [10, classes]
    views = [
        {"image": _data_url(view), "best": _top(row, labels)[0]}
        for view, row in zip(outputs["views"][0], probabilities, strict=True)
    ]
    return {
        "square": _data_url(outputs["square"][0]),
        "ten_views": _top(probabilities.mean(axis=0), labels),
        "views": views,
        "first_layer": _data_url(response_grid(outputs["first_layer"][0])),
    }


def response_grid(responses: np.ndarray) -> np.ndarray:
    """Draws feature maps in grey: black is 0 or less, white the maximum of each map.

    Args:
        responses: float [H, W, kernels].

    Returns:
        uint8 [H', W', 3].
    """
    largest = np.maximum(responses.max(axis=(0, 1)), np.finfo(np.float32).tiny)
    grey = np.round(255 * np.clip(responses / largest, 0, 1)).astype(np.uint8)
    return grid(np.repeat(grey.transpose(2, 0, 1)[..., None], 3, axis=-1))


def _top(probabilities: np.ndarray, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    order = np.argsort(-probabilities, kind="stable")[:TOP]
    return [{"class": labels[i], "probability": float(probabilities[i])} for i in order]


def _data_url(image: np.ndarray) -> str:
    """Encodes uint8 [H, W, 3] as a URL that contains the image."""
    png = tf.io.encode_png(image).numpy()
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
