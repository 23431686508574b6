import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics, principal_components
from alexnet_tf.models.spec import PCANoise, Preprocessing

SIDE, CROP = 12, 8
RNG = np.random.default_rng(0)
_VALUES, _VECTORS = principal_components(np.cov(RNG.random((3, 100))))
STATISTICS = Statistics(RNG.uniform(0, 255, (SIDE, SIDE, 3)).astype(np.float32), _VALUES, _VECTORS)
SPECS = {
    "paper": Preprocessing(SIDE, CROP, pca_noise=PCANoise()),
    "code2012": Preprocessing(
        SIDE,
        CROP,
        mean="pixel_centre",
        pca_noise=PCANoise(scaled_by="standard_deviation", divisor=1.1),
    ),
    "caffe": Preprocessing(SIDE, CROP, channels="bgr"),
    "torch": Preprocessing(SIDE, CROP, mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 40.0)),
}


def expected(spec, image, top, left, reflect, alpha):
    """The network's input for one crop of a whole image [S, S, 3], in float64, step by step."""
    crop = image[top : top + CROP, left : left + CROP].astype(np.float64)
    if spec.mean == "pixel":
        mean = STATISTICS.mean[top : top + CROP, left : left + CROP]
    elif spec.mean == "pixel_centre":
        edge = (SIDE - CROP) // 2
        mean = STATISTICS.mean[edge : edge + CROP, edge : edge + CROP]
    else:
        mean = np.array(spec.mean)
    if spec.mean == "pixel_centre":
        crop = (crop[:, ::-1] if reflect else crop) - mean
    else:
        crop = crop - mean
        crop = crop[:, ::-1] if reflect else crop
    if spec.pca_noise and alpha is not None:
        scale = STATISTICS.eigenvalues.astype(np.float64)
        if spec.pca_noise.scaled_by == "standard_deviation":
            scale = np.sqrt(scale)
        for i in range(3):
            crop = crop + 255 * alpha[i] * scale[i] * STATISTICS.eigenvectors[:, i]
        crop = crop / spec.pca_noise.divisor
    crop = crop / np.array(spec.std)
    return crop[..., ::-1] if spec.channels == "bgr" else crop


@pytest.mark.parametrize("name", SPECS)
def test_training_input_follows_the_formula(name):
    spec, count = SPECS[name], 16
    images = RNG.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    offsets = RNG.integers(0, SIDE - CROP + 1, (count, 2)).astype(np.int32)
    reflect = RNG.random(count) < 0.5
    alpha = RNG.normal(0, 0.1, (count, 3)).astype(np.float32)
    crops = np.stack(
        [image[y : y + CROP, x : x + CROP] for image, (y, x) in zip(images, offsets, strict=True)]
    )
    lit = np.arange(count) % 3 > 0
    alpha[~lit] = 0
    batch = {
        "image": crops,
        "offset": offsets,
        "flip": reflect,
        "pca_applied": lit,
        "pca_noise": alpha,
    }
    batch = {key: tf.constant(value) for key, value in batch.items()}
    reference = np.stack(
        [
            expected(spec, images[i], *offsets[i], reflect[i], alpha[i] if lit[i] else None)
            for i in range(count)
        ]
    )
    preprocessor = Preprocessor(spec, STATISTICS)
    for function in (
        preprocessor.training,
        tf.function(preprocessor.training),
        tf.function(preprocessor.training, jit_compile=True),
    ):
        np.testing.assert_allclose(function(batch), reference, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", SPECS)
def test_ten_views_are_corners_centre_and_reflections(name):
    spec = SPECS[name]
    images = RNG.integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    views = Preprocessor(spec, STATISTICS).views(tf.constant(images), 10).numpy()
    assert views.shape == (3, 10, CROP, CROP, 3)
    end, centre = SIDE - CROP, (SIDE - CROP) // 2
    places = [(0, 0), (0, end), (end, 0), (end, end), (centre, centre)]
    for i, image in enumerate(images):
        for j, (top, left) in enumerate(places):
            for k, reflect in ((j, False), (j + 5, True)):
                reference = expected(spec, image, top, left, reflect, None)
                np.testing.assert_allclose(views[i, k], reference, rtol=1e-5, atol=1e-4)


def test_one_view_is_the_centre_of_the_ten():
    preprocessor = Preprocessor(SPECS["paper"], STATISTICS)
    images = tf.constant(RNG.integers(0, 256, (2, SIDE, SIDE, 3), np.uint8))
    one, ten = preprocessor.views(images, 1), preprocessor.views(images, 10)
    np.testing.assert_array_equal(one[:, 0], ten[:, 4])


def test_other_numbers_of_views_and_a_wrong_mean_are_refused():
    preprocessor = Preprocessor(SPECS["paper"], STATISTICS)
    with pytest.raises(ValueError, match="Received: views=3"):
        preprocessor.views(tf.zeros([1, SIDE, SIDE, 3], tf.uint8), 3)
    wrong = dataclasses.replace(STATISTICS, mean=STATISTICS.mean[1:])
    with pytest.raises(ValueError, match="Received: .11, 12, 3."):
        Preprocessor(SPECS["paper"], wrong)
