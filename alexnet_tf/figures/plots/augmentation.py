"""Augmentation: one photograph's crops, reflections, ten views and lightings (paper §4.1)."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from alexnet_tf.data.augmentations.pca_noise import color_shift
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.style import (
    CYCLE,
    MIDDLE,
    SMALL,
    in_style,
    new_figure,
    outline,
    show_image,
    signed,
)
from alexnet_tf.figures.text import fit
from alexnet_tf.models.spec import PCANoise, Preprocessing

_ROWS, _COLUMNS = 4, 6  # of crops that are shown
_FRAMED = 3  # of them whose frames are drawn on the photograph
_SIGMAS = (-10, -2, 0, 2, 10)  # of α, in its standard deviations
_VIEW = 1.5  # inches of a view
_VIEWS = ("top left", "top right", "bottom left", "bottom right", "centre")  # preprocess.views


@in_style
def draw_crops(square: np.ndarray, spec: Preprocessing, seed: int = 0) -> Figure:
    """The photograph with three crops framed, and a random sample of all there are.

    Args:
        square: uint8 [S, S, 3].
        spec: the variant's preprocessing.
        seed: of the sample.
    """
    random, crop = np.random.default_rng(seed), spec.crop_size
    number = _ROWS * _COLUMNS
    ends = (spec.image_size - crop + 1,) * 2
    sample = random.choice(count_crops(spec), number, replace=count_crops(spec) < number)
    reflect = sample % 2 == 1
    offsets = np.stack(np.unravel_index(sample // 2, ends), axis=-1)  # [number, 2]
    figure = new_figure(f"A sample of the {count_crops(spec):,} crops of one photograph")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.75))
    axes = left.subplots()
    show_image(axes, square, f"{len(square)} × {len(square)} pixels; crops: {crop} × {crop}")
    for (top, begin), colour in zip(offsets[:_FRAMED], CYCLE, strict=False):
        outline(axes, (top, begin), (crop, crop), colour)
    right.supxlabel("offset from the top, from the left; ↔: reflected", fontsize=MIDDLE)
    cells = right.subplots(_ROWS, _COLUMNS)
    for i, (axes, (top, begin)) in enumerate(zip(cells.flat, offsets, strict=True)):
        cut = square[top : top + crop, begin : begin + crop]
        show_image(axes, cut[:, ::-1] if reflect[i] else cut)
        title = f"{top}, {begin}" + (" ↔" if reflect[i] else "")
        colour = CYCLE[i] if i < _FRAMED else "black"
        axes.set_title(title, fontsize=SMALL, color=colour, pad=3)
    return figure


def count_crops(spec: Preprocessing) -> int:
    """Crops of one photograph, reflections among them."""
    return (spec.image_size - spec.crop_size + 1) ** 2 * 2


@in_style
def draw_ten_views(subject: FigureContext) -> Figure:
    """The photograph with the five crops framed, and ten views with what the model says of each.

    Args:
        subject: of whose photograph.
    """
    preprocessor, square = subject.classifier.preprocessor, subject.square
    views = preprocessor.crops(tf.constant(square[None]), 10)[0].numpy()
    rows = view_probabilities(subject)
    figure = new_figure("Ten views; their predictions are averaged")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.4))
    axes = left.subplots()
    show_image(axes, square, "the five crops")
    spec = preprocessor.preprocessing
    end = spec.image_size - spec.crop_size
    places = [(0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2)]
    for place, colour in zip(places, CYCLE, strict=False):
        outline(axes, place, (spec.crop_size, spec.crop_size), colour)
    cells = right.subplots(2, 5)
    for i, (axes, view, row) in enumerate(zip(cells.flat, views, rows, strict=True)):
        show_image(axes, view)
        axes.set_title(_VIEWS[i % 5] + ("\nreflected" if i >= 5 else ""), fontsize=SMALL,
                       color=CYCLE[i % 5], weight="bold")  # fmt: skip
        best = int(row.argmax())
        axes.set_xlabel(f"{fit(subject.classes[best], _VIEW)}\n{row[best]:.0%}", fontsize=SMALL)
    best = int(rows.mean(axis=0).argmax())
    right.supxlabel(
        f"average: {fit(subject.classes[best], 5, MIDDLE)}, {rows.mean(axis=0)[best]:.1%}",
        fontsize=MIDDLE,
    )
    return figure


def view_probabilities(subject: FigureContext) -> np.ndarray:
    """What the model says of each of the photograph's ten views, float32 [10, classes]."""
    return subject.classifier.view_probabilities(tf.constant(subject.square[None]), 10)[0].numpy()


