"""Augmentation: one photograph's crops, reflections, ten views and PCA noise (paper §4.1)."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from alexnet_tf.data.augmentations.pca_noise import color_shift
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.figures import style
from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.registry import RenderedFigure, figure
from alexnet_tf.figures.text import fit
from alexnet_tf.models.spec import PCANoise, Preprocessing

_ROWS, _COLUMNS = 4, 6  # crops in the sample
_FRAMED = 3  # crops that are framed on the photograph
_SIGMAS = (-10, -2, 0, 2, 10)  # α in its standard deviations
_VIEW = 1.5  # inches, the width of a view
_VIEWS = ("top left", "top right", "bottom left", "bottom right", "centre")  # Preprocessor.views


def draw_crops(photo: np.ndarray, preprocessing: Preprocessing, seed: int = 0) -> Figure:
    """Draws a photograph, uint8 [S, S, 3], with three crops framed, and a random sample of all."""
    random, crop = np.random.default_rng(seed), preprocessing.crop_size
    number = _ROWS * _COLUMNS
    ends = (preprocessing.image_size - crop + 1,) * 2
    crops = count_crops(preprocessing)
    sample = random.choice(crops, number, replace=crops < number)
    flip = sample % 2 == 1
    offsets = np.stack(np.unravel_index(sample // 2, ends), axis=-1)  # [number, 2]
    drawing = style.new_figure(f"A sample of the {crops:,} crops of one photograph")
    left, right = drawing.subfigures(1, 2, width_ratios=(1, 1.75))
    axes = left.subplots()
    style.show_image(axes, photo, f"{len(photo)} × {len(photo)} pixels; crops: {crop} × {crop}")
    for offset, colour in zip(offsets[:_FRAMED], style.CYCLE, strict=False):
        style.outline(axes, offset, (crop, crop), colour)
    right.supxlabel("offset from the top, from the left; ↔: reflected", fontsize=style.MIDDLE)
    cells = right.subplots(_ROWS, _COLUMNS)
    for i, (axes, (top, begin)) in enumerate(zip(cells.flat, offsets, strict=True)):
        cut = photo[top : top + crop, begin : begin + crop]
        style.show_image(axes, cut[:, ::-1] if flip[i] else cut)
        title = f"{top}, {begin}" + (" ↔" if flip[i] else "")
        colour = style.CYCLE[i] if i < _FRAMED else "black"
        axes.set_title(title, fontsize=style.SMALL, color=colour, pad=3)
    return drawing


def count_crops(preprocessing: Preprocessing) -> int:
    """The number of different crops of one photograph, reflections included."""
    return (preprocessing.image_size - preprocessing.crop_size + 1) ** 2 * 2


@figure("crops", needs="photo", order=60)
def render_crops(context: FigureContext) -> RenderedFigure:
    """Crops of the photograph."""
    preprocessing = context.variant.preprocessing
    end, crops = preprocessing.image_size - preprocessing.crop_size, count_crops(preprocessing)
    other = (
        " This variant itself trains on parts of any size and shape (RandomResizedCrop)."
        if "resized_crop" in preprocessing.augmentations else ""
    )  # fmt: skip
    return RenderedFigure(
        "Random crops and reflections",
        f"In training, each image is cropped at a random place and reflected at random. Left: the "
        f"photograph with three of its crops framed. Right: a random sample of its crops, "
        f"{preprocessing.crop_size} of {preprocessing.image_size} pixels wide, each with its "
        f"offset; ↔ marks reflections. Offsets run from 0 to {end}, so there are {end + 1}² · 2 = "
        f"{crops:,} crops. (The paper counts 32² · 2 = 2048, but offsets from 0 to 32 give "
        f"33² · 2 = 2178.){other}",
        draw_crops(context.photo_image, preprocessing),
        {"crops": crops, "offsets": [0, end]},
    )


def draw_ten_views(
    photo: np.ndarray, preprocessor: Preprocessor, probabilities: np.ndarray, names: tuple[str, ...]
) -> Figure:
    """Draws a photograph, uint8 [S, S, 3], with five crops framed, and each view's prediction.

    `probabilities` are float32 [10, classes].
    """
    views = preprocessor.crops(tf.constant(photo[None]), 10)[0].numpy()
    drawing = style.new_figure("Ten views of one photograph")
    left, right = drawing.subfigures(1, 2, width_ratios=(1, 2.4))
    axes = left.subplots()
    style.show_image(axes, photo, "the five crops")
    preprocessing = preprocessor.preprocessing
    end = preprocessing.image_size - preprocessing.crop_size
    offsets = [(0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2)]
    for offset, colour in zip(offsets, style.CYCLE, strict=False):
        style.outline(axes, offset, (preprocessing.crop_size, preprocessing.crop_size), colour)
    cells = right.subplots(2, 5)
    for i, (axes, view, row) in enumerate(zip(cells.flat, views, probabilities, strict=True)):
        style.show_image(axes, view)
        axes.set_title(_VIEWS[i % 5] + ("\nreflected" if i >= 5 else ""), fontsize=style.SMALL,
                       color=style.CYCLE[i % 5], weight="bold")  # fmt: skip
        best = int(row.argmax())
        axes.set_xlabel(f"{fit(names[best], _VIEW)}\n{row[best]:.0%}", fontsize=style.SMALL)
    mean = probabilities.mean(axis=0)
    best = int(mean.argmax())
    average = f"average: {fit(names[best], 5, style.MIDDLE)}, {mean[best]:.1%}"
    right.supxlabel(average, fontsize=style.MIDDLE)
    return drawing


@figure("ten-views", needs="photo", order=70)
def render_ten_views(context: FigureContext) -> RenderedFigure:
    """The ten views of the photograph."""
    photo, classifier = context.photo_image, context.classifier
    rows = classifier.view_probabilities(tf.constant(photo[None]), 10)[0].numpy()
    mean = rows.mean(axis=0)
    best = int(mean.argmax())
    return RenderedFigure(
        "Ten views",
        f"At test time the network sees the four corners and the centre of an image and their "
        f"reflections; the ten predictions are averaged (paper §4.1). Below each view: its most "
        f"probable class. The average gives {context.class_names[best]}, {mean[best]:.1%}.",
        draw_ten_views(photo, classifier.preprocessor, rows, context.class_names),
        {
            "class": context.class_names[best],
            "probability, averaged": float(mean[best]),
            "probability, by view": [float(row[best]) for row in rows],
        },
    )


def draw_pca_noise(photo: np.ndarray, preprocessor: Preprocessor) -> Figure:
    """Draws a photograph, uint8 [S, S, 3], with multiples of each principal component added."""
    sigma = preprocessor.preprocessing.pca_noise.sigma
    drawing = style.new_figure("Colour noise along the principal components of RGB")
    cells = drawing.subplots(3, len(_SIGMAS))
    for component, row in enumerate(cells):
        for axes, sigmas in zip(row, _SIGMAS, strict=True):
            alpha = np.zeros((1, 3), np.float32)
            alpha[0, component] = sigmas * sigma
            colour = color_shift(tf.constant(alpha), preprocessor).numpy()[0]  # [1, 1, 3]
            style.show_image(axes, np.clip(np.round(photo + colour), 0, 255).astype(np.uint8))
            if component == 0:
                times = f"\n({style.signed(sigmas)} σ)" if sigmas else "\n"
                axes.set_title(f"α = {style.signed(sigmas * sigma)}{times}")
        row[0].set_ylabel(f"component {component + 1}")
    return drawing


def with_pca_noise(preprocessor: Preprocessor) -> Preprocessor:
    """The same preprocessor, with the paper's PCA noise if the variant has none."""
    preprocessing = preprocessor.preprocessing
    if preprocessing.pca_noise is None:
        preprocessing = dataclasses.replace(preprocessing, pca_noise=PCANoise())
        preprocessor = Preprocessor(preprocessing, preprocessor.statistics)
    return preprocessor


@figure("lighting", needs="photo", order=80)
def render_pca_noise(context: FigureContext) -> RenderedFigure:
    """The photograph with PCA noise of several strengths."""
    preprocessor = with_pca_noise(context.classifier.preprocessor)
    statistics, noise = preprocessor.statistics, preprocessor.preprocessing.pca_noise
    absent = "" if context.variant.preprocessing.pca_noise else " This variant trains without it."
    components = (
        "component of the training set's colours" if context.training_statistics
        else "component (here simply R, G and B)"
    )  # fmt: skip
    return RenderedFigure(
        "PCA colour noise (lighting)",
        f"In training, a random multiple of each principal {components} is added to all pixels of "
        f"an image (paper §4.1): α times the component's {noise.scaled_by.replace('_', ' ')}, with "
        f"α drawn from N(0, {noise.sigma:g}²). Within 2 σ the change is hard to see, as intended; "
        f"10 σ are shown to make it visible.{absent}",
        draw_pca_noise(context.photo_image, preprocessor),
        {
            f"component {i + 1}": {
                "eigenvalue": float(statistics.eigenvalues[i]),
                "RGB": [float(value) for value in statistics.eigenvectors[:, i]],
            }
            for i in range(3)
        },
    )
