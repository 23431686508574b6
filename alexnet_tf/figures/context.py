"""The input of all figures: a model, images, and the model's activations for them.

Arrays of images are uint8 [n, S, S, 3], RGB, before the crop. A "row" is the index of an image in
`Activations`, which has only the images that were run through the model.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.dataset import Split, make_split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.pipeline import PADDING, decode_squares, evaluation_dataset
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.evaluation.classifier import TOP, Classifier
from alexnet_tf.figures.text import clean
from alexnet_tf.models.feature_extraction import feature_model, layer_names, unit_model, variant_of
from alexnet_tf.models.spec import Variant
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress

SAMPLE = 8  # images in figures that show several
THUMBNAIL = 48  # pixels, the side of a thumbnail
_MAX_UNITS = 6  # rows of a figure
_BATCH = 64  # images
_PIXELS = 32  # the side at which images are compared pixel by pixel


@dataclasses.dataclass(frozen=True)
class FigureDataset:
    """The images of the figures.

    Attributes:
        split: the images.
        label_names: names of their labels, which need not be the model's classes; None if the
            labels mean nothing.
    """

    split: Split
    label_names: tuple[str, ...] | None


@dataclasses.dataclass(frozen=True)
class FigureContext:
    """A model and its images. Values that several figures need are computed on first use.

    Attributes:
        classifier: the model with its preprocessing and its classes.
        variant: the row that the model was built from.
        open_dataset: called when a figure first needs images.
        max_images: the most images to run through the model, evenly spaced over the split.
        layer: the layer of the units to show, e.g. "conv5".
        units: numbers of the units to show; if empty, the units that differ most between classes.
        photo: an encoded image for figures that show one image; None: an image of the dataset.
        run_dirs: model directories, for their training curves.
        training_statistics: whether mean image and principal components come from a training set.
        image_memory: bytes; if the images take more, they are not kept but read again.

    Raises:
        UserError: no such layer or unit, too many units, or one twice.
    """

    classifier: Classifier
    variant: Variant
    open_dataset: Callable[[], FigureDataset]
    max_images: int = 2000
    layer: str = "conv5"
    units: tuple[int, ...] = ()
    photo: bytes | None = None
    run_dirs: tuple[pathlib.Path, ...] = ()
    training_statistics: bool = True
    image_memory: int = 400_000_000  # 2,000 images of 256 pixels
    _read_again: dict[int, np.ndarray] = dataclasses.field(
        init=False, default_factory=dict, repr=False
    )

    def __post_init__(self):
        if self.layer not in (names := layer_names(self.model)):
            raise UserError(f"Expected a layer among {', '.join(names)}. Received: {self.layer}")
        if len(self.units) > _MAX_UNITS or len(set(self.units)) < len(self.units):
            raise UserError(
                f"Expected {_MAX_UNITS} units at most, each once. Received: --units="
                f"{','.join(map(str, self.units))}"
            )
        units = self.model.get_layer(self.layer).output.shape[-1]
        if beyond := [unit for unit in self.units if not 0 <= unit < units]:
            raise UserError(
                f"Expected units of {self.layer}, 0 to {units - 1}. Received: --units={beyond[0]}"
            )

    @classmethod
    def from_model(
        cls,
        model: keras.Model,
        photos: Sequence[bytes] = (),
        labels: Sequence[int] | np.ndarray | None = None,
        classes: Sequence[str] | None = None,
        variant: Variant | None = None,
        **options,
    ) -> FigureContext:
        """A context for a model in a notebook, trained or not, and some photographs.

        Without a training set the mean image is mid-grey, unless the variant has constants of its
        own, and the principal components are R, G and B, each with the variance of uniform noise.

        Example:
            >>> FigureContext.from_model(alexnet_tf.AlexNet("tiny", classes=10), [photo_a, photo_b])

        Args:
            model: of `alexnet_tf.AlexNet`.
            photos: encoded images; with none, only figures that need no images can be drawn.
            labels: the class of each photo; None if unknown.
            classes: names of the model's classes in label order; None for "class 0" and so on.
            variant: the row that the model was built from, if it is not one of the package's.
            options: further attributes of `FigureContext`.

        Raises:
            UserError: arguments that do not fit together.
        """
        variant, number = variant_of(model, variant), model.output_shape[-1]
        classes = tuple(f"class {i}" for i in range(number)) if classes is None else tuple(classes)
        if len(classes) != number:
            raise UserError(f"Expected names of {number} classes. Received: {len(classes)}")
        known = labels is not None
        labels = np.asarray(labels if known else [0] * len(photos), None if known else int)
        if labels.shape != (len(photos),) or labels.dtype.kind not in "iu":
            raise UserError(
                f"Expected a whole number for each of {len(photos)} photos as labels. Received: "
                f"{labels.dtype} {list(labels.shape)}"
            )
        if outside := [label for label in labels.tolist() if not 0 <= label < number]:
            raise UserError(f"Expected labels from 0 to {number - 1}. Received: {outside[0]}")

        def open_photos() -> FigureDataset:
            """The photographs as a split."""
            if not len(photos):
                raise UserError("This figure needs images, and there are none")
            split = make_split(list(photos), labels.tolist(), "photos")
            return FigureDataset(split, classes if known else None)

        side = variant.preprocessing.image_size
        mean = np.full((side, side, 3), 127.5, np.float32)  # the middle of 0 to 255
        variances = np.full(3, 1 / 12, np.float32)  # of uniform noise in 0 to 1
        statistics = Statistics(mean, variances, np.eye(3, dtype=np.float32))
        classifier = Classifier(model, Preprocessor(variant.preprocessing, statistics), classes)
        return cls(classifier, variant, open_photos, training_statistics=False, **options)

    @property
    def model(self) -> keras.Model:
        """From normalised images to logits."""
        return self.classifier.model

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the model's classes in label order, cleaned so that they can be drawn."""
        return tuple(map(clean, self.classifier.classes))

    @functools.cached_property
    def dataset(self) -> FigureDataset:
        """The images."""
        return self.open_dataset()

    @functools.cached_property
    def label_names(self) -> tuple[str, ...] | None:
        """Names of the dataset's labels, cleaned as `class_names`; None without labels."""
        names = self.dataset.label_names
        return None if names is None else tuple(map(clean, names))

    @property
    def labels_are_classes(self) -> bool:
        """Whether the labels are the model's classes, so that a prediction can be right."""
        return self.dataset.label_names == self.classifier.classes

    @functools.cached_property
    def activations(self) -> Activations:
        """The model's activations for the dataset's images."""
        found = record_activations(
            self.classifier, self.dataset.split, self.layer, self.max_images, self.image_memory
        )
        return dataclasses.replace(found, labels=None) if self.label_names is None else found

    def true_names(self, rows: np.ndarray) -> list[str]:
        """Names of the true classes of images, int64 [n]; "" where they are unknown."""
        labels = self.activations.labels
        return [""] * len(rows) if labels is None else [self.label_names[i] for i in labels[rows]]

    def images(self, rows: np.ndarray) -> np.ndarray:
        """Images by their rows, int64 [n], as uint8 [n, S, S, 3]."""
        if self.activations.images is not None:
            return self.activations.images[rows]
        index = [int(i) for i in self.activations.index[rows]]
        if missing := set(index) - set(self._read_again):
            found = read_images(self.classifier, self.dataset.split, sorted(missing))
            self._read_again.update(found)
        return np.stack([self._read_again[i] for i in index])

    def inputs(self, images: np.ndarray) -> tf.Tensor:
        """The centre views of images as the network takes them, float32 [n, C, C, 3]."""
        return self.classifier.preprocessor.views(tf.constant(images), 1)[:, 0]

    def features(self, images: np.ndarray) -> np.ndarray:
        """Activations of fc7 for images, float32 [n, F]."""
        return feature_model(self.model)(self.inputs(images), training=False).numpy()

    @functools.cached_property
    def sample(self) -> np.ndarray:
        """Rows of eight images, of as many classes as possible, evenly spaced: int64 [n]."""
        labels = self.activations.labels
        if labels is None:
            number = len(self.activations.index)
            return np.linspace(0, number - 1, min(SAMPLE, number)).astype(int)
        by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        rounds = max(map(len, by_class))
        in_turn = [rows[i] for i in range(rounds) for rows in by_class if i < len(rows)]
        first = in_turn[: max(SAMPLE, min(len(by_class), len(in_turn)))]
        return np.array(first)[np.linspace(0, len(first) - 1, min(SAMPLE, len(first))).astype(int)]

    @functools.cached_property
    def photo_image(self) -> np.ndarray:
        """The decoded image for figures of one image, uint8 [S, S, 3].

        Raises:
            UserError: `photo` is not an image.
        """
        if self.photo is None:
            return self.images(self.sample[:1])[0]
        images, valid = self.classifier.decode(tf.constant([self.photo]))
        if not valid[0]:
            raise UserError(
                "Expected the photo to be a JPEG, PNG, GIF or BMP. Received: another file, or one "
                "that is damaged or too large"
            )
        return images[0].numpy()

    @functools.cached_property
    def pool1_inputs(self) -> tuple[np.ndarray, str]:
        """The inputs of the first pooling layer for `photo_image`.

        Returns:
            float32 [H, W, maps], and the name of the layer that computes them.

        Raises:
            UserError: there is no pooling after the first layer.
        """
        pool = next((layer for layer in self.model.layers if layer.name == "pool1"), None)
        if pool is None:
            raise UserError(
                f"Expected a network that pools after conv1. Received: {self.variant.name}"
            )
        layer = next(layer for layer in self.model.layers if layer.output is pool.input)
        maps = keras.Model(self.model.inputs, pool.input)(self.inputs(self.photo_image[None]))
        return maps[0].numpy(), layer.name


