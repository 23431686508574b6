"""What a network attends to: hiding parts of an image, and gradients with respect to its pixels.

Occlusion and the deconvnet: Zeiler and Fergus, Visualizing and Understanding Convolutional
Networks, 2014. Input gradient: Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks,
2014. Guided gradient: Springenberg and others, Striving for Simplicity, 2015.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.plots.units import check_unit
from alexnet_tf.figures.style import SMALL, in_style, new_figure, show_image
from alexnet_tf.figures.text import fit, width_of
from alexnet_tf.layers import NoisyReLU
from alexnet_tf.models.feature_extraction import unit_model

_IMAGES = 3
_COLUMN = 2.2  # inches of an image and its surroundings
_PARTS = 4  # the occluder's side is this part of the crop's
_PLACES = 12  # of the occluder along either side, about
_BATCH = 64


def occlusion_map(model: keras.Model, image: tf.Tensor, label: int) -> np.ndarray:
    """The probability of a class while a square at each place is hidden.

    Args:
        model: to logits.
        image: float32 [C, C, 3], as the model takes it; what is hidden becomes 0, the mean image.
        label: the class.

    Returns:
        float32 [C, C], of each pixel the mean over the squares that hid it.
    """
    side = image.shape[0]
    hidden = max(2, side // _PARTS)
    # From half beyond the near edge to half beyond the far one: edges are hidden as well, though by
    # fewer squares than the middle; a pixel's value is the mean over those that there are.
    starts = np.unique(np.linspace(-hidden // 2, side - hidden // 2, _PLACES).astype(int))
    masks = np.ones((len(starts) ** 2, side, side, 1), np.float32)
    for mask, (top, left) in zip(masks, ((y, x) for y in starts for x in starts), strict=True):
        mask[max(0, top) : top + hidden, max(0, left) : left + hidden] = 0
    found = []
    for start in range(0, len(masks), _BATCH):
        logits = model(image[None] * masks[start : start + _BATCH], training=False)
        found.append(tf.nn.softmax(tf.cast(logits, tf.float32))[:, label].numpy())
    covers = 1 - masks[..., 0]  # [n, C, C]
    return np.einsum("n,nyx->yx", np.concatenate(found), covers) / covers.sum(axis=0)


def input_gradient(
    model: keras.Model, image: tf.Tensor, unit: int, place: tuple[int, ...] = ()
) -> np.ndarray:
    """The gradient of one unit with respect to the pixels.

    Args:
        model: to logits [B, classes], or to a layer's maps [B, H, W, maps].
        image: float32 [C, C, 3], as the model takes it.
        unit: number of the class or the map.
        place: row and column in the map.

    Returns:
        float32 [C, C, 3].
    """
    image = tf.convert_to_tensor(image)[None]
    with tf.GradientTape() as tape:
        tape.watch(image)
        response = model(image, training=False)[(0, *place, unit)]
    return tape.gradient(response, image)[0].numpy()


@keras.saving.register_keras_serializable(package="alexnet_tf")
class GuidedReLU(keras.layers.Layer):
    """A ReLU that passes back only what would make the unit stronger through stronger inputs.

        y = max(0, x),   ∂L/∂x = max(0, ∂L/∂y) where x > 0, else 0

    ImageDataset: Springenberg and others, 2015, §3.4.

    Input and output shape: any.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, ...] to the same."""

        @tf.custom_gradient
        def guided(x: tf.Tensor):
            """The ReLU and its gradient."""
            y = tf.nn.relu(x)
            return y, lambda upstream: tf.where(y > 0, tf.nn.relu(upstream), 0)

        return guided(inputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input's."""
        return input_shape


