"""One pass over a dataset that keeps what the pictures need of each image."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.classifier import TOP, Classifier
from alexnet_tf.data.decode import decode_square
from alexnet_tf.data.pipeline import PADDING, evaluation_dataset
from alexnet_tf.data.split import Split
from alexnet_tf.data.unreadable import Unreadable
from alexnet_tf.errors import UserError
from alexnet_tf.models.inside import feature_model, unit_model
from alexnet_tf.progress import Progress

_BATCH = 64  # images
_PIXELS = 32  # the side at which images are compared pixel by pixel


@dataclasses.dataclass(frozen=True)
class Survey:
    """What a model makes of N readable images, in the order of the dataset; centre views.

    Attributes:
        index: int64 [N], their places in the split.
        labels: int64 [N], the true classes.
        guesses: int64 [N, k], the most probable classes, the most probable first.
        scores: float32 [N, k], their probabilities.
        features: float32 [N, F], of the last hidden layer, fc7.
        pixels: uint8 [N, 3072], the images at 32×32.
        responses: float32 [N, units], the largest response of each unit, or map, of `layer`.
        places: int64 [N, units, 2], row and column of it; 0 in a fully connected layer.
        layer: whose units they are.
        unreadable: images that could not be decoded and are not among the N.
    """

    index: np.ndarray
    labels: np.ndarray
    guesses: np.ndarray
    scores: np.ndarray
    features: np.ndarray
    pixels: np.ndarray
    responses: np.ndarray
    places: np.ndarray
    layer: str
    unreadable: int


def take_survey(classifier: Classifier, split: Split, layer: str, images: int) -> Survey:
    """Runs a model over a split, or over evenly spaced images of it.

    Args:
        classifier: the model.
        split: the images.
        layer: whose units' responses are kept, e.g. "conv5".
        images: at most.

    Raises:
        UserError: no such layer, or no image could be decoded.
    """
    every = -(-split.examples // images)
    step = tf.function(_make_step(classifier, layer))
    unreadable = Unreadable(split, limit=1.0)
    dataset = evaluation_dataset(
        split, classifier.preprocessor.spec, _BATCH, unreadable, every=every
    )
    rows: list[list[np.ndarray]] = []
    with Progress("looking", -(-split.examples // every), "images") as progress:
        for batch in dataset:
            index, there = batch["index"].numpy(), batch["weight"].numpy() > 0
            seen = [index, batch["label"].numpy(), *(x.numpy() for x in step(batch["image"]))]
            rows.append([values[there] for values in seen])
            progress.advance(int((index != PADDING).sum()))
    columns = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
    if not len(columns[0]):
        raise UserError(f"Expected images in {split.name}. Received: {unreadable}")
    return Survey(*columns, layer=layer, unreadable=len(unreadable))


def _make_step(classifier: Classifier, layer: str):
    """From uint8 [B, S, S, 3] to guesses, scores, features, pixels, responses and places."""
    model = classifier.model
    outputs = [model.output, feature_model(model).output, unit_model(model, layer).output]
    together = keras.Model(model.inputs, outputs)

    def step(images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """A batch."""
        inputs = classifier.preprocessor.views(images, 1)[:, 0]
        logits, features, maps = together(inputs, training=False)
        logs = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        scores, guesses = tf.math.top_k(logs, min(TOP, logs.shape[-1]))
        pixels = tf.cast(tf.round(tf.image.resize(images, [_PIXELS] * 2, "area")), tf.uint8)
        responses, places = _peaks(maps)
        flat = tf.reshape(pixels, [-1, _PIXELS**2 * 3])
        return tf.cast(guesses, tf.int64), tf.exp(scores), features, flat, responses, places

    return step


def _peaks(maps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Each map's largest response [B, units], and its row and column [B, units, 2]."""
    if maps.shape.rank == 2:
        return maps, tf.zeros([*tf.unstack(tf.shape(maps)), 2], tf.int64)
    height, width, units = maps.shape[1:]
    flat = tf.reshape(maps, [-1, height * width, units])
    place = tf.argmax(flat, axis=1)  # [B, units]
    return tf.reduce_max(flat, axis=1), tf.stack([place // width, place % width], axis=-1)


def fetch_squares(classifier: Classifier, split: Split, index: np.ndarray) -> np.ndarray:
    """Some images of a split, as the views are cut from them.

    Args:
        classifier: whose preprocessing makes the squares.
        split: the images.
        index: int64 [n], their places; each can be decoded.

    Returns:
        uint8 [n, S, S, 3], in the order of `index`.
    """
    spec, wanted = classifier.preprocessor.spec, tf.constant(index, tf.int64)

    def decode(records: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """A batch of one record to its index and its square."""
        images, _ = split.parse(records)
        return records["index"][0], decode_square(split.load(images[0]), spec)

    records = split.in_order().filter(lambda r: tf.reduce_any(r["index"] == wanted)).batch(1)
    found = {int(i): square for i, square in records.map(decode).as_numpy_iterator()}
    return np.stack([found[int(i)] for i in index])
