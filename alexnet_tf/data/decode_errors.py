"""Which images of a split could not be used, and why: not decoded, or without a label."""

from __future__ import annotations

import collections
import threading

import numpy as np
import tensorflow as tf

from alexnet_tf.data.dataset import NO_LABEL, Split
from alexnet_tf.data.image_checks import examine, read_file
from alexnet_tf.system.errors import UserError

NAMED = 3  # examples in a message
UNLABELLED = "without a label"  # a reason; also of a label that is no class


class DecodeErrors:
    """Records each image that did not decode; the consumer of the batches calls `check`.

    Args:
        split: the images.
        limit: the share of them that may be unreadable.

    Attributes:
        reasons: index → name and reason of each recorded image.
    """

    def __init__(self, split: Split, limit: float = 1.0):
        self.split, self.limit = split, limit
        self.reasons: dict[int, tuple[str, str]] = {}
        self._lock = threading.Lock()  # the pipeline records from several threads

    def __len__(self) -> int:
        return len(self.reasons)

    @property
    def undecodable(self) -> int:
        """How many of them could not be decoded; the others have no label."""
        with self._lock:
            return sum(reason != UNLABELLED for _, reason in self.reasons.values())

    def record(self, indices: np.ndarray, images: np.ndarray, labels: np.ndarray) -> None:
        """Records images.

        Args:
            indices: int64 [N], their places in the split.
            images: `Split.parse`'s, [N] objects.
            labels: `Split.parse`'s, int64 [N].
        """
        for index, image, label in zip(
            indices.tolist(), images.tolist(), labels.tolist(), strict=True
        ):
            if index not in self.reasons:  # in another epoch
                reason = UNLABELLED if label == NO_LABEL else self._reason(image)
                entry = self.split.example_name(index, image), reason
                with self._lock:
                    self.reasons[index] = entry

    def record_in_graph(
        self, readable: tf.Tensor, index: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
    ) -> tf.Operation | tf.Tensor:
        """Records the unreadable images of a batch, when the returned operation runs.

        Args:
            readable: bool [B].
            index: int64 [B].
            images: `Split.parse`'s, string [B].
            labels: `Split.parse`'s, int64 [B].
        """

        def record(indices: np.ndarray, images: np.ndarray, labels: np.ndarray) -> np.int64:
            """Records images; returns how many there are by now."""
            self.record(indices, images, labels)
            return np.int64(len(self))

        def record_missing() -> tf.Tensor:
            """Calls `record` with the unreadable rows of the batch."""
            missing = ~readable
            rows = [values[missing] for values in (index, images, labels)]
            return tf.numpy_function(record, rows, tf.int64)

        return tf.cond(tf.reduce_all(readable), lambda: tf.constant(0, tf.int64), record_missing)

    def check(self) -> None:
        """Checks that not too many images are unreadable.

        Raises:
            UserError: too many are; says how many, why, and which are the first.
        """
        if len(self) > self.limit * self.split.examples:
            raise UserError(
                f"Too many images cannot be used: at most {self.limit:.2%} of the "
                f"{self.split.examples:,} {self.split.name} images may be unreadable or without a "
                f"label. Found {self}. Repair or remove them, or raise --max_unreadable"
            )

    def __str__(self) -> str:
        with self._lock:
            entries = sorted(self.reasons.items())
        reasons = collections.Counter(reason for _, (_, reason) in entries).most_common()
        why = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
        names = ", ".join(name for _, (name, _) in entries[:NAMED])
        word = "unusable" if UNLABELLED in dict(reasons) else "unreadable"
        return f"{len(entries):,} {word} ({why}): {names}{', ...' * (len(entries) > NAMED)}"

    def _reason(self, image: bytes) -> str:
        if self.split.files:
            try:
                image = read_file(image.decode())
            except OSError as error:
                return error.strerror or "cannot be read"
        return examine(image).reason or "not decodable by TensorFlow"