@dataclasses.dataclass(frozen=True)
class Activations:
    """The outputs of a model for the centre views of N readable images, in the dataset's order.

    Attributes:
        index: int64 [N], the images' positions in the split.
        labels: int64 [N], the true classes; None if unknown.
        predictions: int64 [N, k], the k most probable classes, the most probable first.
        probabilities: float32 [N, k], their probabilities.
        features: float32 [N, F], of the last hidden layer, fc7.
        pixels: uint8 [N, 3072], the images at 32 × 32.
        thumbnails: uint8 [N, 48, 48, 3].
        peaks: float32 [N, units], the largest response of each unit, or map, of `layer`.
        peak_positions: int64 [N, units, 2], row and column of that response in the map; None for a
            fully connected layer.
        images: uint8 [N, S, S, 3], before the crop; None if they take too much memory.
        layer: e.g. "conv5".
        unreadable: number of images that could not be decoded; the N do not include them.
    """

    index: np.ndarray
    labels: np.ndarray | None
    predictions: np.ndarray
    probabilities: np.ndarray
    features: np.ndarray
    pixels: np.ndarray
    thumbnails: np.ndarray
    peaks: np.ndarray
    peak_positions: np.ndarray | None
    images: np.ndarray | None
    layer: str
    unreadable: int


