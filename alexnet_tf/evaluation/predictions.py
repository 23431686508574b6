"""What a model says of each example of a split, and what that amounts to."""

from __future__ import annotations

import dataclasses

import numpy as np


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


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The examples of a split, N in all, in its order; k is 5, or the number of classes if less.

    Attributes:
        labels: int64 [N], the true ones.
        readable: bool [N]; what could not be decoded has no meaning in the other fields.
        guesses: int64 [N, k], the most probable classes, the most probable first.
        scores: float32 [N, k], their probabilities.
        losses: float32 [N], minus the logarithm of the label's probability, in nats.
        views: averaged for each example.
    """

    labels: np.ndarray
    readable: np.ndarray
    guesses: np.ndarray
    scores: np.ndarray
    losses: np.ndarray
    views: int

    def evaluation(self) -> Evaluation:
        """The errors of all readable examples together; there must be one at least."""
        hits = (self.guesses == self.labels[:, None])[self.readable]  # [n, k]
        examples = len(hits)
        # Not 1 minus the share of hits: errors of 0 shall be 0 and no rounding's rest.
        return Evaluation(
            top1_error=(examples - int(hits[:, 0].sum())) / examples,
            top5_error=(examples - int(hits.sum())) / examples,
            loss=float(self.losses[self.readable].mean(dtype=np.float64)),
            examples=examples,
            unreadable=len(self.labels) - examples,
            views=self.views,
        )

    def by_class(self, classes: int) -> np.ndarray:
        """Examples and hits of each class.

        Args:
            classes: how many.

        Returns:
            int64 [classes, 3]: readable examples, those guessed first, those guessed among five.
        """
        labels = self.labels[self.readable]
        hits = self.guesses[self.readable] == labels[:, None]
        counts = [
            np.bincount(chosen, minlength=classes)
            for chosen in (labels, labels[hits[:, 0]], labels[hits.any(axis=1)])
        ]
        return np.stack(counts, axis=1)

    def confusions(self) -> list[tuple[int, int, int]]:
        """Pairs of a label and another class that was guessed first, and how often.

        Returns:
            (label, guess, examples), the most frequent first.
        """
        wrong = self.readable & (self.guesses[:, 0] != self.labels)
        pairs = np.stack([self.labels[wrong], self.guesses[wrong, 0]], axis=1)  # [n, 2]
        unique, counts = np.unique(pairs, axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")  # of equal counts the first class's first
        return [(*map(int, unique[i]), int(counts[i])) for i in order]
