"""Top-1 and top-5 error, every image counted exactly once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from alexnet_tf.data.dataset import Split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.pipeline import PADDING, distribute, evaluation_dataset
from alexnet_tf.evaluation.classifier import TOP, Classifier
from alexnet_tf.evaluation.predictions import Evaluation, Predictions
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress


class Evaluator:
    """Evaluates a classifier on any strategy; model and input are traced once.

    Args:
        classifier: made under the strategy's scope.
        strategy: where to run.
        batch_size: of images over all replicas; each is `views` times as large on the device.
        views: 1 or 10.
    """

    def __init__(
        self,
        classifier: Classifier,
        strategy: tf.distribute.Strategy,
        batch_size: int,
        views: int = 1,
    ):
        self.classifier, self.strategy = classifier, strategy
        self.batch_size, self.views = batch_size, views
        self._step = tf.function(self._distributed_step)
        self._batches = None  # of the split that was asked for last

    def __call__(
        self,
        split: Split,
        title: str = "evaluating",
        stop: Callable[[], bool] = lambda: False,
        unreadable: DecodeErrors | None = None,
    ) -> Evaluation | None:
        """The errors on a split; arguments, result and errors as those of `predict`."""
        predictions = self.predict(split, title, stop, unreadable)
        return predictions and predictions.evaluation()

    def predict(
        self,
        split: Split,
        title: str = "evaluating",
        stop: Callable[[], bool] = lambda: False,
        unreadable: DecodeErrors | None = None,
    ) -> Predictions | None:
        """Goes once over a split; several workers all get the whole result.

        Args:
            split: the examples.
            title: of the progress bar.
            stop: asked after each batch whether to give up.
            unreadable: is told of images that do not decode, and says when they are too many.

        Returns:
            What the model says of each example, or None if stopped.

        Raises:
            UserError: there is no example, none could be decoded, or too many could not.
        """
        if not split.examples:
            raise UserError("Expected a split with images. Received: an empty one")
        unreadable = DecodeErrors(split) if unreadable is None else unreadable
        integers, floats = [], []
        with Progress(title, split.examples, "images") as progress:
            for batch in self._distributed(split, unreadable):
                some, others = self._step(batch)
                integers.append(some.numpy())
                floats.append(others.numpy())
                progress.advance(int((some[:, 0].numpy() != PADDING).sum()))
                unreadable.check()
                if stop():
                    return None
        predictions = _assemble(np.concatenate(integers), np.concatenate(floats), self.views)
        if len(predictions.labels) != split.examples:
            raise AssertionError(f"{len(predictions.labels)} examples of {split.examples}")
        if not predictions.readable.any():
            raise UserError(f"Expected {split.examples} images. Received: {unreadable}")
        return predictions

    def _distributed(
        self, split: Split, unreadable: DecodeErrors
    ) -> tf.distribute.DistributedDataset:
        """The split's batches; made anew only if either is another one than last time."""

        def make_dataset(reader: int, readers: int) -> tf.data.Dataset:
            """One reader's part of the split."""
            return evaluation_dataset(
                split, spec, self.batch_size, unreadable, shard_index=reader, num_shards=readers
            )

        spec = self.classifier.preprocessor.preprocessing
        if self._batches is None or self._batches[:2] != (split, unreadable):
            batches = distribute(self.strategy, make_dataset, self.batch_size)
            self._batches = split, unreadable, batches
        return self._batches[2]

    def _distributed_step(self, batch: dict) -> tuple[tf.Tensor, tf.Tensor]:
        integers, floats = self.strategy.run(self._replica_step, (batch,))
        return self.strategy.gather(integers, axis=0), self.strategy.gather(floats, axis=0)

    def _replica_step(self, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows of one example each: few tensors, as each has to be gathered from all replicas.

        Returns:
            int64 [b, 2 + k]: index, label and guesses; float32 [b, 2 + k]: weight, loss, scores.
        """
        labels = batch["label"]
        logs = self.classifier.log_probabilities(batch["image"], self.views)  # [b, classes]
        losses = -tf.gather(logs, labels, batch_dims=1)
        # Ties are broken by index, as prediction and serving break them.
        scores, guesses = tf.math.top_k(logs, min(TOP, logs.shape[-1]))  # [b, k]
        integers = [batch["index"][:, None], labels[:, None], tf.cast(guesses, tf.int64)]
        floats = [batch["weight"][:, None], losses[:, None], tf.exp(scores)]
        return tf.concat(integers, axis=1), tf.concat(floats, axis=1)


def _assemble(integers: np.ndarray, floats: np.ndarray, views: int) -> Predictions:
    """Rows of `_replica_step` in any order, padding among them, to predictions in order.

    Raises:
        AssertionError: an example is missing or there twice.
    """
    there = integers[:, 0] != PADDING
    integers, floats = integers[there], floats[there]
    order = np.argsort(integers[:, 0])
    integers, floats = integers[order], floats[order]
    if not np.array_equal(integers[:, 0], np.arange(len(integers))):
        raise AssertionError("an example was counted twice, or not at all")
    return Predictions(
        labels=integers[:, 1],
        readable=floats[:, 0] > 0,
        guesses=integers[:, 2:],
        scores=floats[:, 2:],
        losses=floats[:, 1],
        views=views,
    )
