"""One pass over a dataset that keeps what the pictures need of each image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.dataset import Split
from alexnet_tf.data.decode import decode_square
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.pipeline import PADDING, evaluation_dataset
from alexnet_tf.evaluation.classifier import TOP, Classifier
from alexnet_tf.models.feature_extraction import feature_model, unit_model
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress

_BATCH = 64  # images
_PIXELS = 32  # the side at which images are compared pixel by pixel
THUMBNAIL = 48  # pixels: the side of a small picture
_MEMORY = 400_000_000  # bytes of squares that are kept: 2,000 of 256 pixels


@dataclasses.dataclass(frozen=True)
class Activations:
    """What a model makes of N readable images, in the order of the dataset; centre views.

    Attributes:
        index: int64 [N], their places in the split.
        labels: int64 [N], the true classes; None where they are not known.
        guesses: int64 [N, k], the most probable classes, the most probable first.
        scores: float32 [N, k], their probabilities.
        features: float32 [N, F], of the last hidden layer, fc7.
        pixels: uint8 [N, 3072], the images at 32×32.
        thumbnails: uint8 [N, 48, 48, 3].
        responses: float32 [N, units], the largest response of each unit, or map, of `layer`.
        places: int64 [N, units, 2], row and column of it; None in a fully connected layer.
        squares: uint8 [N, S, S, 3], what views are cut from; None where they would be too many.
        layer: whose units they are.
        unreadable: images that could not be decoded and are not among the N.
    """

    index: np.ndarray
    labels: np.ndarray | None
    guesses: np.ndarray
    scores: np.ndarray
    features: np.ndarray
    pixels: np.ndarray
    thumbnails: np.ndarray
    responses: np.ndarray
    places: np.ndarray | None
    squares: np.ndarray | None
    layer: str
    unreadable: int


def record_activations(
    classifier: Classifier, split: Split, layer: str, images: int, labelled: bool = True
) -> Activations:
    """Runs a model over a split, or over evenly spaced images of it.

    Args:
        classifier: the model.
        split: the images.
        layer: whose units' responses are kept, e.g. "conv5".
        images: at most.
        labelled: whether the split's labels mean anything.

    Raises:
        UserError: no such layer, or no image could be decoded.
    """
    every = max(1, -(-split.examples // images))
    spec = classifier.preprocessor.preprocessing
    step = tf.function(_make_step(classifier, layer))
    unreadable = DecodeErrors(split, limit=1.0)
    kept = -(-split.examples // every) * spec.image_size**2 * 3 <= _MEMORY
    rows: list[dict[str, np.ndarray]] = []
    with Progress("looking", -(-split.examples // every), "images") as progress:
        for batch in evaluation_dataset(split, spec, _BATCH, unreadable, stride=every):
            there = batch["weight"].numpy() > 0
            seen = {"index": batch["index"], "labels": batch["label"], **step(batch["image"])}
            if kept:
                seen["squares"] = batch["image"]
            rows.append({name: values.numpy()[there] for name, values in seen.items()})
            progress.advance(int((batch["index"].numpy() != PADDING).sum()))
    if not any(len(row["index"]) for row in rows):
        raise UserError(f"Expected images in {split.name}. Received: {unreadable}")
    columns = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    if not labelled:
        columns["labels"] = None
    columns = {"places": None, "squares": None, **columns}
    return Activations(**columns, layer=layer, unreadable=len(unreadable))


def _make_step(
    classifier: Classifier, layer: str
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:  # fmt: skip
    """From uint8 [B, S, S, 3] to what `Activations` keeps of them."""
    model = classifier.model
    outputs = [model.output, feature_model(model).output, unit_model(model, layer).output]
    together = keras.Model(model.inputs, outputs)

    def step(images: tf.Tensor) -> dict[str, tf.Tensor]:
        """A batch."""
        inputs = classifier.preprocessor.views(images, 1)[:, 0]
        logits, features, maps = together(inputs, training=False)
        logs = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        scores, guesses = tf.math.top_k(logs, min(TOP, logs.shape[-1]))
        return {
            "guesses": tf.cast(guesses, tf.int64),
            "scores": tf.exp(scores),
            "features": features,
            "pixels": tf.reshape(_shrink(images, _PIXELS), [-1, _PIXELS**2 * 3]),
            "thumbnails": _shrink(images, THUMBNAIL),
            **_peaks(maps),
        }

    return step


def _shrink(images: tf.Tensor, side: int) -> tf.Tensor:
    """uint8 [B, S, S, 3] to uint8 [B, side, side, 3]."""
    return tf.cast(tf.round(tf.image.resize(images, [side] * 2, "area")), tf.uint8)


def _peaks(maps: tf.Tensor) -> dict[str, tf.Tensor]:
    """Each map's largest response [B, units], and its row and column [B, units, 2]."""
    if maps.shape.rank == 2:
        return {"responses": maps}
    height, width, units = maps.shape[1:]
    flat = tf.reshape(maps, [-1, height * width, units])
    place = tf.argmax(flat, axis=1)  # [B, units]
    places = tf.stack([place // width, place % width], axis=-1)
    return {"responses": tf.reduce_max(flat, axis=1), "places": places}


def fetch_squares(
    classifier: Classifier, split: Split, index: np.ndarray
) -> dict[int, np.ndarray]:  # fmt: skip
    """Some images of a split, as the views are cut from them, by their places.

    Args:
        classifier: whose preprocessing makes the squares, uint8 [S, S, 3].
        split: the images; what comes after the last of them is not read.
        index: int64 [n], their places; each can be decoded.
    """
    spec, wanted = classifier.preprocessor.preprocessing, np.unique(index)

    def decode(records: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """A batch of one record to its index and its square."""
        images, _ = split.parse(records)
        return records["index"][0], decode_square(split.load(images[0]), spec)

    records = split.in_order().filter(lambda r: tf.reduce_any(r["index"] == wanted))
    records = records.take(len(wanted)).batch(1)
    return {
        int(place): square
        for place, square in records.map(decode, tf.data.AUTOTUNE).as_numpy_iterator()
    }
