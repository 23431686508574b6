"""Which images of a split could not be decoded, and why."""

from __future__ import annotations

import collections
import threading

import numpy as np

from alexnet_tf.data.dataset import Split
from alexnet_tf.data.image_checks import examine, read_file
from alexnet_tf.system.errors import UserError

NAMED = 3  # examples in a message


class DecodeErrors:
    """Told by the pipeline of each image that did not decode; asked by whoever consumes batches.

    Args:
        split: whose images.
        limit: the share of them that may be unreadable.

    Attributes:
        reasons: index → title and reason, of those that it knows of.
    """

    def __init__(self, split: Split, limit: float = 1.0):
        self.split, self.limit = split, limit
        self.reasons: dict[int, tuple[str, str]] = {}
        self._lock = threading.Lock()  # the pipeline tells it from several threads

    def __len__(self) -> int:
        return len(self.reasons)

    def tell(self, indices: np.ndarray, images: np.ndarray) -> None:
        """Takes note of images.

        Args:
            indices: int64 [N], their places in the split.
            images: `Split.parse`'s, [N] objects.
        """
        for index, image in zip(indices.tolist(), images.tolist(), strict=True):
            if index not in self.reasons:  # in another epoch
                entry = self.split.title(index, image), self._reason(image)
                with self._lock:
                    self.reasons[index] = entry

    def check(self) -> None:
        """Sees whether there are too many.

        Raises:
            UserError: there are; says how many, why, and which are the first.
        """
        if len(self) > self.limit * self.split.examples:
            raise UserError(
                f"Expected at most {self.limit:.2%} of the {self.split.examples:,} "
                f"{self.split.name} images to be unreadable. Received: {self}; mend or remove "
                "them, or raise --max_unreadable"
            )

    def __str__(self) -> str:
        with self._lock:
            entries = sorted(self.reasons.items())
        reasons = collections.Counter(reason for _, (_, reason) in entries).most_common()
        why = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
        names = ", ".join(title for _, (title, _) in entries[:NAMED])
        return f"{len(entries):,} unreadable ({why}): {names}{', ...' * (len(entries) > NAMED)}"

    def _reason(self, image: bytes) -> str:
        if self.split.files:
            try:
                image = read_file(image.decode())
            except OSError as error:
                return error.strerror or "cannot be read"
        return examine(image).reason or "not decodable by TensorFlow"
