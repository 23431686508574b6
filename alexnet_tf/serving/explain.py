"""What the page shows of one photograph."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf.evaluation.classifier import TOP
from alexnet_tf.serving.batching import Answer
from alexnet_tf.serving.rest import RequestError
from alexnet_tf.visualize import grid


def look(answer: Answer, labels: tuple[str, ...]) -> dict[str, Any]:
    """The five most probable classes, the ten views and the first layer's responses.

    Args:
        answer: of signature `look_inside` to one image.
        labels: class names in label order.

    Returns:
        JSON values; pictures are PNG in data URLs.

    Raises:
        RequestError: 415, it is no image.
    """
    if not answer["valid"][0]:
        raise RequestError(
            "Expected a JPEG, PNG, GIF or BMP image. Received: none, or damaged", 415
        )
    probabilities = answer["view_probabilities"][0]  # [10, classes]
    centre = len(probabilities) // 2 - 1  # the fifth, as in data/preprocess.py
    views = [
        {"picture": _data_url(view), "best": _best(row, labels)[0]}
        for view, row in zip(answer["views"][0], probabilities, strict=True)
    ]
    return {
        "square": _data_url(answer["square"][0]),
        "centre_view": _best(probabilities[centre], labels),
        "ten_views": _best(probabilities.mean(axis=0), labels),
        "views": views,
        "first_layer": _data_url(response_grid(answer["first_layer"][0])),
    }


def response_grid(responses: np.ndarray) -> np.ndarray:
    """Feature maps as grey pictures: black is 0 and less, white each map's largest.

    Args:
        responses: float [H, W, kernels].

    Returns:
        uint8 [H', W', 3].
    """
    largest = np.maximum(responses.max(axis=(0, 1)), np.finfo(np.float32).tiny)
    grey = np.round(255 * np.clip(responses / largest, 0, 1)).astype(np.uint8)
    return grid(np.repeat(grey.transpose(2, 0, 1)[..., None], 3, axis=-1))


def _best(probabilities: np.ndarray, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    order = np.argsort(-probabilities, kind="stable")[:TOP]
    return [{"class": labels[i], "probability": float(probabilities[i])} for i in order]


def _data_url(picture: np.ndarray) -> str:
    """uint8 [H, W, 3] as an address that holds the picture itself."""
    png = tf.io.encode_png(picture).numpy()
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
