"""A model's predictions for a split, and the metrics that follow from them."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The metrics of a model on a split; errors are fractions.

    Attributes:
        top1_error: share of images whose label is not the most probable class.
        top5_error: share of images whose label is not among the five most probable classes.
        loss: mean cross-entropy in nats.
        examples: images counted.
        unreadable: images that could not be decoded or have no label; no other metric counts them.
        views: views of each image that were averaged.
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


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predictions for all N examples of a split, in its order.

    k is 5, or the number of classes if that is less.

    Attributes:
        labels: int64 [N], the true classes; `NO_LABEL` where an example has none.
        readable: bool [N], false where the image could not be decoded or has no label; the other
            arrays have no meaning there.
        predicted: int64 [N, k], the most probable classes, the most probable first.
        probabilities: float32 [N, k], their probabilities.
        losses: float32 [N], cross-entropy in nats.
        views: views of each image that were averaged.
    """

    labels: np.ndarray
    readable: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    losses: np.ndarray
    views: int

    def evaluation(self) -> Evaluation:
        """The metrics over all readable examples; there must be at least one."""
        correct = (self.predicted == self.labels[:, None])[self.readable]  # [n, k]
        examples = len(correct)
        # Not 1 minus the share that is correct: an error of 0 must not become a rounding's rest.
        return Evaluation(
            top1_error=(examples - int(correct[:, 0].sum())) / examples,
            top5_error=(examples - int(correct.sum())) / examples,
            loss=float(self.losses[self.readable].mean(dtype=np.float64)),
            examples=examples,
            unreadable=len(self.labels) - examples,
            views=self.views,
        )

    def per_class_counts(self, num_classes: int) -> np.ndarray:
        """Readable examples of each class, and how many of them are correct.

        Args:
            num_classes: number of classes.

        Returns:
            int64 [num_classes, 3]: examples, top-1 correct, top-5 correct.
        """
        labels = self.labels[self.readable]
        correct = self.predicted[self.readable] == labels[:, None]
        counts = [
            np.bincount(chosen, minlength=num_classes)
            for chosen in (labels, labels[correct[:, 0]], labels[correct.any(axis=1)])
        ]
        return np.stack(counts, axis=1)

    def confusions(self) -> list[tuple[int, int, int]]:
        """Pairs of a label and the wrong class predicted for it, with the number of examples.

        Returns:
            (label, predicted class, examples), the most frequent first.
        """
        wrong = self.readable & (self.predicted[:, 0] != self.labels)
        pairs = np.stack([self.labels[wrong], self.predicted[wrong, 0]], axis=1)  # [n, 2]
        unique, counts = np.unique(pairs, axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")  # equal counts: by label, then prediction
        return [(*map(int, unique[i]), int(counts[i])) for i in order]