@in_style
def draw_lighting(square: np.ndarray, preprocessor: Preprocessor) -> Figure:
    """The photograph lit along each principal component of the colours.

    Args:
        square: uint8 [S, S, 3].
        preprocessor: whose variant has lighting.
    """
    sigma = preprocessor.preprocessing.pca_noise.sigma
    figure = new_figure("Lighting along the principal components of RGB")
    cells = figure.subplots(3, len(_SIGMAS))
    for component, row in enumerate(cells):
        for axes, sigmas in zip(row, _SIGMAS, strict=True):
            alpha = np.zeros((1, 3), np.float32)
            alpha[0, component] = sigmas * sigma
            colour = color_shift(tf.constant(alpha), preprocessor).numpy()[0]  # [1, 1, 3]
            show_image(axes, np.clip(np.round(square + colour), 0, 255).astype(np.uint8))
            if component == 0:
                times = f"\n({signed(sigmas)} σ)" if sigmas else "\n"
                axes.set_title(f"α = {signed(sigmas * sigma)}{times}")
        row[0].set_ylabel(f"component {component + 1}")
    return figure


def with_lighting(preprocessor: Preprocessor) -> Preprocessor:
    """The same with the paper's lighting, if the variant has none."""
    spec = preprocessor.preprocessing
    if spec.pca_noise is None:
        preprocessor = Preprocessor(
            dataclasses.replace(spec, pca_noise=PCANoise()), preprocessor.statistics
        )
    return preprocessor


def crops_picture(subject: FigureContext) -> Picture:
    """Crops of the photograph."""
    spec = subject.variant.preprocessing
    end = spec.image_size - spec.crop_size
    other = (
        " This variant itself trains on parts of any size and shape (RandomResizedCrop)."
        if "resized_crop" in spec.augmentations else ""
    )  # fmt: skip
    return Picture(
        "crops",
        "Random crops and reflections",
        f"A random sample of one photograph's crops of {spec.crop_size} pixels from "
        f"{spec.image_size}, with their offsets; ↔ marks reflections. Offsets go from 0 to {end}, "
        f"both among them: {end + 1}² · 2 = {count_crops(spec):,} crops. The paper counts 32² · 2 "
        f"= 2048 where offsets of 0 to 32 give 2178.{other}",
        draw_crops(subject.square, spec),
        {"crops": count_crops(spec), "offsets": [0, end]},
    )


def ten_views_picture(subject: FigureContext) -> Picture:
    """The ten views of the photograph."""
    rows = view_probabilities(subject)
    mean = rows.mean(axis=0)
    best = int(mean.argmax())
    return Picture(
        "ten-views",
        "Ten views",
        f"At test the network sees four corners, the centre and their reflections, and the ten "
        f"predictions are averaged (paper §4.1). Below each view: its most probable class. The "
        f"average says {subject.classes[best]}, {mean[best]:.1%}.",
        draw_ten_views(subject),
        {
            "class": subject.classes[best],
            "probability, averaged": float(mean[best]),
            "probability, by view": [float(row[best]) for row in rows],
        },
    )


def lighting_picture(subject: FigureContext) -> Picture:
    """Lightings of the photograph."""
    preprocessor = with_lighting(subject.classifier.preprocessor)
    statistics, spec = preprocessor.statistics, preprocessor.preprocessing.pca_noise
    own = "" if subject.variant.preprocessing.pca_noise else " This variant trains without it."
    whose = "of the training set's colours" if subject.measured else "(here R, G and B alone)"
    return Picture(
        "lighting",
        "PCA lighting",
        f"A multiple of each principal component {whose} is added to all "
        f"pixels (paper §4.1): α ~ N(0, {spec.sigma:g}) times the component's "
        f"{spec.scaled_by.replace('_', ' ')}. Within 2 σ it is hard to see, as it should be; 10 σ "
        f"are shown to make it plain.{own}",
        draw_lighting(subject.square, preprocessor),
        {
            f"component {i + 1}": {
                "eigenvalue": float(statistics.eigenvalues[i]),
                "RGB": [float(value) for value in statistics.eigenvectors[:, i]],
            }
            for i in range(3)
        },
    )
