"""Images in the space of fc7: nearest neighbours (paper §6.1, figure 4, right) and a map.

The map is written for TensorBoard's Embedding Projector as well.
"""

from __future__ import annotations

import functools
import os
import pathlib

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.plugins import projector

from alexnet_tf.figures import style
from alexnet_tf.figures.context import THUMBNAIL, Activations, FigureContext
from alexnet_tf.figures.registry import RenderedFigure, figure
from alexnet_tf.figures.search import Neighbors, precision
from alexnet_tf.figures.text import fit, text_width
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import write_atomically
from alexnet_tf.system.paths import tensorflow_path

NEAREST = 5  # neighbours that count for the precision
_QUERIES, _SHOWN = 5, 6  # the paper's figure has five rows of a query and six neighbours
POINTS = 1000  # in the projector; TensorBoard's page is slow with more
_MAX_SPRITE = 8192  # pixels: the largest side of a sprite sheet for TensorBoard
_THUMBNAILS = 250  # on the map
_THUMBNAIL_WIDTH = 0.045  # of the map


def draw_neighbors(
    queries: np.ndarray, neighbors: np.ndarray, names: list[str], neighbor_names: list[list[str]],
    same: list[list[bool | None]],
) -> Figure:  # fmt: skip
    """Draws a row for each query, uint8 [Q, S, S, 3], and its neighbours, uint8 [Q, n, S, S, 3].

    `same` is whether a neighbour has its query's class; None if unknown.
    """
    drawing = style.new_figure("Images that excite the same neurons (fc7)")
    columns = neighbors.shape[1]
    cells = drawing.subplots(
        len(queries), columns + 2, width_ratios=(1, 0.25, *[1] * columns), squeeze=False
    )
    room = style.SLIDE[0] / (columns + 1.25) - 0.25  # inches; the columns' padding is 0.2
    for row, query, near, name, its_names, its_same in zip(
        cells, queries, neighbors, names, neighbor_names, same, strict=True
    ):
        style.show_image(row[0], query)
        label = fit(name, room, style.SMALL, "bold") if name else ""
        row[0].set_xlabel(label, fontsize=style.SMALL, weight="bold", labelpad=3)
        row[1].axis("off")
        for axes, image, its_name, hit in zip(row[2:], near, its_names, its_same, strict=True):
            _draw_neighbor(axes, image, its_name, hit, room)
    cells[0, 0].set_title("query")
    cells[0, 2].set_title("nearest")
    if columns > 3:
        cells[0, -1].set_title(f"{columns}th nearest")
    return drawing


def _draw_neighbor(axes: Axes, image: np.ndarray, name: str, hit: bool | None, room: float) -> None:
    """Draws an image with its class; frame and mark show whether it is the query's class."""
    style.show_image(axes, image)
    if hit is not None:
        style.frame(axes, style.BLUE if hit else style.ORANGE, 3, "-" if hit else "--")
    sign = {True: "✓ ", False: "✗ ", None: ""}[hit]
    label = sign + fit(name, room - text_width(sign)) if name else ""
    axes.set_xlabel(label, fontsize=style.SMALL, labelpad=3)


@figure("neighbours", needs="images", order=110)
def render_neighbors(context: FigureContext) -> RenderedFigure:
    """Five queries, the photograph first if there is one, and the precision of all neighbours.

    Raises:
        UserError: there are no other images.
    """
    activations = context.activations
    labels, number = activations.labels, min(_SHOWN, len(activations.index) - 1)
    if number < 1:
        raise UserError(f"Expected two images or more. Received: {len(activations.index)}")
    index, photo = Neighbors(activations.features), context.photo is not None
    queries = context.sample[: _QUERIES - photo]
    distances, rows = index.search_others(queries, number)
    images, names = context.images(queries), context.true_names(queries)
    same: list[list[bool | None]] = [[None] * number] * (photo + len(queries))
    if labels is not None:
        same[photo:] = (labels[rows] == labels[queries][:, None]).tolist()
    if photo:
        nearest = index.search(context.features(context.photo_image[None]), number)
        distances, rows = map(np.concatenate, zip(nearest, (distances, rows), strict=True))
        images = np.concatenate([context.photo_image[None], images])
        names = ["your photo", *names]
    near = context.images(rows.ravel()).reshape(*rows.shape, *images.shape[1:])
    precisions, sentence = _precisions(activations)
    own = (
        " The first query is your photograph; its class is unknown, so its neighbours are not "
        "marked." if photo else ""
    )  # fmt: skip
    return RenderedFigure(
        "Images that excite the same neurons",
        f"Each row: a query on the left, and the images nearest to it among "
        f"{len(activations.index):,}. Near means a small Euclidean distance between the "
        f"{activations.features.shape[1]:,} activations of the last hidden layer, fc7 (paper "
        f"§6.1).{own} {sentence}",
        draw_neighbors(images, near, names, [context.true_names(row) for row in rows], same),
        {
            "images": len(activations.index),
            **precisions,
            "distances": [[float(value) for value in row] for row in distances],
        },
        functools.partial(_save_index, activations),
    )


def _precisions(activations: Activations) -> tuple[dict[str, float], str]:
    """The share of neighbours with the query's class, as numbers and as a sentence."""
    labels, nearest = activations.labels, min(NEAREST, len(activations.index) - 1)
    if labels is None:
        return {}, "The images' classes are not known."
    by_features = precision(activations.features, labels, nearest)
    by_pixels = precision(activations.pixels, labels, nearest)
    chance = float(((np.bincount(labels)[labels] - 1) / (len(labels) - 1)).mean())
    return (
        {
            f"precision@{nearest}, fc7": by_features,
            f"precision@{nearest}, pixels": by_pixels,
            f"precision@{nearest}, chance": chance,
        },
        f"A solid blue frame and ✓ mark the query's class, a dashed orange frame and ✗ another "
        f"class. Over all images as queries, {by_features:.1%} of the {nearest} nearest have the "
        f"query's class. For distances between pixels (at 32 × 32) it is {by_pixels:.1%}, and by "
        f"chance it would be {chance:.1%}.",
    )


