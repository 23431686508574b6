"""Errors that the sources published for a variant, to compare one's own result with."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from alexnet_tf.data.dataset import is_synset

ILSVRC_2010_TEST, ILSVRC_2012_VALIDATION = "ILSVRC-2010 test", "ILSVRC-2012 validation"


@dataclasses.dataclass(frozen=True)
class Published:
    """An error on ImageNet.

    Attributes:
        top1_error: a fraction.
        top5_error: a fraction.
        images: `ILSVRC_2010_TEST` or `ILSVRC_2012_VALIDATION`.
        views: views of each image that were averaged.
        models: models whose probabilities were averaged.
        source: where it was published.
    """

    top1_error: float
    top5_error: float
    images: str
    views: int
    models: int
    source: str

    def differences(self, images: str | None, views: int, models: int) -> list[str]:
        """What keeps a result from being comparable: "images", "views", "models".

        Args:
            images: of the result, as `identify_images` names them.
            views: of each image.
            models: that were averaged.
        """
        own = {"images": self.images, "views": self.views, "models": self.models}
        theirs = {"images": images, "views": views, "models": models}
        return [name for name in own if own[name] != theirs[name]]

    def __str__(self) -> str:
        views = "centre crop" if self.views == 1 else f"{self.views} views"
        models = f"{self.models} models, " if self.models > 1 else ""
        return (
            f"{self.top1_error:.1%} and {self.top5_error:.1%} ({self.images}, {models}{views}; "
            f"{self.source})"
        )


_2010, _2012 = ILSVRC_2010_TEST, ILSVRC_2012_VALIDATION
_TEN_VIEWS_2010 = Published(0.375, 0.170, _2010, 10, 1, "paper, table 1")
_PUBLISHED = {
    "paper": (
        Published(0.407, 0.182, _2012, 10, 1, "paper, table 2"),
        Published(0.381, 0.164, _2012, 10, 5, "paper, table 2"),
        Published(0.367, 0.154, _2012, 10, 7, "paper, table 2; two of them trained on more images"),
        _TEN_VIEWS_2010,
        Published(0.390, 0.183, _2010, 1, 1, "paper, footnote 5"),
    ),
    "slides": (_TEN_VIEWS_2010,),
    "code2012": (
        # Inferred, because these are the paper's 40.7 and 18.2 % with more digits.
        Published(
            0.4066, 0.1821, _2012, 10, 1,
            "original code, run 145; validation, ten views: inferred",
        ),
        Published(0.3747, 0.1700, _2010, 10, 1, "original code, run 145-2010"),
        Published(0.3902, 0.1830, _2010, 1, 1, "original code, run 145-2010"),
    ),
    "code2012_6conv": (
        Published(
            0.3899, 0.1662, _2012, 10, 1,
            "original code, run 146, pretrained on the 2011 release; validation",
        ),
    ),
    "caffe": (
        Published(0.429, 0.198, _2012, 1, 1, "Caffe, models/bvlc_alexnet, iteration 360,000"),
    ),
    "caffenet": (
        Published(
            0.426, 0.196, _2012, 1, 1, "Caffe, models/bvlc_reference_caffenet, iteration 310,000"
        ),
    ),
    "one_weird_trick": (Published(0.43478, 0.20934, _2012, 1, 1, "torchvision, alexnet"),),
}  # fmt: skip

# Of the 1,000 synsets of ILSVRC-2012, sorted, each followed by a line feed. Those of 2010 differ.
_SYNSETS_2012 = "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15"


def identify_images(classes: tuple[str, ...], counts: np.ndarray) -> str | None:
    """Which of ImageNet's sets a split is: ILSVRC-2012 validation, ILSVRC-2010 test, or None.

    The first has 50 images of each synset of 2012. The second has 150 of each synset, and its
    synsets are not those of 2012.

    Args:
        classes: names in label order.
        counts: images of each class, int [classes].
    """
    if not _is_imagenet(classes):
        return None
    lines = "".join(f"{synset}\n" for synset in sorted(classes))
    if hashlib.sha256(lines.encode()).hexdigest() == _SYNSETS_2012:
        return ILSVRC_2012_VALIDATION if np.all(counts == 50) else None
    return ILSVRC_2010_TEST if np.all(counts == 150) else None


def published(variant: str, classes: tuple[str, ...], counts: np.ndarray) -> tuple[Published, ...]:
    """The errors published for a variant, if a split has images of all of ImageNet's classes.

    Args:
        variant: its name.
        classes: names in label order.
        counts: images of each class, int [classes].
    """
    if not _is_imagenet(classes) or not np.all(counts):
        return ()
    return _PUBLISHED.get(variant, ())


def _is_imagenet(classes: tuple[str, ...]) -> bool:
    return len(classes) == 1000 and all(map(is_synset, classes))
