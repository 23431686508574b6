"""AlexNet as users of `keras.applications` expect it: a network, its weights, words for classes.

model = alexnet_tf.AlexNet("caffe", weights="bvlc_alexnet.caffemodel")
logits = model.predict(alexnet_tf.preprocess_input(images, "caffe"))
alexnet_tf.decode_predictions(logits, top=5)
"""

from __future__ import annotations

import numbers
import os
from typing import TYPE_CHECKING, Literal

import numpy as np

from alexnet_tf.models.imagenet_classes import imagenet_classes
from alexnet_tf.models.spec import Variant
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError

if TYPE_CHECKING:
    import keras

    from alexnet_tf.weights.arrays import WeightFile

# Mean colour of ImageNet's training set, R, G, B: Caffe's `examples/00-classification.ipynb` takes
# it over the mean image of `data/ilsvrc12` (BGR 104.007, 116.669, 122.679).
IMAGENET_MEAN = (122.679, 116.669, 104.007)


def AlexNet(  # noqa: N802 - a constructor in the eyes of its users, as in keras.applications
    variant: str | Variant = "paper",
    classes: int = 1000,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    *,
    weights_exclude: tuple[str, ...] = (),
    input_shape: tuple[int, int, int] | None = None,
    input_tensor: keras.KerasTensor | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classifier_activation: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Builds AlexNet as a functional Keras model.

    The model returns logits, unless `classifier_activation` is set. It takes images that have been
    normalised as the variant needs it: `preprocess_input` does this. Weights are float32 and images
    channels-last, whatever keras.json says. Of the dtype policies only a mixed one
    (`keras.config.set_dtype_policy("mixed_bfloat16")`) is followed.

    Example:
        >>> model = alexnet_tf.AlexNet(variant="paper", classes=1000)
        >>> model.count_params()
        60965224

    Args:
        variant: a name that `alexnet_tf.variants()` lists, or a `Variant` of your own.
        classes: units of fc8; an integer of Python or NumPy.
        include_top: False ends the model after layer 5, with feature maps [B, 6, 6, 256].
        weights: None for fresh weights; "caffe", "caffenet" or "torchvision" for the official ones,
            which are downloaded once; or a path: a .caffemodel, bvlc_alexnet.npy, .pth,
            .safetensors, .weights.h5, .h5 or .keras file, or the directory of a run
            (alexnet_tf.train). A file with the top also loads without it.
        weights_exclude: layers that begin anew, such as ("fc8",) for other classes.
        input_shape: (height, width, 3); None for the variant's own. Another size gives fc6 another
            number of inputs, so that weights fit only without the top.
        input_tensor: a Keras tensor of normalised images to build the model on.
        pooling: without the top, "avg" or "max" reduces the feature maps to [B, channels].
        classifier_activation: applied to the logits, such as "softmax". Default None: logits.
        name: of the model. Default: alexnet_ and the variant's name.

    Returns:
        A model from [B, S, S, 3] to logits [B, classes]. Its layers are named as in the
        literature: conv1 to conv5, fc6, fc7, fc8.

    Raises:
        UserError: no such variant; the weights cannot be read or do not fit.
        ValueError: another argument is out of range.
    """
    from alexnet_tf.models.build import build_model
    from alexnet_tf.weights.network import assign

    variant = variant if isinstance(variant, Variant) else get_variant(variant)
    if isinstance(classes, bool) or not isinstance(classes, numbers.Integral) or classes < 1:
        raise ValueError(f"`classes` must be a positive integer. Received: classes={classes!r}")
    if pooling not in (None, "avg", "max") or (pooling and include_top):
        raise ValueError(
            f'`pooling` must be None, or "avg" or "max" with include_top=False. Received: {pooling}'
        )
    if isinstance(weights_exclude, str):
        weights_exclude = (weights_exclude,)
    if weights_exclude and weights is None:
        raise ValueError(
            f"`weights_exclude` needs `weights`. Received: weights_exclude={weights_exclude}"
        )
    found = None if weights is None else find_weights(weights)
    model = build_model(
        variant, int(classes), include_top, input_shape, input_tensor, pooling,
        classifier_activation, name,
    )  # fmt: skip
    if found is not None:
        assign(model, variant, found, tuple(weights_exclude))
    return model


def find_weights(weights: str | os.PathLike, checkpoint: str = "best") -> WeightFile:
    """Weights by name or path, as `training.initial_weights.find_weights` describes."""
    from alexnet_tf.training.initial_weights import find_weights

    return find_weights(weights, checkpoint)


def load_model(path: str | os.PathLike) -> keras.Model:
    """Loads a .keras or .h5 model that contains this package's layers.

    Only layers of Keras and of this package are built, and no Python code in the file is run. Only
    load files whose origin you trust all the same: TensorFlow is no sandbox.

    Raises:
        UserError: no such file, damaged, or with layers of other packages.
    """
    import keras

    import alexnet_tf.layers  # noqa: F401 - registers the layers
    from alexnet_tf.weights.arrays import reading
    from alexnet_tf.weights.keras_files import read_config

    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UserError(f"There is no model {path}")
    with reading(path, "Keras model"):
        _check_layers(read_config(path), path)
        return keras.saving.load_model(path, safe_mode=True)


_PACKAGES = ("keras", "alexnet_tf", "builtins")
# Layers of Keras that run code, or open a file that the model names.
_UNSAFE_LAYERS = (
    "Lambda",
    "__lambda__",
    "TFSMLayer",
    "TorchModuleWrapper",
    "JaxLayer",
    "FlaxLayer",
)


def _check_layers(config: object, path: str) -> None:
    """Refuses a configuration that names classes outside Keras and this package.

    Args:
        config: parsed JSON, which is not nested deeply.
        path: of the file, for errors.
    """
    if isinstance(config, dict):
        module, name = (str(config.get(key) or "") for key in ("module", "class_name"))
        if module and module.split(".")[0] not in _PACKAGES:
            raise UserError(f"{path} holds {name} of the package {module}, which is not loaded")
        if name in _UNSAFE_LAYERS:
            raise UserError(f"{path} holds a layer that runs code ({name}), which is not loaded")
    for value in config.values() if isinstance(config, dict) else ():
        _check_layers(value, path)
    for value in config if isinstance(config, list) else ():
        _check_layers(value, path)


def preprocess_input(
    x: np.ndarray,
    variant: str | Variant = "paper",
    mean: np.ndarray | tuple[float, float, float] | None = None,
) -> np.ndarray:
    """Normalises images as a variant needs it: mean, standard deviation, order of channels.

    Example:
        >>> alexnet_tf.preprocess_input(np.zeros((1, 227, 227, 3)), "caffe")[0, 0, 0]
        array([-104.007, -116.669, -122.679], dtype=float32)

    Args:
        x: RGB images [B, H, W, 3] or [H, W, 3], 0 to 255; an array or a tensor.
        variant: a name that `alexnet_tf.variants()` lists, or a `Variant`.
        mean: R, G, B, or an image that broadcasts to x. None: the variant's own colour, or where it
            subtracts its training set's mean image, ImageNet's mean colour.

    Returns:
        float32 of the same shape, of the same kind as x.

    Raises:
        UserError: no such variant.
        ValueError: x has no three channels.
    """
    variant = variant if isinstance(variant, Variant) else get_variant(variant)
    if x.shape[-1] != 3:
        raise ValueError(f"`x` must have 3 channels, RGB. Received: x.shape={tuple(x.shape)}")
    own = variant.preprocessing.mean
    if mean is None:
        mean = own if isinstance(own, tuple) else IMAGENET_MEAN
    mean, std = (np.asarray(v, np.float32) for v in (mean, variant.preprocessing.std))
    if isinstance(x, np.ndarray):
        x = x.astype(np.float32)
    else:
        import keras

        x = keras.ops.cast(x, "float32")
    x = (x - mean) / std
    return x[..., ::-1] if variant.preprocessing.channels == "bgr" else x


def decode_predictions(predictions: np.ndarray, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """The most probable of ImageNet's thousand classes.

    Args:
        predictions: logits or probabilities [B, 1000]. Rows that are not probabilities (negative,
            or a sum other than 1) are taken as logits.
        top: classes a row.

    Returns:
        For each row a list of (synset, words, probability), the most probable first:
        [[("n01440764", "tench", 0.93), ...], ...].

    Raises:
        ValueError: not [B, 1000].
    """
    scores = np.asarray(predictions, np.float64)
    if scores.ndim != 2 or scores.shape[1] != 1000:
        raise ValueError(
            f"`predictions` must have the shape [B, 1000]. Received: {tuple(scores.shape)}"
        )
    names = imagenet_classes()
    decoded = []
    for row in scores:
        if row.min() < 0 or abs(row.sum() - 1) > 1e-2:
            row = np.exp(row - row.max())
            row /= row.sum()
        decoded.append([(*names[i], float(row[i])) for i in np.argsort(-row)[:top]])
    return decoded