def _save_index(activations: Activations, folder: pathlib.Path) -> None:
    """Writes the features and their index, for programs of your own."""
    known = {} if activations.labels is None else {"labels": activations.labels}
    (folder / "neighbours").mkdir(exist_ok=True)
    index = Neighbors(activations.features)
    index.save(folder / "neighbours", index=activations.index, **known)


def write_projector(context: FigureContext, folder: pathlib.Path, points: int = POINTS) -> None:
    """Writes a log directory for `tensorboard --logdir=FOLDER`, page "Projector".

    The folder can be moved: TensorBoard finds the features by the file `checkpoint` in it.

    Args:
        context: the model and its images.
        folder: created if necessary.
        points: at most, evenly spaced.
    """
    activations = context.activations
    rows = _spaced(len(activations.index), min(points, (_MAX_SPRITE // THUMBNAIL) ** 2))
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_symlink():  # TensorFlow would write to where it leads
            path.unlink()
    features = tf.train.Checkpoint(fc7=tf.Variable(activations.features[rows]))
    with tensorflow_path(folder) as path:
        features.save(os.path.join(path, "features"))
    known = context.label_names is not None
    table = [[*["class"] * known, "first guess", "image"]]
    for row, name in zip(rows, context.true_names(rows), strict=True):
        prediction = context.class_names[activations.predictions[row, 0]]
        table.append([*[name] * known, prediction, str(activations.index[row])])
    # TensorBoard does not parse quotation marks; names contain neither tabs nor line breaks.
    text = "".join("\t".join(line) + "\n" for line in table)
    with write_atomically(folder / "metadata.tsv") as file:
        file.write(text.encode(errors="backslashreplace"))
    with write_atomically(folder / "sprite.png") as file:
        sprite_sheet(activations.thumbnails[rows]).save(file, "PNG")
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add(
        tensor_name="fc7/.ATTRIBUTES/VARIABLE_VALUE", metadata_path="metadata.tsv"
    )
    embedding.sprite.image_path = "sprite.png"
    embedding.sprite.single_image_dim.extend([THUMBNAIL] * 2)
    with tensorflow_path(folder) as path:
        projector.visualize_embeddings(path, config)


def _spaced(number: int, most: int) -> np.ndarray:
    """`most` rows of `number`, or all, evenly spaced, int64."""
    return np.linspace(0, number - 1, min(number, most)).astype(int)


def sprite_sheet(thumbnails: np.ndarray) -> Image.Image:
    """Thumbnails, uint8 [N, 48, 48, 3], in rows on a square sheet, as TensorBoard expects them."""
    columns = int(np.ceil(np.sqrt(len(thumbnails))))
    sheet = Image.new("RGB", (columns * THUMBNAIL, columns * THUMBNAIL), "white")
    for i, thumbnail in enumerate(thumbnails):
        corner = i % columns * THUMBNAIL, i // columns * THUMBNAIL
        sheet.paste(Image.fromarray(thumbnail), corner)
    return sheet


def principal_components(features: np.ndarray) -> tuple[np.ndarray, float]:
    """Features [N, F] in the two directions of largest variance, [N, 2], and their share of it."""
    vectors, lengths, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    share = (lengths[:2] ** 2).sum() / max((lengths**2).sum(), np.finfo(np.float32).tiny)
    positions = np.zeros((len(features), 2))
    positions[:, : len(lengths[:2])] = (vectors * lengths)[:, :2]  # one image has one direction
    return positions, float(share)


def draw_map(positions: np.ndarray, thumbnails: np.ndarray) -> Figure:
    """Draws thumbnails, uint8 [N, 48, 48, 3], at positions [N, 2], across and up."""
    drawing = style.new_figure("Images by their activations in the last hidden layer (fc7)")
    axes = drawing.subplots()
    axes.set_axis_off()
    low, high = positions.min(axis=0), positions.max(axis=0)
    across, up = ((positions - low) / np.maximum(high - low, np.finfo(np.float32).tiny)).T
    half, shape = _THUMBNAIL_WIDTH / 2, 2  # the map is about twice as wide as it is high
    for x, y, thumbnail in zip(across, up, thumbnails, strict=True):
        extent = x - half, x + half, y - shape * half, y + shape * half
        axes.imshow(thumbnail, extent=extent, aspect="auto")
    axes.set_xlim(-half, 1 + half)
    axes.set_ylim(-shape * half, 1 + shape * half)
    return drawing


@figure("projector", needs="images", order=160)
def render_projector(context: FigureContext) -> RenderedFigure:
    """The map, and the folder for TensorBoard."""
    activations = context.activations
    rows = _spaced(len(activations.index), _THUMBNAILS)
    positions, share = principal_components(activations.features[rows])
    points = len(_spaced(len(activations.index), POINTS))
    return RenderedFigure(
        "Images in the space of fc7",
        f"{len(rows)} images, placed by their activations in fc7: images close together look alike "
        f"to the network. The two axes are the directions in which the activations vary most; they "
        f"hold {share:.0%} of the variance in {activations.features.shape[1]:,} directions. The "
        f"folder `projector` has all directions of {points:,} images for TensorBoard: `tensorboard "
        f"--logdir=projector`.",
        draw_map(positions, activations.thumbnails[rows]),
        {"images": len(rows), "share of variance": share, "points in the projector": points},
        lambda folder: write_projector(context, folder / "projector"),
    )