def record_activations(
    classifier: Classifier, split: Split, layer: str, max_images: int, image_memory: int
) -> Activations:
    """Runs a model over a split, or over evenly spaced images of it.

    Args:
        classifier: the model.
        split: the images.
        layer: the layer to record, e.g. "conv5".
        max_images: the most images to run.
        image_memory: bytes; the images are kept if they take no more.

    Raises:
        UserError: no such layer, or no image could be decoded.
    """
    stride = max(1, -(-split.examples // max_images))
    number = -(-split.examples // stride)
    preprocessing = classifier.preprocessor.preprocessing
    keep = number * preprocessing.image_size**2 * 3 <= image_memory
    step = tf.function(_recording_step(classifier, layer))
    errors = DecodeErrors(split, limit=1.0)
    batches: list[dict[str, np.ndarray]] = []
    with Progress("recording", number, "images") as progress:
        for batch in evaluation_dataset(split, preprocessing, _BATCH, errors, stride=stride):
            readable = batch["weight"].numpy() > 0
            found = {"index": batch["index"], "labels": batch["label"], **step(batch["image"])}
            if keep:
                found["images"] = batch["image"]
            batches.append({name: values.numpy()[readable] for name, values in found.items()})
            progress.advance(int((batch["index"].numpy() != PADDING).sum()))
    if not any(len(batch["index"]) for batch in batches):
        raise UserError(f"No image of {split.name} could be used: {errors}")
    columns = {"peak_positions": None, "images": None}
    columns |= {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return Activations(**columns, layer=layer, unreadable=len(errors))


def _recording_step(
    classifier: Classifier, layer: str
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:  # fmt: skip
    """Returns a function from images, uint8 [B, S, S, 3], to columns of `Activations`."""
    model = classifier.model
    outputs = [model.output, feature_model(model).output, unit_model(model, layer).output]
    all_outputs = keras.Model(model.inputs, outputs)

    def step(images: tf.Tensor) -> dict[str, tf.Tensor]:
        """A batch of images."""
        inputs = classifier.preprocessor.views(images, 1)[:, 0]
        logits, features, maps = all_outputs(inputs, training=False)
        logs = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        top, predictions = tf.math.top_k(logs, min(TOP, logs.shape[-1]))
        return {
            "predictions": tf.cast(predictions, tf.int64),
            "probabilities": tf.exp(top),
            "features": features,
            "pixels": tf.reshape(_shrink(images, _PIXELS), [-1, _PIXELS**2 * 3]),
            "thumbnails": _shrink(images, THUMBNAIL),
            **_peaks(maps),
        }

    return step


def _shrink(images: tf.Tensor, side: int) -> tf.Tensor:
    """uint8 [B, S, S, 3] to uint8 [B, side, side, 3]."""
    return tf.cast(tf.round(tf.image.resize(images, [side] * 2, "area")), tf.uint8)


def _peaks(maps: tf.Tensor) -> dict[str, tf.Tensor]:
    """Each map's largest response, [B, units], and its row and column, [B, units, 2]."""
    if maps.shape.rank == 2:
        return {"peaks": maps}
    height, width, units = maps.shape[1:]
    flat = tf.reshape(maps, [-1, height * width, units])
    index = tf.argmax(flat, axis=1)  # [B, units]
    positions = tf.stack([index // width, index % width], axis=-1)
    return {"peaks": tf.reduce_max(flat, axis=1), "peak_positions": positions}


def read_images(
    classifier: Classifier, split: Split, index: Sequence[int]
) -> dict[int, np.ndarray]:  # fmt: skip
    """Reads the images at some positions of a split.

    Args:
        classifier: its preprocessing resizes the images to uint8 [S, S, 3].
        split: the images.
        index: positions of images that can be decoded, each once.
    """
    preprocessing = classifier.preprocessor.preprocessing

    def decode(records: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """A batch of one record to its position and its image."""
        images, _ = split.parse(records)
        squares, _ = decode_squares(split, images, preprocessing)
        return records["index"][0], squares[0]

    records = split.in_order().filter(lambda r: tf.reduce_any(r["index"] == np.array(index)))
    records = records.take(len(index)).batch(1)
    found = records.map(decode, tf.data.AUTOTUNE).as_numpy_iterator()
    return {int(position): image for position, image in found}
