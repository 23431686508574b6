"""What the figures show, computed where the answer is known."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.augmentations.pca_noise import color_shift
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.figures.context import Activations
from alexnet_tf.figures.plots import attention, augmentation, operations, predictions, units
from alexnet_tf.figures.plots.nonlinearities import (
    Activity,
    draw_nonlinearities,
    measure_activity,
)
from alexnet_tf.figures.registry import render
from alexnet_tf.layers import LocalResponseNormalization
from alexnet_tf.models.spec import Preprocessing


def test_the_lectures_convolution():
    responses = operations.convolve(operations.worked_image(), operations.CURVE_DETECTOR)
    assert responses.shape == (3, 11)
    assert responses[1, 1] == 6600 and responses[1, 9] == 0
    image, kernel = operations.worked_image(), operations.CURVE_DETECTOR
    for row, column in np.ndindex(3, 11):
        products = image[row : row + 7, column : column + 7] * kernel
        assert responses[row, column] == products.sum()


def test_pooling_and_the_liveliest_part():
    image = np.zeros((12, 12), np.float32)
    image[8:11, 2:5] = [[9, 0, 9], [0, 9, 0], [9, 0, 9]]
    assert operations.liveliest_part(image, 3) == (8, 2)
    # What becomes of the part is part of what becomes of the whole.
    np.testing.assert_array_equal(
        operations.pool(image, 3)[4:5, 1:2], operations.pool(image[8:11, 2:5], 3)
    )
    image[8:11, 2:5] = [[1, 9, 1], [2, 0, 2], [1, 7, 1]]
    assert operations.pool(image, 3).shape == (5, 5) and operations.pool(image, 2).shape == (6, 6)
    assert operations.pool(image, 3)[4, 1] == 9 and operations.pool(image, 2)[5, 1] == 7


def test_damping_is_the_effect_of_neighbours():
    layer = LocalResponseNormalization(size=3, k=2, alpha=0.5, beta=0.75)
    before = np.zeros((2, 2, 6), np.float32)
    before[1, 0] = [0, 1, 4, 0, 0, 0]
    before[0, 1] = [0, 0, 0, 0, 0, 1]
    done = operations.normalize(layer, before)
    assert (done.row, done.column) == (1, 0)
    factor = (2 + 0.5 * 17) ** -0.75 / 2**-0.75
    np.testing.assert_allclose(done.damping, [1, factor, factor, 1, 1, 1], rtol=1e-5)


def test_before_and_after_are_shown_on_one_scale():
    layer = LocalResponseNormalization()
    before = np.random.default_rng(0).normal(size=(4, 4, 6)).astype(np.float32)  # as of tanh
    images = [
        i
        for axes in operations.draw_normalization(operations.normalize(layer, before)).axes
        for i in axes.images
    ]
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


def test_occlusion_finds_the_pixels_that_a_class_depends_on():
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


def draw_occlusion(*shares):
    """The figure of attention, and of each image the occlusion map."""
    grey = np.zeros((4, 4, 3), np.uint8)
    maps = [[np.full((4, 4), share), grey[..., 0], grey, grey] for share in shares]
    names = [["a class", ", 100%", "conv1, unit 0"]] * len(shares)
    drawing = attention.draw_attention(np.stack([grey] * len(shares)), maps, names)
    return drawing, drawing.axes[1 : 5 * len(shares) : 5]


def test_more_than_the_whole_probability_may_be_left():
    _, (axes,) = draw_occlusion(1.9)
    assert axes.images[0].get_clim() == (0, 1.9) and axes.get_xlabel() == ""


def test_a_prediction_that_occlusion_does_not_change_is_said_to_be_so():
    drawing, (sure, unsure) = draw_occlusion(1.00001, 0.5)
    assert sure.images[0].get_clim() == unsure.images[0].get_clim() == (0, 1)
    assert sure.get_xlabel() == "no change" and unsure.get_xlabel() == ""
    assert drawing.axes[-1].get_ylim() == (0, 1)  # the colour bar


def test_the_caption_explains_a_flat_occlusion_map(context):
    flat = keras.models.clone_model(context.model)  # whose logits do not depend on the image
    for layer in flat.layers:
        layer.set_weights([np.zeros_like(weights) for weights in layer.get_weights()])
    classifier = Classifier(flat, context.classifier.preprocessor, context.classifier.classes)
    caption = render("attention", dataclasses.replace(context, classifier=classifier)).caption
    assert '"No change": the prediction stays the same' in caption


def test_layers_without_dead_units_say_so():
    activities = [Activity("relu1", 32, 0, 0.5), Activity("relu2", 64, 3, 0.4)]
    for shown, counts, bars in (
        (activities, ["none of 32 dead", "3 of 64 dead"], ["dead units"]),
        (activities[:1], ["none of 32 dead"], []),
    ):
        _, axes = draw_nonlinearities(shown).axes
        assert [text.get_text() for text in axes.texts if "dead" in text.get_text()] == counts
        legend = [text.get_text() for text in axes.get_legend().get_texts()]
        assert legend == ["responses that pass the gradient on", *bars]


def test_guided_relu_passes_back_only_what_excites():
    x = tf.constant([[-1.0, 2.0, 3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = attention.GuidedReLU()(x)
        loss = tf.reduce_sum(y * [[5.0, -6.0, 7.0, 0.0]])
    np.testing.assert_array_equal(y, [[0, 2, 3, 4]])
    np.testing.assert_array_equal(tape.gradient(loss, x), [[0, 0, 7, 0]])


def test_a_guided_network_computes_the_same(context):
    guided = attention.guided_model(context.model)
    inputs = context.inputs(context.images(np.arange(2)))
    np.testing.assert_allclose(guided(inputs), context.model(inputs), atol=1e-6)
    plain = attention.input_gradient(context.model, inputs[0], 3)
    assert np.abs(plain - attention.input_gradient(guided, inputs[0], 3)).max() > 0
    nudge = 1e-3 * np.sign(plain)
    logits = context.model(tf.stack([inputs[0] - nudge, inputs[0] + nudge])).numpy()[:, 3]
    assert np.diff(logits)[0] == pytest.approx(2e-3 * np.abs(plain).sum(), rel=0.05)


def recorded(labels, responses):
    fields = dict.fromkeys(field.name for field in dataclasses.fields(Activations))
    known = None if labels is None else np.array(labels)
    return Activations(**{**fields, "labels": known, "peaks": np.array(responses, np.float32)})


def test_the_units_that_tell_classes_apart_are_found():
    found = recorded([0, 0, 1, 1, 2, 2], [
        [1, 0, 5, 0], [1, 0, 6, 0], [1, 9, 5, 0], [1, 8, 6, 0], [1, 0, 5, 2], [1, 0, 6, 2],
    ])  # fmt: skip
    assert units.most_telling(found, 2) == [3, 1]
    top = units.top_images(found, 1, 3)
    assert top.tolist() == [2, 3, 0] and found.peaks[top, 1].tolist() == [9, 8, 0]


def test_units_that_vary_most_make_up_for_classes():
    responses = [[0, 5, 0, 1], [2, 5, 9, 1], [0, 5, 9, 1], [2, 5, 0, 1]]
    assert units.most_telling(recorded(None, responses), 2) == [2, 0]
    assert units.most_telling(recorded([3, 3, 3, 3], responses), 3) == [2, 0, 1]
    responses[0][3] = responses[1][3] = 2  # tells two classes apart, though it varies less
    assert units.most_telling(recorded([0, 0, 1, 1], responses), 3)[0] == 3
    assert len(units.most_telling(recorded([0, 0, 1, 1], responses), 9)) == 4


def test_confusions_are_counted():
    labels, predicted = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 0, 1])
    counts = predictions.count_pairs(labels, predicted, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [2, 1, 0]]
    assert predictions.most_confused(labels, predicted) == [(2, 0, 2), (0, 1, 1), (2, 1, 1)]
    assert predictions.most_confused(labels, labels) == []
    many = np.array([10**6, 5, 5]), np.array([3, 10**6, 10**6])  # a table would not fit
    assert predictions.most_confused(*many) == [(5, 10**6, 2), (10**6, 3, 1)]


def test_the_papers_crops_are_2178():
    assert augmentation.count_crops(Preprocessing()) == 33 * 33 * 2


def test_pca_noise_is_added_where_a_variant_has_none(context):
    spec = Preprocessing(image_size=72, crop_size=64, pca_noise=None)
    lit = augmentation.with_pca_noise(
        Preprocessor(spec, context.classifier.preprocessor.statistics)
    )
    colour = color_shift(tf.constant([[0.1, 0, 0]]), lit).numpy()
    np.testing.assert_allclose(colour.ravel(), [0.1 * 255 / 12, 0, 0], rtol=1e-5)


def test_activations_are_the_outputs_of_the_model(context):
    seen = context.activations
    squares = context.images(np.array([5, 0]))
    logits = context.model(context.inputs(squares)).numpy()
    np.testing.assert_array_equal(seen.predictions[[5, 0], 0], logits.argmax(axis=1))
    assert seen.labels.tolist() == [i % 10 for i in range(24)]
    conv5 = keras.Model(context.model.inputs, context.model.get_layer("relu5").output)
    maps = conv5(context.inputs(squares)).numpy()
    np.testing.assert_allclose(seen.peaks[[5, 0]], maps.max(axis=(1, 2)), rtol=1e-4)
    for i, unit in ((0, 3), (1, 40)):
        place = tuple(seen.peak_positions[[5, 0][i], unit])
        assert maps[(i, *place, unit)] == pytest.approx(maps[i, ..., unit].max(), rel=1e-4)
