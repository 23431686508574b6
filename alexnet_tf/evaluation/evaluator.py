"""Runs a classifier over a split; every image counts exactly once."""

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
        batch_size: images over all replicas; the device gets `views` times as many.
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
        self._batches = None  # of the last split, with its decode errors

    def __call__(
        self,
        split: Split,
        title: str = "evaluating",
        stop: Callable[[], bool] = lambda: False,
        decode_errors: DecodeErrors | None = None,
    ) -> Evaluation | None:
        """The metrics on a split; arguments and errors as in `predict`, None if stopped."""
        predictions = self.predict(split, title, stop, decode_errors)
        return predictions and predictions.evaluation()

    def predict(
        self,
        split: Split,
        title: str = "evaluating",
        stop: Callable[[], bool] = lambda: False,
        decode_errors: DecodeErrors | None = None,
    ) -> Predictions | None:
        """Predicts every example of a split once. With several workers each gets all predictions.

        Args:
            split: the examples.
            title: of the progress bar.
            stop: called after each batch; evaluation stops if it returns true.
            decode_errors: records images that cannot be decoded, and raises if there are too many.

        Returns:
            The predictions, or None if stopped.

        Raises:
            UserError: there is no example, none could be decoded, or too many could not.
        """
        if not split.examples:
            raise UserError("Expected a split with images. Received: an empty one")
        decode_errors = DecodeErrors(split) if decode_errors is None else decode_errors
        integers, floats = [], []
        with Progress(title, split.examples, "images") as progress:
            for batch in self._distributed(split, decode_errors):
                batch_integers, batch_floats = (rows.numpy() for rows in self._step(batch))
                integers.append(batch_integers)
                floats.append(batch_floats)
                progress.advance(int((batch_integers[:, 0] != PADDING).sum()))
                decode_errors.check()
                if stop():
                    return None
        predictions = _assemble(np.concatenate(integers), np.concatenate(floats), self.views)
        if len(predictions.labels) != split.examples:
            raise AssertionError(f"{len(predictions.labels)} examples of {split.examples}")
        if not predictions.readable.any():
            raise UserError(f"None of the {split.examples} images can be used: {decode_errors}")
        return predictions

    def _distributed(
        self, split: Split, decode_errors: DecodeErrors
    ) -> tf.distribute.DistributedDataset:
        """The split's batches; the dataset of the last call is reused for the same arguments."""

        def make_dataset(shard_index: int, num_shards: int) -> tf.data.Dataset:
            """One worker's part of the split."""
            return evaluation_dataset(
                split,
                preprocessing,
                self.batch_size,
                decode_errors,
                shard_index=shard_index,
                num_shards=num_shards,
            )

        preprocessing = self.classifier.preprocessor.preprocessing
        if self._batches is None or self._batches[:2] != (split, decode_errors):
            batches = distribute(self.strategy, make_dataset, self.batch_size)
            self._batches = split, decode_errors, batches
        return self._batches[2]

    def _distributed_step(self, batch: dict) -> tuple[tf.Tensor, tf.Tensor]:
        integers, floats = self.strategy.run(self._replica_step, (batch,))
        return self.strategy.gather(integers, axis=0), self.strategy.gather(floats, axis=0)

    def _replica_step(self, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts one replica's batch.

        Returns:
            One row an example, in two tensors because each tensor is gathered on its own:
            int64 [b, 2 + k] with index, label and predicted classes, and float32 [b, 2 + k] with
            weight, loss and probabilities.
        """
        labels = batch["label"]
        logs = self.classifier.log_probabilities(batch["image"], self.views)  # [b, classes]
        # Of an example without a label the loss has no meaning, and counts nowhere.
        losses = -tf.gather(logs, tf.maximum(labels, 0), batch_dims=1)
        # Ties are broken by index, as prediction and serving do.
        top_logs, predicted = tf.math.top_k(logs, min(TOP, logs.shape[-1]))  # [b, k]
        integers = [batch["index"][:, None], labels[:, None], tf.cast(predicted, tf.int64)]
        floats = [batch["weight"][:, None], losses[:, None], tf.exp(top_logs)]
        return tf.concat(integers, axis=1), tf.concat(floats, axis=1)


def _assemble(integers: np.ndarray, floats: np.ndarray, views: int) -> Predictions:
    """Sorts the rows of `_replica_step` by index and drops padding.

    Raises:
        AssertionError: an example is missing or was counted twice.
    """
    real = integers[:, 0] != PADDING
    integers, floats = integers[real], floats[real]
    order = np.argsort(integers[:, 0])
    integers, floats = integers[order], floats[order]
    if not np.array_equal(integers[:, 0], np.arange(len(integers))):
        raise AssertionError("an example was counted twice, or not at all")
    return Predictions(
        labels=integers[:, 1],
        readable=floats[:, 0] > 0,
        predicted=integers[:, 2:],
        probabilities=floats[:, 2:],
        losses=floats[:, 1],
        views=views,
    )
