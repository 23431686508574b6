"""How oriented and how coloured: kernels whose answer is known."""

import dataclasses

import numpy as np
import pytest

from alexnet_tf.applications import AlexNet
from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.plots.first_layer import colour_scores, more_coloured, orientation_scores
from alexnet_tf.figures.registry import render
from alexnet_tf.models.variants import get_variant
from alexnet_tf.system.errors import UserError
from tests.figures.texts import find_faults


def grating(angle, side=11, waves=2.0):
    y, x = np.mgrid[:side, :side] / side
    return np.cos(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)))


def in_colour(pattern, colour):
    return pattern[..., None, None] * np.array(colour, float)[:, None]  # [K, K, 3, 1]


def test_colour_is_the_share_of_energy_that_is_not_grey():
    pattern = grating(0.3)
    kernels = np.concatenate(
        [
            in_colour(pattern, (1, 1, 1)),
            in_colour(pattern, (1, -1, 0)),
            in_colour(pattern, (1, 0, 0)),
            in_colour(pattern, (0, 0, 0)),
        ],
        axis=-1,
    )
    np.testing.assert_allclose(colour_scores(kernels), [0, 1, 2 / 3, 0], atol=1e-9)
    np.testing.assert_allclose(colour_scores(kernels[:, :, ::-1]), [0, 1, 2 / 3, 0], atol=1e-9)


@pytest.mark.parametrize("angle", [0, 0.4, np.pi / 4, np.pi / 2, 2.5])
def test_a_grating_is_oriented_whatever_its_angle_and_colour(angle):
    for colour in ((1, 1, 1), (1, -1, 0)):
        assert orientation_scores(in_colour(grating(angle), colour))[0] > 0.75


def test_a_blob_noise_and_nothing_are_not_oriented():
    y, x = np.mgrid[:11, :11] - 5
    blob = np.exp(-(x**2 + y**2) / 8)
    assert orientation_scores(in_colour(blob, (1, 0, 0)))[0] < 0.05
    assert orientation_scores(in_colour(np.ones((11, 11)), (1, 1, 1)))[0] == 0
    noise = np.random.default_rng(0).normal(size=(11, 11, 3, 50))
    assert orientation_scores(noise).mean() < 0.2


def test_two_gratings_across_each_other_cancel():
    cross = grating(0.2) + grating(0.2 + np.pi / 2)
    assert orientation_scores(in_colour(cross, (1, 1, 1)))[0] < 0.1


def test_the_papers_finding_as_a_number():
    assert more_coloured(np.array([0.1, 0.2]), np.array([0.8, 0.9, 0.7])) == 1
    assert more_coloured(np.array([0.8]), np.array([0.1, 0.9, 0.8])) == 0.5
    assert more_coloured(np.array([0.1, 0.5]), np.array([0.3, 0.0])) == 0.25


def with_towers(number):
    """The tiny network with its second convolution divided over towers."""
    tiny = get_variant("tiny")
    convs = [
        dataclasses.replace(conv, post_ops=("activation",), towers=min(conv.towers, number))
        for conv in tiny.convs
    ]
    convs[1] = dataclasses.replace(convs[1], towers=number)
    return dataclasses.replace(tiny, name=f"towers{number}", convs=tuple(convs))


@pytest.mark.parametrize("towers", [1, 2, 4])
def test_towers_are_blocks_of_rows_with_a_thin_gap_and_a_label(towers):
    own = with_towers(towers)
    model = AlexNet(own, 10)
    context = FigureContext.from_model(model, variant=own)
    drawing = render("first-layer-kernels", context).figure
    blocks, scores = drawing.axes
    labels = {text.get_text(): text.get_position()[1] for text in blocks.texts}
    pixels = blocks.images[0].get_array()
    white = np.flatnonzero((pixels == 255).all(axis=(1, 2)))  # rows between kernels and towers
    gaps = np.split(white, np.flatnonzero(np.diff(white) > 1) + 1)
    wide = [gap for gap in gaps if len(gap) > 4]
    assert len(wide) == towers - 1 and all(len(gap) < 0.1 * len(pixels) for gap in wide)
    if towers == 1:
        assert labels == {} and scores.get_legend() is None
    else:
        assert list(labels) == [f"tower {i}" for i in range(1, towers + 1)]
        edges = [0, *(gap.mean() for gap in wide), len(pixels)]
        for middle, top, bottom in zip(labels.values(), edges, edges[1:], strict=False):
            assert middle == pytest.approx((top + bottom) / 2, abs=8)
    assert find_faults(drawing) == []
    assert find_faults(render("architecture", context).figure) == []
    if towers == 4:
        with pytest.raises(UserError, match="Expected variant="):
            FigureContext.from_model(model)
