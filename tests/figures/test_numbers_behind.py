"""What the pictures show, computed where the answer is known."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.augmentations.pca_noise import color_shift
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.figures.activations import Activations
from alexnet_tf.figures.plots import (
    attention,
    augmentation,
    confusions,
    convolution,
    pooling,
    units,
)
from alexnet_tf.figures.plots.nonlinearities import measure_activity
from alexnet_tf.figures.plots.normalization import draw_normalization, normalize
from alexnet_tf.layers import LocalResponseNormalization
from alexnet_tf.models.spec import Preprocessing


def test_the_lectures_convolution():
    responses = convolution.respond(convolution.worked_image(), convolution.CURVE_DETECTOR)
    assert responses.shape == (3, 11)
    assert responses[1, 1] == 6600 and responses[1, 9] == 0
    image, kernel = convolution.worked_image(), convolution.CURVE_DETECTOR
    for row, column in np.ndindex(3, 11):
        products = image[row : row + 7, column : column + 7] * kernel
        assert responses[row, column] == products.sum()


def test_pooling_and_the_liveliest_part():
    image = np.zeros((12, 12), np.float32)
    image[8:11, 2:5] = [[9, 0, 9], [0, 9, 0], [9, 0, 9]]
    assert pooling.liveliest_part(image, 3) == (8, 2)
    # What becomes of the part is part of what becomes of the whole.
    np.testing.assert_array_equal(
        pooling.pool(image, 3)[4:5, 1:2], pooling.pool(image[8:11, 2:5], 3)
    )
    image[8:11, 2:5] = [[1, 9, 1], [2, 0, 2], [1, 7, 1]]
    assert pooling.pool(image, 3).shape == (5, 5) and pooling.pool(image, 2).shape == (6, 6)
    assert pooling.pool(image, 3)[4, 1] == 9 and pooling.pool(image, 2)[5, 1] == 7


def test_damping_is_what_neighbours_add():
    layer = LocalResponseNormalization(size=3, k=2, alpha=0.5, beta=0.75)
    before = np.zeros((2, 2, 6), np.float32)
    before[1, 0] = [0, 1, 4, 0, 0, 0]
    before[0, 1] = [0, 0, 0, 0, 0, 1]
    done = normalize(layer, before)
    assert (done.row, done.column) == (1, 0)
    factor = (2 + 0.5 * 17) ** -0.75 / 2**-0.75
    np.testing.assert_allclose(done.damping, [1, factor, factor, 1, 1, 1], rtol=1e-5)


def test_before_and_after_are_shown_on_one_scale():
    layer = LocalResponseNormalization()
    before = np.random.default_rng(0).normal(size=(4, 4, 6)).astype(np.float32)  # as of tanh
    images = [i for axes in draw_normalization(normalize(layer, before)).axes for i in axes.images]
    (first, second) = (image.get_clim() for image in images)
    assert first == second and first[0] < 0 < first[1]


def chain(*layers):
    inputs = keras.Input((1, 1, 3))
    x = inputs
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    ("activation", "dead"),
    [
        (keras.layers.ReLU(), 1),  # the first is never positive
        (keras.layers.LeakyReLU(negative_slope=0.01), 1),
        (keras.layers.Activation("tanh"), 2),  # the first and the third are always far from 0
        (keras.layers.Activation("sigmoid"), 2),
    ],
)
def test_units_that_pass_nothing_on_are_dead(activation, dead):
    images = np.zeros((40, 1, 1, 3), np.float32)  # more than one batch
    images[..., 0] = -9
    images[:, 0, 0, 1] = np.linspace(-1, 1, 40)
    images[..., 2] = 9
    (activity,) = measure_activity(chain(activation), tf.constant(images))
    assert (activity.units, activity.dead) == (3, dead)
    passing = {1: (0.5 + 1) / 3, 2: 1 / 3}[dead]
    assert activity.active == pytest.approx(passing, abs=1e-6)


def test_occlusion_finds_what_a_class_hangs_on():
    model = chain(keras.layers.Flatten())
    image = np.zeros((16, 16, 3), np.float32)
    image[10:12, 3:5] = 3
    inputs = keras.Input((16, 16, 3))
    total = keras.ops.sum(inputs, axis=(1, 2, 3))[:, None]
    model = keras.Model(inputs, keras.ops.concatenate([total, 0 * total], axis=1))
    found = attention.occlusion_map(model, tf.constant(image), 0)
    assert found.shape == (16, 16) and found.max() <= 1
    row, column = np.unravel_index(found.argmin(), found.shape)
    assert 9 <= row <= 12 and 2 <= column <= 5
    assert found[0, 15] > 0.999 and found.min() < 0.9


def test_what_is_left_may_be_more_than_all():
    hidden = np.full((4, 4), 1.9)
    grey = np.zeros((4, 4, 3), np.uint8)
    figure = attention.draw_attention(
        grey[None], [[hidden, hidden, grey, grey]], [["a class", ", 10%", "conv1, unit 0"]]
    )
    shown = next(axes.images[0] for axes in figure.axes if axes.get_title().startswith("occlusion"))
    assert shown.get_clim() == (0, 1.9)


def test_guided_relu_passes_back_only_what_excites():
    x = tf.constant([[-1.0, 2.0, 3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = attention.GuidedReLU()(x)
        loss = tf.reduce_sum(y * [[5.0, -6.0, 7.0, 0.0]])
    np.testing.assert_array_equal(y, [[0, 2, 3, 4]])
    np.testing.assert_array_equal(tape.gradient(loss, x), [[0, 0, 7, 0]])


def test_a_guided_network_computes_the_same(subject):
    guided = attention.guided_model(subject.model)
    inputs = subject.inputs(subject.squares(np.arange(2)))
    np.testing.assert_allclose(guided(inputs), subject.model(inputs), atol=1e-6)
    plain = attention.input_gradient(subject.model, inputs[0], 3)
    assert np.abs(plain - attention.input_gradient(guided, inputs[0], 3)).max() > 0
    nudge = 1e-3 * np.sign(plain)
    logits = subject.model(tf.stack([inputs[0] - nudge, inputs[0] + nudge])).numpy()[:, 3]
    assert np.diff(logits)[0] == pytest.approx(2e-3 * np.abs(plain).sum(), rel=0.05)


def survey(labels, responses):
    fields = dict.fromkeys(field.name for field in dataclasses.fields(Activations))
    known = None if labels is None else np.array(labels)
    return Activations(**{**fields, "labels": known, "responses": np.array(responses, np.float32)})


def test_the_units_that_tell_classes_apart_are_found():
    found = survey([0, 0, 1, 1, 2, 2], [
        [1, 0, 5, 0], [1, 0, 6, 0], [1, 9, 5, 0], [1, 8, 6, 0], [1, 0, 5, 2], [1, 0, 6, 2],
    ])  # fmt: skip
    assert units.most_telling(found, 2) == [3, 1]
    excited = units.excite(found, 1, 3)
    assert excited.which.tolist() == [2, 3, 0] and excited.places is None
    assert excited.responses.tolist() == [9, 8, 0]


def test_units_that_vary_most_make_up_for_classes():
    responses = [[0, 5, 0, 1], [2, 5, 9, 1], [0, 5, 9, 1], [2, 5, 0, 1]]
    assert units.most_telling(survey(None, responses), 2) == [2, 0]
    assert units.most_telling(survey([3, 3, 3, 3], responses), 3) == [2, 0, 1]
    responses[0][3] = responses[1][3] = 2  # tells two classes apart, though it varies less
    assert units.most_telling(survey([0, 0, 1, 1], responses), 3)[0] == 3
    assert len(units.most_telling(survey([0, 0, 1, 1], responses), 9)) == 4


def test_confusions_are_counted():
    labels, guesses = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 0, 1])
    counts = confusions.count_pairs(labels, guesses, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [2, 1, 0]]
    assert confusions.most_confused(labels, guesses) == [(2, 0, 2), (0, 1, 1), (2, 1, 1)]
    assert confusions.most_confused(labels, labels) == []
    many = np.array([10**6, 5, 5]), np.array([3, 10**6, 10**6])  # a table would not fit
    assert confusions.most_confused(*many) == [(5, 10**6, 2), (10**6, 3, 1)]


def test_the_papers_crops_are_2178():
    assert augmentation.count_crops(Preprocessing()) == 33 * 33 * 2


def test_lighting_is_added_where_a_variant_has_none(subject):
    spec = Preprocessing(image_size=72, crop_size=64, pca_noise=None)
    lit = augmentation.with_lighting(Preprocessor(spec, subject.classifier.preprocessor.statistics))
    colour = color_shift(tf.constant([[0.1, 0, 0]]), lit).numpy()
    np.testing.assert_allclose(colour.ravel(), [0.1 * 255 / 12, 0, 0], rtol=1e-5)


def test_a_survey_says_of_each_image_what_the_model_makes_of_it(subject):
    seen = subject.survey
    squares = subject.squares(np.array([5, 0]))
    logits = subject.model(subject.inputs(squares)).numpy()
    np.testing.assert_array_equal(seen.guesses[[5, 0], 0], logits.argmax(axis=1))
    assert seen.labels.tolist() == [i % 10 for i in range(24)]
    conv5 = keras.Model(subject.model.inputs, subject.model.get_layer("relu5").output)
    maps = conv5(subject.inputs(squares)).numpy()
    np.testing.assert_allclose(seen.responses[[5, 0]], maps.max(axis=(1, 2)), rtol=1e-4)
    for i, unit in ((0, 3), (1, 40)):
        place = tuple(seen.places[[5, 0][i], unit])
        assert maps[(i, *place, unit)] == pytest.approx(maps[i, ..., unit].max(), rel=1e-4)
