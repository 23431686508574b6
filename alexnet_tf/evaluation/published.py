"""What the sources published for a variant, to be set beside one's own result."""

from __future__ import annotations

import dataclasses

import numpy as np

from alexnet_tf.data.dataset import is_synset


@dataclasses.dataclass(frozen=True)
class Published:
    """An error on ImageNet.

    Attributes:
        top1_error, top5_error: fractions.
        images: which.
        views: averaged for each image.
        models: whose probabilities are averaged.
        source: where it stands.
    """

    top1_error: float
    top5_error: float
    images: str
    views: int
    models: int
    source: str

    def is_like(self, views: int, models: int) -> bool:
        """Whether a result of so many views and models may be set beside it."""
        return (self.views, self.models) == (views, models)

    def __str__(self) -> str:
        views = "centre crop" if self.views == 1 else f"{self.views} views"
        models = f"{self.models} models, " if self.models > 1 else ""
        return (
            f"{self.top1_error:.1%} and {self.top5_error:.1%} ({self.images}, {models}{views}; "
            f"{self.source})"
        )


_2010, _2012 = "ILSVRC-2010 test", "ILSVRC-2012 validation"
_PAPER = (
    Published(0.407, 0.182, _2012, 10, 1, "paper, table 2"),
    Published(0.381, 0.164, _2012, 10, 5, "paper, table 2"),
    Published(0.367, 0.154, _2012, 10, 7, "paper, table 2; two of them trained on more images"),
    Published(0.375, 0.170, _2010, 10, 1, "paper, table 1"),
)
_PUBLISHED = {
    "paper": _PAPER,
    "slides": _PAPER[3:],
    "code2012": (
        Published(0.4066, 0.1821, _2012, 10, 1, "original code, run 145"),
        Published(0.3747, 0.1700, _2010, 10, 1, "original code, run 145-2010"),
        Published(0.3902, 0.1830, _2010, 1, 1, "original code, run 145-2010"),
    ),
    "caffe": (Published(0.429, 0.198, _2012, 1, 1, "Caffe, models/bvlc_alexnet"),),
    "caffenet": (Published(0.426, 0.196, _2012, 1, 1, "Caffe, models/bvlc_reference_caffenet"),),
    "one_weird_trick": (Published(0.43478, 0.20934, _2012, 1, 1, "torchvision, alexnet"),),
}


def published(variant: str, classes: tuple[str, ...], images: np.ndarray) -> tuple[Published, ...]:
    """What was published for a variant on data with these classes.

    Args:
        variant: its name.
        classes: names in label order; all figures are for ImageNet's thousand synsets.
        images: of each class; the figures are for images of all.
    """
    if len(classes) != 1000 or not all(map(is_synset, classes)) or not all(images):
        return ()
    return _PUBLISHED.get(variant, ())
