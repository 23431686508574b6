"""All pictures, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.plots import (
    architecture,
    attention,
    augmentation,
    confusions,
    convolution,
    curves,
    first_layer,
    neighbors,
    nonlinearities,
    normalization,
    pooling,
    predictions,
    projector,
    units,
)

FIGURES: dict[str, Callable[[FigureContext], Picture]] = {
    "convolution": convolution.picture,
    "max-pooling": pooling.picture,
    "response-normalisation": normalization.picture,
    "nonlinearities": nonlinearities.picture,
    "architecture": architecture.picture,
    "crops": augmentation.crops_picture,
    "ten-views": augmentation.ten_views_picture,
    "lighting": augmentation.lighting_picture,
    "first-layer-kernels": first_layer.picture,
    "predictions": predictions.picture,
    "neighbours": neighbors.picture,
    "units": units.picture,
    "attention": attention.picture,
    "training": curves.picture,
    "confusions": confusions.picture,
    "projector": projector.picture,
}
_OF_NONE = {"convolution", "architecture", "first-layer-kernels", "training"}
_OF_ONE = {"max-pooling", "response-normalisation", "crops", "ten-views", "lighting"}


def needs_images(name: str, subject: FigureContext) -> bool:
    """Whether a picture cannot be drawn without the dataset."""
    return name not in _OF_NONE | (_OF_ONE if subject.photo else set())
