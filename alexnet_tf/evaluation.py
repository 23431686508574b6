"""Top-1 and top-5 error, every image counted exactly once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from alexnet_tf.classifier import Classifier
from alexnet_tf.data.distribute import distribute
from alexnet_tf.data.pipeline import PADDING, evaluation_dataset
from alexnet_tf.data.split import Split
from alexnet_tf.data.unreadable import Unreadable
from alexnet_tf.errors import UserError
from alexnet_tf.progress import Progress


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result; errors are fractions.

    Attributes:
        top1_error, top5_error: share of examples whose label is not the first guess, or not
            among the first five.
        loss: mean cross-entropy in nats.
        examples: how many were counted.
        unreadable: how many could not be decoded and are in no other figure.
        views: averaged for each example.
    """

    top1_error: float
    top5_error: float
    loss: float
    examples: int
    unreadable: int
    views: int

    def __str__(self) -> str:
        text = (
            f"top-1 error {self.top1_error:.2%}, top-5 error {self.top5_error:.2%}, "
            f"loss {self.loss:.4f} on {self.examples:,} images"
        )
        if self.views != 1:
            text += f", {self.views} views"
        return f"{text}, {self.unreadable:,} unreadable" if self.unreadable else text


class Evaluator:
    """Evaluates a classifier on any strategy; the graph is traced once.

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

    def __call__(
        self,
        split: Split,
        title: str = "evaluating",
        stop: Callable[[], bool] = lambda: False,
        unreadable: Unreadable | None = None,
    ) -> Evaluation | None:
        """Goes once over a split.

        Args:
            split: the examples.
            title: of the progress bar.
            stop: asked after each batch whether to give up.
            unreadable: is told of images that do not decode, and says when they are too many.

        Returns:
            The result, or None if stopped.

        Raises:
            UserError: no example could be decoded, or too many could not.
        """
        unreadable = Unreadable(split) if unreadable is None else unreadable
        spec = self.classifier.preprocessor.spec

        def make_dataset(reader: int, readers: int) -> tf.data.Dataset:
            return evaluation_dataset(
                split, spec, self.batch_size, unreadable, reader=reader, readers=readers
            )

        totals = None
        with Progress(title, split.examples, "images") as progress:
            for batch in distribute(self.strategy, make_dataset, self.batch_size):
                sums = self._step(batch)
                totals = sums if totals is None else totals + sums
                progress.advance(int(sums[0]))
                unreadable.check()
                if stop():
                    return None
        count, top1, top5, loss, broken = (float(value) for value in totals)
        examples = int(count)
        if examples + broken != split.examples:
            raise AssertionError(
                f"{examples} examples counted and {broken:g} unreadable of {split.examples}"
            )
        if not examples:
            raise UserError(f"Expected {split.examples} images. Received: {unreadable}")
        return Evaluation(
            top1_error=(count - top1) / count,
            top5_error=(count - top5) / count,
            loss=loss / count,
            examples=examples,
            unreadable=int(broken),
            views=self.views,
        )

    def _distributed_step(self, batch: dict) -> tf.Tensor:
        sums = self.strategy.run(self._replica_step, (batch,))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    def _replica_step(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """float64 [5]: sums over the batch of weight, top-1 hits, top-5 hits, loss, unreadable."""
        labels, weight = batch["label"], tf.cast(batch["weight"], tf.float64)
        logs = self.classifier.log_probabilities(batch["image"], self.views)  # [B, classes]
        losses = -tf.gather(logs, labels, batch_dims=1)
        # Ties are broken by index, as prediction and serving break them.
        guesses = tf.math.top_k(logs, min(5, logs.shape[-1])).indices  # [B, 5]
        hits = guesses == tf.cast(labels, tf.int32)[:, None]
        per_example = [
            tf.ones_like(losses),
            hits[:, 0],
            tf.reduce_any(hits, axis=1),
            losses,
        ]
        sums = [tf.reduce_sum(tf.cast(x, tf.float64) * weight) for x in per_example]
        unreadable = tf.reduce_sum(tf.cast(batch["index"] != PADDING, tf.float64) - weight)
        return tf.stack([*sums, unreadable])
