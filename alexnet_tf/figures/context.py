"""What the pictures are drawn of: a model, the images it is shown, and the runs behind it."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.dataset import Split
from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.figures.activations import Activations, fetch_squares, record_activations
from alexnet_tf.figures.text import clean
from alexnet_tf.models.feature_extraction import feature_model, layer_names
from alexnet_tf.models.spec import Variant
from alexnet_tf.system.errors import UserError

SHOWN = 8  # images in pictures of several
_UNITS = 6  # rows of a picture


@dataclasses.dataclass(frozen=True)
class Images:
    """What a model is shown.

    Attributes:
        split: the images.
        classes: what their labels stand for, which need not be the model's classes; None where
            they have none.
    """

    split: Split
    classes: tuple[str, ...] | None


@dataclasses.dataclass(frozen=True)
class FigureContext:
    """A model with its images.

    Attributes:
        classifier: the model with its preprocessing and its classes.
        variant: the row that it was built from.
        open_images: called when a picture first needs images.
        images: of these at most, evenly spaced.
        layer: whose units are looked at one by one, e.g. "conv5".
        units: which of them; empty for those that differ most between classes.
        photo: an encoded image for the pictures that show one; None for one of the images.
        runs: model directories whose curves are drawn.
        measured: whether mean image and principal components are those of a training set.

    Raises:
        UserError: no such layer or unit, too many units or one twice.
    """

    classifier: Classifier
    variant: Variant
    open_images: Callable[[], Images]
    images: int = 2000
    layer: str = "conv5"
    units: tuple[int, ...] = ()
    photo: bytes | None = None
    runs: tuple[pathlib.Path, ...] = ()
    measured: bool = True
    _fetched: dict[int, np.ndarray] = dataclasses.field(
        init=False, default_factory=dict, repr=False
    )

    def __post_init__(self):
        if self.layer not in (names := layer_names(self.model)):
            raise UserError(f"Expected a layer among {', '.join(names)}. Received: {self.layer}")
        if len(self.units) > _UNITS or len(set(self.units)) < len(self.units):
            raise UserError(
                f"Expected {_UNITS} units at most, each once. Received: --units="
                f"{','.join(map(str, self.units))}"
            )
        units = self.model.get_layer(self.layer).output.shape[-1]
        if beyond := [unit for unit in self.units if unit >= units]:
            raise UserError(
                f"Expected units of {self.layer}, 0 to {units - 1}. Received: --units={beyond[0]}"
            )

    @property
    def model(self) -> keras.Model:
        """From normalised images to logits."""
        return self.classifier.model

    @functools.cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of what the model guesses, in label order, that can be drawn and written."""
        return tuple(map(clean, self.classifier.classes))

    @functools.cached_property
    def given(self) -> Images:
        """The images, opened when they are first asked for."""
        return self.open_images()

    @functools.cached_property
    def truths(self) -> tuple[str, ...] | None:
        """Names of what the images' labels stand for, as `classes`; None without labels."""
        return None if self.given.classes is None else tuple(map(clean, self.given.classes))

    @property
    def comparable(self) -> bool:
        """Whether labels and guesses are of the same classes, so that a guess can be right."""
        return self.given.classes == self.classifier.classes

    @functools.cached_property
    def survey(self) -> Activations:
        """What the model makes of the images; computed when it is first asked for."""
        labelled = self.given.classes is not None
        return record_activations(
            self.classifier, self.given.split, self.layer, self.images, labelled
        )

    def names(self, which: np.ndarray) -> list[str]:
        """Of the true classes of images of the survey; empty where they are not known."""
        labels = self.survey.labels
        return [""] * len(which) if labels is None else [self.truths[i] for i in labels[which]]

    def squares(self, which: np.ndarray) -> np.ndarray:
        """Images of the survey, uint8 [n, S, S, 3].

        Args:
            which: int64 [n], their places in the survey.
        """
        if self.survey.squares is not None:
            return self.survey.squares[which]
        index = self.survey.index[which]
        if missing := {int(i) for i in index} - set(self._fetched):
            found = fetch_squares(self.classifier, self.given.split, np.array(sorted(missing)))
            self._fetched.update(found)
        return np.stack([self._fetched[int(i)] for i in index])

    def inputs(self, squares: np.ndarray) -> tf.Tensor:
        """Their centre views as the network takes them, float32 [n, C, C, 3]."""
        return self.classifier.preprocessor.views(tf.constant(squares), 1)[:, 0]

    def features(self, squares: np.ndarray) -> np.ndarray:
        """Their fc7, as the survey has it, float32 [n, F]."""
        return feature_model(self.model)(self.inputs(squares), training=False).numpy()

    @functools.cached_property
    def shown(self) -> np.ndarray:
        """Places in the survey of eight images of as many classes as there are, evenly spaced."""
        labels = self.survey.labels
        if labels is None:
            number = len(self.survey.index)
            return np.linspace(0, number - 1, min(SHOWN, number)).astype(int)
        of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        turns = max(map(len, of_class))
        dealt = [places[turn] for turn in range(turns) for places in of_class if turn < len(places)]
        first = dealt[: max(SHOWN, min(len(of_class), len(dealt)))]
        return np.array(first)[np.linspace(0, len(first) - 1, min(SHOWN, len(first))).astype(int)]

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

        Raises:
            UserError: nothing is pooled after the first layer.
        """
        pool = next((each for each in self.model.layers if each.name == "pool1"), None)
        if pool is None:
            raise UserError(
                f"Expected a network that pools after conv1. Received: {self.variant.name}"
            )
        layer = next(each for each in self.model.layers if each.output is pool.input)
        maps = keras.Model(self.model.inputs, pool.input)(self.inputs(self.square[None]))
        return maps[0].numpy(), layer.name
