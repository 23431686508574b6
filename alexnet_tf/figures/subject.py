"""What the pictures are drawn of: a model, the images it is shown, and the runs behind it."""

from __future__ import annotations

import dataclasses
import functools
import pathlib

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.classifier import Classifier
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.split import Split, make_split
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.errors import UserError
from alexnet_tf.figures.survey import Survey, fetch_squares, take_survey
from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import get_variant


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model with its images.

    Attributes:
        classifier: the model with its preprocessing and its classes.
        variant: the row that it was built from.
        split: images to show it.
        images: of these at most, evenly spaced.
        layer: whose units are looked at one by one, e.g. "conv5".
        units: which of them; empty for those that differ most between classes.
        photo: an encoded image for the pictures that show one; None for one of `split`.
        runs: model directories whose curves are drawn.
    """

    classifier: Classifier
    variant: Variant
    split: Split
    images: int = 2000
    layer: str = "conv5"
    units: tuple[int, ...] = ()
    photo: bytes | None = None
    runs: tuple[pathlib.Path, ...] = ()

    @property
    def model(self) -> keras.Model:
        """From normalised images to logits."""
        return self.classifier.model

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in label order."""
        return self.classifier.classes

    @functools.cached_property
    def survey(self) -> Survey:
        """What the model makes of the images; computed when it is first asked for."""
        return take_survey(self.classifier, self.split, self.layer, self.images)

    def squares(self, which: np.ndarray) -> np.ndarray:
        """Images of the survey, uint8 [n, S, S, 3].

        Args:
            which: int64 [n], their places in the survey.
        """
        return fetch_squares(self.classifier, self.split, self.survey.index[which])

    def inputs(self, squares: np.ndarray) -> tf.Tensor:
        """Their centre views as the network takes them, float32 [n, C, C, 3]."""
        return self.classifier.preprocessor.views(tf.constant(squares), 1)[:, 0]

    @functools.cached_property
    def shown(self) -> np.ndarray:
        """Places in the survey of eight images of as many classes as there are, evenly spaced."""
        labels = self.survey.labels
        of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        turns = max(map(len, of_class))
        dealt = [places[turn] for turn in range(turns) for places in of_class if turn < len(places)]
        first = dealt[: max(8, min(len(of_class), len(dealt)))]
        return np.array(first)[np.linspace(0, len(first) - 1, min(8, len(first))).astype(int)]

    @functools.cached_property
    def square(self) -> np.ndarray:
        """The photograph that pictures of one image show, uint8 [S, S, 3].

        Raises:
            UserError: `photo` is no image.
        """
        if self.photo is None:
            return self.squares(self.shown[:1])[0]
        squares, valid = self.classifier.decode(tf.constant([self.photo]))
        if not valid[0]:
            raise UserError(
                "Expected a JPEG, PNG, GIF or BMP photograph. Received: none, or damaged"
            )
        return squares[0].numpy()

    @functools.cached_property
    def conv1(self) -> tuple[np.ndarray, str]:
        """Feature maps that the first pooling gets of the photograph, and what they are.

        Returns:
            float32 [H, W, maps], and the name of the layer that they come from.
        """
        tensor = self.model.get_layer("pool1").input
        layer = next(each for each in self.model.layers if each.output is tensor)
        maps = keras.Model(self.model.inputs, tensor)(self.inputs(self.square[None]))
        return maps[0].numpy(), layer.name


def subject_of(
    model: keras.Model,
    photos: list[bytes],
    labels: list[int] | None = None,
    classes: tuple[str, ...] | None = None,
    **others,
) -> Subject:
    """A model built in a notebook, trained or not, with images to show it.

    Example:
        >>> subject = subject_of(alexnet_tf.AlexNet("tiny", classes=10), [photo_a, photo_b])

    Args:
        model: of `alexnet_tf.AlexNet`, of a variant that has a name.
        photos: encoded images.
        labels: the class of each; None where they have none, and all count as class 0.
        classes: names in label order; None for "class 0" and so on.
        others: attributes of `Subject`.

    Returns:
        A subject whose mean image is mid-grey, unless the variant has constants of its own, and
        whose principal components are those of grey noise.
    """
    variant = get_variant(model.name.removeprefix("alexnet_"))
    side, number = variant.preprocessing.image_size, model.output_shape[-1]
    mean = np.full((side, side, 3), 127.5, np.float32)
    statistics = Statistics(mean, np.full(3, 1 / 12, np.float32), np.eye(3, dtype=np.float32))
    classes = classes or tuple(f"class {i}" for i in range(number))
    classifier = Classifier(model, Preprocessor(variant.preprocessing, statistics), classes)
    split = make_split(photos, labels or [0] * len(photos), "photos")
    return Subject(classifier, variant, split, **others)
