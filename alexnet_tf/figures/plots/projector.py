"""fc7 as a map, and for TensorBoard's Embedding Projector with a small picture for each point."""

from __future__ import annotations

import functools
import pathlib

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.plugins import projector

from alexnet_tf.figures.activations import THUMBNAIL
from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import in_style, new_figure

POINTS = 1000  # more make TensorBoard's page slow
_LARGEST = 8192  # pixels: the side of a sprite sheet that TensorBoard takes
_SHOWN = 250  # small pictures on the map
_PART = 0.045  # of the map's width: a small picture


def write_projector(subject: FigureContext, folder: pathlib.Path, points: int = POINTS) -> int:
    """Writes a log directory: `tensorboard --logdir=FOLDER`, then the page "Projector".

    It can be moved: TensorBoard finds the features by the file `checkpoint` beside them.

    Args:
        subject: whose survey's features are shown.
        folder: to write; made if need be.
        points: at most, evenly spaced.

    Returns:
        How many points there are.
    """
    survey = subject.survey
    which = _spaced(len(survey.index), min(points, (_LARGEST // THUMBNAIL) ** 2))
    folder.mkdir(parents=True, exist_ok=True)
    tf.train.Checkpoint(fc7=tf.Variable(survey.features[which])).save(str(folder / "features"))
    known = subject.truths is not None
    rows = [[*["class"] * known, "first guess", "image"]]
    for place, name in zip(which, subject.names(which), strict=True):
        guess = subject.classes[survey.guesses[place, 0]]
        rows.append([*[name] * known, guess, str(survey.index[place])])
    # TensorBoard knows no quotation marks; there are neither tabs nor line breaks in names.
    text = "".join("\t".join(row) + "\n" for row in rows)
    (folder / "metadata.tsv").write_text(text, encoding="utf-8")
    sprite_sheet(survey.thumbnails[which]).save(folder / "sprite.png")
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add(
        tensor_name="fc7/.ATTRIBUTES/VARIABLE_VALUE", metadata_path="metadata.tsv"
    )
    embedding.sprite.image_path = "sprite.png"
    embedding.sprite.single_image_dim.extend([THUMBNAIL] * 2)
    projector.visualize_embeddings(str(folder), config)
    return len(which)


def _spaced(number: int, most: int) -> np.ndarray:
    """`most` places of `number`, or all, int64."""
    return np.linspace(0, number - 1, min(number, most)).astype(int)


def sprite_sheet(thumbnails: np.ndarray) -> Image.Image:
    """Small pictures in rows from the left and from the top, as many rows as columns.

    Args:
        thumbnails: uint8 [N, 48, 48, 3].
    """
    columns = int(np.ceil(np.sqrt(len(thumbnails))))
    sheet = Image.new("RGB", (columns * THUMBNAIL, columns * THUMBNAIL), "white")
    for i, thumbnail in enumerate(thumbnails):
        corner = i % columns * THUMBNAIL, i // columns * THUMBNAIL
        sheet.paste(Image.fromarray(thumbnail), corner)
    return sheet


def principal(features: np.ndarray) -> tuple[np.ndarray, float]:
    """Features [N, F] in the two directions in which they vary most.

    Returns:
        float [N, 2], and the share of all variance that lies in these directions.
    """
    vectors, lengths, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    share = (lengths[:2] ** 2).sum() / max((lengths**2).sum(), np.finfo(np.float32).tiny)
    places = np.zeros((len(features), 2))
    places[:, : len(lengths[:2])] = (vectors * lengths)[:, :2]  # there may be one image only
    return places, float(share)


@in_style
def draw_map(places: np.ndarray, thumbnails: np.ndarray) -> Figure:
    """Small pictures where their features put them.

    Args:
        places: float [N, 2], across and up.
        thumbnails: uint8 [N, 48, 48, 3].
    """
    figure = new_figure("Images by what the last hidden layer makes of them (fc7)")
    axes = figure.subplots()
    axes.set_axis_off()
    low, high = places.min(axis=0), places.max(axis=0)
    across, up = ((places - low) / np.maximum(high - low, np.finfo(np.float32).tiny)).T
    half, shape = _PART / 2, 2  # a slide is about twice as wide as the rest of it is high
    for x, y, thumbnail in zip(across, up, thumbnails, strict=True):
        extent = x - half, x + half, y - shape * half, y + shape * half
        axes.imshow(thumbnail, extent=extent, aspect="auto")
    axes.set_xlim(-half, 1 + half)
    axes.set_ylim(-shape * half, 1 + shape * half)
    return figure


def picture(subject: FigureContext) -> Picture:
    """The map, and beside it the folder for TensorBoard."""
    survey = subject.survey
    which = _spaced(len(survey.index), _SHOWN)
    places, share = principal(survey.features[which])
    points = len(_spaced(len(survey.index), POINTS))
    return Picture(
        "projector",
        "Images in the space of fc7",
        f"{len(which)} images where the two directions put them in which their fc7 varies most; "
        f"{share:.0%} of all variance lies in these two of {survey.features.shape[1]:,}. All "
        f"directions, and {points:,} images, are in `projector`: `tensorboard --logdir=projector`.",
        draw_map(places, survey.thumbnails[which]),
        {"images": len(which), "share of variance": share, "points in the projector": points},
        functools.partial(_write_beside, subject),
    )


def _write_beside(subject: FigureContext, folder: pathlib.Path) -> None:
    write_projector(subject, folder / "projector")