def guided_model(model: keras.Model) -> keras.Model:
    """The same network with the same weights, its ReLUs guided.

    Other nonlinearities than ReLUs stay as they are, and the gradient is then the plain one.
    """

    def guide(layer: keras.Layer) -> keras.Layer:
        """A layer's stand-in."""
        if isinstance(layer, (keras.layers.ReLU, NoisyReLU)):
            return GuidedReLU(name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    guided = keras.models.clone_model(model, clone_function=guide)
    guided.set_weights(model.get_weights())
    return guided


def is_guided(model: keras.Model) -> bool:
    """Whether `guided_model` found a ReLU."""
    return any(isinstance(layer, GuidedReLU) for layer in model.layers)


def as_colours(gradient: np.ndarray, channels: str = "rgb") -> np.ndarray:
    """A gradient around grey, its 99.5th percentile a full colour: uint8 [C, C, 3], RGB.

    Args:
        gradient: float32 [C, C, 3].
        channels: "rgb" or "bgr", the order of the last axis.
    """
    if channels == "bgr":
        gradient = gradient[..., ::-1]
    scale = max(float(np.quantile(np.abs(gradient), 0.995)), np.finfo(np.float32).tiny)
    return np.round(127.5 + 127.5 * np.clip(gradient / scale, -1, 1)).astype(np.uint8)


@in_style
def draw_attention(
    images: np.ndarray, maps: list[list[np.ndarray]], names: list[list[str]], guided: bool = True
) -> Figure:
    """A row for each image: itself, occlusion, input gradient, guided gradients of class and unit.

    Args:
        images: uint8 [n, C, C, 3], what the network saw.
        maps: of each image, of float32 [C, C] what is left of its probability while each pixel is
            hidden, a share, and the input gradient's strength; and of uint8 [C, C, 3] both guided
            gradients.
        names: of each image its class, the probability, and the unit.
        guided: whether the gradients are guided, or plain.
    """
    figure = new_figure("What the network attends to")
    cells = figure.subplots(len(images), 5, squeeze=False)
    kind = "guided gradient" if guided else "gradient"
    titles = ("image", "occlusion: share of\nits probability left", "input gradient:\nstrength",
              f"{kind}\nof the class", f"{kind}\nof a unit")  # fmt: skip
    for axes, title in zip(cells[0], titles, strict=True):
        axes.set_title(title)
    # A square may hide what speaks for another class: then more than the whole is left.
    most = max(1, *(float(hidden.max()) for hidden, *_ in maps))
    for row, image, (hidden, strength, of_class, of_unit), (name, score, unit) in zip(
        cells, images, maps, names, strict=True
    ):
        show_image(row[0], image)
        label = fit(name, _COLUMN - width_of(score))
        row[0].set_xlabel(f"{label}{score}", fontsize=SMALL)
        show_image(row[1], hidden, vmin=0, vmax=most)
        show_image(row[2], strength)
        show_image(row[3], of_class)
        show_image(row[4], of_unit)
        row[4].set_xlabel(unit, fontsize=SMALL)
    bar = figure.colorbar(cells[0, 1].images[0], ax=cells[:, 1], shrink=0.6, location="right")
    bar.locator = MaxNLocator(4, steps=[1, 2, 5, 10])
    bar.update_ticks()
    return figure


def picture(subject: FigureContext) -> Picture:
    """Of three images, each for the class that the network finds most probable."""
    own = [] if subject.photo is None else [subject.square]
    chosen = subject.shown[: _IMAGES - len(own)]
    squares = np.stack([*own, *subject.squares(chosen)])
    index = ["photo"] * len(own) + [int(i) for i in subject.survey.index[chosen]]
    channels = subject.variant.preprocessing.channels
    guided = guided_model(subject.model)
    units = unit_model(guided, subject.layer)
    maps, names, rows = [], [], []
    for i, image in enumerate(subject.inputs(squares)):
        logits = tf.cast(subject.model(image[None], training=False)[0], tf.float32)
        label = int(tf.argmax(logits))
        score = float(tf.nn.softmax(logits)[label])
        *place, unit = _choose_unit(subject, units(image[None])[0].numpy(), i)
        hidden = occlusion_map(subject.model, image, label) / score
        maps.append(
            [
                hidden,
                np.abs(input_gradient(subject.model, image, label)).max(axis=-1),
                as_colours(input_gradient(guided, image, label), channels),
                as_colours(input_gradient(units, image, unit, tuple(place)), channels),
            ]
        )
        name = subject.classes[label]
        names.append([name, f", {score:.0%}", f"{subject.layer}, unit {unit}"])
        rows.append(
            {
                "image": index[i],
                "class": name,
                "probability": score,
                "lowest share left, occluded": float(hidden.min()),
                "unit": unit,
            }
        )
    views = subject.classifier.preprocessor.crops(tf.constant(squares), 1)[:, 0].numpy()
    kind = (
        "Guided gradients: only what excites, through every layer," if is_guided(guided) else
        "Right: the plain gradients, for it takes ReLUs to guide them,"
    )  # fmt: skip
    which_unit = "that was asked for" if subject.units else "that responds most"
    return Picture(
        "attention",
        "What the network attends to",
        f"For the class that the network finds most probable. Occlusion: what is left of its "
        f"probability while a square of a quarter of the side hides each place (dark: what it "
        f"cannot do without; above 1: it is surer without). Input gradient: the largest of the "
        f"three colours' derivatives. {kind} of the class and of a unit of {subject.layer} "
        f"{which_unit}, where in the image it does so most.",
        draw_attention(views, maps, names, is_guided(guided)),
        {"images": rows},
    )


def _choose_unit(subject: FigureContext, response: np.ndarray, turn: int) -> tuple[int, ...]:
    """A unit of a layer's response to an image, [H, W, maps] or [units], and before it its place.

    Of the units that were asked for it is the one whose turn it is, else the strongest.
    """
    if subject.units:
        unit = subject.units[turn % len(subject.units)]
        check_unit(subject.layer, unit, response.shape[-1])
        of_unit = response[..., unit]
        return *map(int, np.unravel_index(of_unit.argmax(), of_unit.shape)), unit
    return tuple(map(int, np.unravel_index(response.argmax(), response.shape)))
