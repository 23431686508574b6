"""fc7 for TensorBoard's Embedding Projector, with a small picture for each point."""

from __future__ import annotations

import csv
import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.plugins import projector

from alexnet_tf.figures.subject import Subject

POINTS = 1000  # more make the page slow
_SIDE = 48  # pixels of a small picture
_LARGEST = 8192  # pixels: the side of a sprite sheet that TensorBoard takes


def write_projector(subject: Subject, folder: pathlib.Path, points: int = POINTS) -> int:
    """Writes a log directory: `tensorboard --logdir=FOLDER`, then the page "Projector".

    Args:
        subject: whose survey's features are shown.
        folder: to write; made if need be.
        points: at most, evenly spaced.

    Returns:
        How many points there are.
    """
    survey = subject.survey
    points = min(points, len(survey.labels), (_LARGEST // _SIDE) ** 2)
    which = np.linspace(0, len(survey.labels) - 1, points).astype(int)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = tf.train.Checkpoint(fc7=tf.Variable(survey.features[which]))
    checkpoint.write(str(folder / "features"))
    with open(folder / "metadata.tsv", "w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["class", "first guess", "image"])
        for place in which:
            label, guess = survey.labels[place], survey.guesses[place, 0]
            names = (" ".join(subject.classes[i].split()) for i in (label, guess))
            writer.writerow([*names, survey.index[place]])
    sprite_sheet(subject.squares(which)).save(folder / "sprite.png")
    config = projector.ProjectorConfig(model_checkpoint_path=str((folder / "features").resolve()))
    embedding = config.embeddings.add(
        tensor_name="fc7/.ATTRIBUTES/VARIABLE_VALUE", metadata_path="metadata.tsv"
    )
    embedding.sprite.image_path = "sprite.png"
    embedding.sprite.single_image_dim.extend([_SIDE, _SIDE])
    projector.visualize_embeddings(str(folder), config)
    return points


def sprite_sheet(squares: np.ndarray) -> Image.Image:
    """Small pictures in rows from the left and from the top, as many rows as columns.

    Args:
        squares: uint8 [N, S, S, 3].
    """
    columns = int(np.ceil(np.sqrt(len(squares))))
    sheet = Image.new("RGB", (columns * _SIDE, columns * _SIDE), "white")
    for i, square in enumerate(squares):
        small = Image.fromarray(square).resize((_SIDE, _SIDE), Image.Resampling.BOX)
        sheet.paste(small, (i % columns * _SIDE, i // columns * _SIDE))
    return sheet
