"""A picture of a training batch before and after augmentation."""

from __future__ import annotations

import io

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw

from alexnet_tf.data.augmentations import find_window
from alexnet_tf.data.dataset import NO_LABEL, Split, make_split
from alexnet_tf.data.decode import convert, decode, decode_square
from alexnet_tf.data.pipeline import training_dataset
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.visualize import grid

_GAP = 8  # pixels between pictures
_TEXT = 16  # pixels of height for a line of text
_FRAME = (230, 120, 0)  # orange, which the colour-blind can tell from most backgrounds


def contact_sheet(
    examples: list[tuple[bytes, int]],
    classes: tuple[str, ...],
    preprocessor: Preprocessor,
    seed: int = 0,
) -> bytes:
    """Draws square images with the crop framed, above the network's input.

    The lower row comes from the real pipeline and the real preprocessing; only the mean is added
    and the scale undone, as negative colours cannot be shown.

    Args:
        examples: encoded images that decode, and their labels.
        classes: names in label order.
        preprocessor: of the variant and the training set.
        seed: of the augmentation.

    Returns:
        A PNG.
    """
    preprocessing = preprocessor.preprocessing
    split = make_split([image for image, _ in examples], [label for _, label in examples])
    batch = next(iter(training_dataset(split, preprocessing, len(examples), seed)))
    inputs = visible_inputs(preprocessor, batch)
    size, crop = preprocessing.image_size, preprocessing.crop_size
    width = _GAP + len(examples) * (size + _GAP)
    sheet = Image.new("RGB", (width, 4 * _GAP + 2 * _TEXT + size + crop), "white")
    draw = ImageDraw.Draw(sheet)
    for column, index in enumerate(batch["index"].numpy()):
        left, top = _GAP + column * (size + _GAP), _GAP + _TEXT
        encoded, label = examples[index]
        square = decode_square(tf.constant(encoded), preprocessing).numpy()
        draw.text((left, _GAP // 2), classes[label], "black")
        sheet.paste(Image.fromarray(square), (left, top))
        if find_window(preprocessing.augmentations) is None:
            y, x = batch["offset"][column].numpy()
            corners = [left + x, top + y, left + x + crop - 1, top + y + crop - 1]
            draw.rectangle(corners, outline=_FRAME, width=max(1, size // 128))
        top += size + _GAP
        flipped = ", flipped" if batch["flip"][column] else ""
        draw.text((left, top), f"as trained on{flipped}", "black")
        sheet.paste(Image.fromarray(inputs[column]), (left + (size - crop) // 2, top + _TEXT))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def first_batch(
    batches: tf.data.Dataset, preprocessor: Preprocessor, shown: int = 24
) -> np.ndarray:
    """Draws the first training batch as the network gets it.

    Args:
        batches: of `pipeline.training_dataset`.
        preprocessor: of the variant and the training set.
        shown: images to show at most.

    Returns:
        uint8 [H, W, 3].
    """
    batch = {name: values[:shown] for name, values in next(iter(batches)).items()}
    return grid(visible_inputs(preprocessor, batch))


def sample(split: Split, number: int, seed: int = 0) -> list[tuple[bytes, int]]:
    """Some readable examples of a split, encoded, with their labels; fewer if there are no more.

    Examples without a label are passed over.

    Args:
        split: the examples.
        number: how many; four times as many are tried one after the other.
        seed: of the choice.
    """
    stride = max(1, split.examples // (4 * number))
    records = split.in_order().shard(stride, seed % stride)
    found = []
    for record in records.shuffle(4 * number, seed=seed).batch(1):
        images, labels = split.parse(record)
        if labels[0] == NO_LABEL:
            continue
        try:
            encoded = split.load(images[0])
        except tf.errors.OpError:
            continue
        if not _is_readable(encoded):
            encoded = convert(encoded)
            if not _is_readable(encoded):
                continue
        found.append((encoded.numpy(), int(labels[0])))
        if len(found) == number:
            break
    return found


def _is_readable(encoded: tf.Tensor) -> bool:
    try:
        decode(encoded, smallest=1)
    except tf.errors.OpError:
        return False
    return True


def visible_inputs(preprocessor: Preprocessor, batch: dict[str, tf.Tensor]) -> np.ndarray:
    """The network's input for a training batch, as pictures.

    Args:
        preprocessor: of the variant and the training set.
        batch: of `pipeline.training_dataset`.

    Returns:
        uint8 [B, C, C, 3], the mean added and the scale undone.
    """
    preprocessing = preprocessor.preprocessing
    inputs = preprocessor.training(batch).numpy()
    inputs = inputs[..., ::-1] if preprocessing.channels == "bgr" else inputs
    if isinstance(preprocessing.mean, tuple):
        mean = np.array(preprocessing.mean)
    else:
        mean = preprocessor.statistics.mean.mean(axis=(0, 1))
    return np.clip(np.round(inputs * np.array(preprocessing.std) + mean), 0, 255).astype(np.uint8)
