"""Attention: hiding parts of an image, and gradients with respect to its pixels.

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
from alexnet_tf.figures.registry import RenderedFigure, figure
from alexnet_tf.figures.style import SMALL, new_figure, show_image
from alexnet_tf.figures.text import fit, text_width
from alexnet_tf.layers import NoisyReLU
from alexnet_tf.models.feature_extraction import unit_model

_IMAGES = 3
_COLUMN = 2.2  # inches, an image and its surroundings
_PARTS = 4  # the crop's side divided by the occluder's
_PLACES = 12  # of the occluder along either side, about
_BATCH = 64
_NOTICEABLE = 0.05  # smaller changes of a share count as none


def occlusion_map(model: keras.Model, image: tf.Tensor, label: int) -> np.ndarray:
    """The probability of a class while a square hides each part of an image in turn.

    Args:
        model: to logits.
        image: float32 [C, C, 3], as the model takes it; hidden pixels become 0, the mean image.
        label: the class.

    Returns:
        float32 [C, C], for each pixel the mean probability over all squares that hide it, 0 to 1.
    """
    side = image.shape[0]
    hidden = max(2, side // _PARTS)
    # The squares begin half outside the image, so that pixels at the edge are hidden as well.
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
    """The gradient of one unit with respect to the pixels, float32 [C, C, 3].

    Args:
        model: to logits [B, classes], or to a layer's maps [B, H, W, maps].
        image: float32 [C, C, 3], as the model takes it.
        unit: number of the class or the map.
        place: row and column in the map; empty for a class.
    """
    image = tf.convert_to_tensor(image)[None]
    with tf.GradientTape() as tape:
        tape.watch(image)
        response = model(image, training=False)[(0, *place, unit)]
    return tape.gradient(response, image)[0].numpy()


@keras.saving.register_keras_serializable(package="alexnet_tf")
class GuidedReLU(keras.layers.Layer):
    """A ReLU that passes back only positive gradients, to positive inputs.

        y = max(0, x),   ∂L/∂x = max(0, ∂L/∂y) where x > 0, else 0

    Source: Springenberg and others, 2015, §3.4.

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
    """The same network with the same weights and a `GuidedReLU` in place of each ReLU.

    Other nonlinearities stay as they are; a network without ReLUs has the plain gradient.
    """

    def guide(layer: keras.Layer) -> keras.Layer:
        """Returns the replacement of a layer."""
        if isinstance(layer, (keras.layers.ReLU, NoisyReLU)):
            return GuidedReLU(name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    guided = keras.models.clone_model(model, clone_function=guide)
    guided.set_weights(model.get_weights())
    return guided


def is_guided(model: keras.Model) -> bool:
    """Whether `guided_model` replaced a ReLU."""
    return any(isinstance(layer, GuidedReLU) for layer in model.layers)


def as_colours(gradient: np.ndarray, channels: str = "rgb") -> np.ndarray:
    """A gradient, [C, C, 3], as colours, uint8, RGB: 0 is grey, the 99.5th percentile full colour.

    `channels` is the order of the gradient's last axis, "rgb" or "bgr".
    """
    if channels == "bgr":
        gradient = gradient[..., ::-1]
    scale = max(float(np.quantile(np.abs(gradient), 0.995)), np.finfo(np.float32).tiny)
    return np.round(127.5 + 127.5 * np.clip(gradient / scale, -1, 1)).astype(np.uint8)


def is_flat(share: np.ndarray) -> bool:
    """Whether the prediction stays the same wherever the square is.

    Args:
        share: float32 [C, C], the share of the probability that is left.
    """
    return bool(np.abs(share - 1).max() < _NOTICEABLE)


def draw_attention(
    images: np.ndarray, maps: list[list[np.ndarray]], names: list[list[str]], guided: bool = True
) -> Figure:
    """Draws a row for each image: image, occlusion, input gradient, gradients of class and unit.

    Args:
        images: uint8 [n, C, C, 3], the network's view.
        maps: for each image four maps: float32 [C, C], the share of its probability that is left
            while each pixel is hidden; float32 [C, C], the strength of the input gradient; and
            uint8 [C, C, 3], the guided gradients of the class and of the unit.
        names: for each image its class, the probability, and the unit.
        guided: whether the gradients are guided, or plain.
    """
    drawing = new_figure("What the network attends to")
    cells = drawing.subplots(len(images), 5, squeeze=False)
    kind = "guided gradient" if guided else "gradient"
    titles = ("image", "occlusion: share of\nits probability left", "input gradient:\nstrength",
              f"{kind}\nof the class", f"{kind}\nof a unit")  # fmt: skip
    for axes, title in zip(cells[0], titles, strict=True):
        axes.set_title(title)
    # A region may support another class; hiding it raises the probability above its full value.
    most = max(float(share.max()) for share, *_ in maps)
    most = most if most > 1 + _NOTICEABLE else 1
    for row, image, (share, strength, of_class, of_unit), (name, probability, unit) in zip(
        cells, images, maps, names, strict=True
    ):
        for axes, shown in zip(row, (image, share, strength, of_class, of_unit), strict=True):
            show_image(axes, shown, **({"vmin": 0, "vmax": most} if shown is share else {}))
        label = fit(name, _COLUMN - text_width(probability))
        row[0].set_xlabel(f"{label}{probability}", fontsize=SMALL)
        row[1].set_xlabel("no change" if is_flat(share) else "", fontsize=SMALL)
        row[4].set_xlabel(unit, fontsize=SMALL)
    bar = drawing.colorbar(cells[0, 1].images[0], ax=cells[:, 1], shrink=0.6, location="right")
    bar.locator = MaxNLocator(4, steps=[1, 2, 5, 10])
    bar.update_ticks()
    return drawing


@figure("attention", needs="images", order=130)
def render_attention(context: FigureContext) -> RenderedFigure:
    """Three images, each for its most probable class."""
    photo = [] if context.photo is None else [context.photo_image]
    sample = context.sample[: _IMAGES - len(photo)]
    images = np.stack([*photo, *context.images(sample)])
    index = ["photo"] * len(photo) + [int(i) for i in context.activations.index[sample]]
    channels = context.variant.preprocessing.channels
    guided = guided_model(context.model)
    units = unit_model(guided, context.layer)
    maps, names, rows = [], [], []
    for i, image in enumerate(context.inputs(images)):
        logits = tf.cast(context.model(image[None], training=False)[0], tf.float32)
        label = int(tf.argmax(logits))
        probability = float(tf.nn.softmax(logits)[label])
        *place, unit = _choose_unit(context, units(image[None])[0].numpy(), i)
        share = occlusion_map(context.model, image, label) / probability
        maps.append([
            share,
            np.abs(input_gradient(context.model, image, label)).max(axis=-1),
            as_colours(input_gradient(guided, image, label), channels),
            as_colours(input_gradient(units, image, unit, tuple(place)), channels),
        ])  # fmt: skip
        name = context.class_names[label]
        names.append([name, f", {probability:.0%}", f"{context.layer}, unit {unit}"])
        rows.append({
            "image": index[i],
            "class": name,
            "probability": probability,
            "lowest share left, occluded": float(share.min()),
            "unit": unit,
        })  # fmt: skip
    views = context.classifier.preprocessor.crops(tf.constant(images), 1)[:, 0].numpy()
    caption = _caption(context, is_guided(guided), any(is_flat(share) for share, *_ in maps))
    drawing = draw_attention(views, maps, names, is_guided(guided))
    return RenderedFigure("What the network attends to", caption, drawing, {"images": rows})


def _caption(context: FigureContext, guided: bool, flat: bool) -> str:
    kind = (
        "Guided gradients, which keep only excitation through every layer," if guided else
        "The plain gradients (guided ones need ReLUs)"
    )  # fmt: skip
    unchanged = (
        ' "No change": the prediction stays the same wherever the square is.' if flat else ""
    )
    unit = "chosen by you" if context.units else "with the strongest response"
    return (
        f"Each row: an image and its most probable class. Occlusion: a grey square, a quarter of "
        f"the side wide, hides each place in turn; the colour shows the share of the class's "
        f"probability that is left. The network needs the dark places; where the share is above 1, "
        f"it is more certain without the place.{unchanged} Input gradient: how strongly each pixel "
        f"changes the class's logit (the largest of the three colours). {kind} of the class and of "
        f"a unit of {context.layer} {unit}, at the place in the image where it responds most."
    )


def _choose_unit(context: FigureContext, response: np.ndarray, turn: int) -> tuple[int, ...]:
    """Chooses a unit of a layer; returns its row and column, if the layer has maps, and its number.

    The units of the context take turns. Without them, it is the unit with the largest response.

    Args:
        context: with the units.
        response: [H, W, maps] or [units].
        turn: number of the image.
    """
    if context.units:
        unit = context.units[turn % len(context.units)]
        of_unit = response[..., unit]
        return *map(int, np.unravel_index(of_unit.argmax(), of_unit.shape)), unit
    return tuple(map(int, np.unravel_index(response.argmax(), response.shape)))
