import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.evaluation.classifier import Classifier, Ensemble
from alexnet_tf.evaluation.evaluator import Evaluator
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.distributed import make_strategy
from tests.evaluation.test_evaluator import (
    LABELS,
    REDS,
    SPEC,
    STATISTICS,
    RedIsRank,
    make_classifier,
    make_split,
)


def scaled(factor):
    """The classifier of the other tests with logits that many times as large."""
    classifier = make_classifier()
    outputs = keras.layers.Rescaling(factor)(classifier.model.output)
    model = keras.Model(classifier.model.inputs, outputs)
    return Classifier(model, classifier.preprocessor, classifier.classes)


@pytest.mark.parametrize("views", [1, 10])
def test_an_ensemble_gives_the_mean_of_its_members_probabilities(views):
    members = [scaled(factor) for factor in (1.0, 0.1, -0.3)]
    images = tf.constant(np.random.default_rng(0).integers(0, 9, (5, 6, 6, 3), np.uint8))
    each = [member.probabilities(images, views).numpy().astype(float) for member in members]
    assert np.abs(each[0] - each[2]).max() > 0.1
    together = Ensemble(members).probabilities(images, views)
    np.testing.assert_allclose(together, np.mean(each, axis=0), rtol=1e-5, atol=1e-7)


def smaller(crop):
    """One that sees crops of another size, and so other views."""
    classifier = make_classifier()
    spec = dataclasses.replace(SPEC, crop_size=crop)
    inputs = keras.Input((crop, crop, 3))
    model = keras.Model(inputs, RedIsRank()(inputs))
    return Classifier(model, Preprocessor(spec, STATISTICS), classifier.classes)


def test_each_view_is_averaged_over_the_members():
    members = [scaled(0.1), smaller(2)]
    images = tf.constant(np.random.default_rng(0).integers(0, 9, (5, 6, 6, 3), np.uint8))
    each = [member.view_probabilities(images, 10).numpy().astype(float) for member in members]
    assert np.abs(each[0] - each[1]).max() > 0.05
    together = Ensemble(members)
    np.testing.assert_allclose(
        together.view_probabilities(images, 10), np.mean(each, axis=0), rtol=1e-5, atol=1e-7
    )
    assert together.models == [member.model for member in members]
    with pytest.raises(AttributeError, match="an ensemble has several networks"):
        together.model  # noqa: B018 - it is the looking that fails


@pytest.mark.parametrize("views", [1, 10])
def test_an_ensembles_errors_are_those_of_the_mean(views):
    members = [scaled(1.0), scaled(0.1), scaled(-0.02)]
    split = make_split(REDS, LABELS)
    squares = np.zeros((len(REDS), 6, 6, 3), np.uint8)
    squares[..., 0] = np.array(REDS)[:, None, None]
    each = [member.probabilities(tf.constant(squares), views).numpy() for member in members]
    mean = np.mean(each, axis=0)
    found = Evaluator(Ensemble(members), make_strategy("one"), 4, views).predict(split)
    order = np.argsort(-mean, axis=1, kind="stable")[:, :5]
    expected = np.take_along_axis(mean, order, axis=1)
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5)
    losses = -np.log(mean[np.arange(len(LABELS)), LABELS])
    np.testing.assert_allclose(found.losses, losses, rtol=1e-5)
    for member in each:  # none of them alone would give these losses
        alone = -np.log(member[np.arange(len(LABELS)), LABELS])
        assert np.abs(found.losses - alone).max() > 0.1


def test_models_that_cannot_be_averaged_are_refused():
    one = make_classifier()
    other = Classifier(one.model, one.preprocessor, one.classes[::-1])
    with pytest.raises(UserError, match="same classes .*8 .a, .*8 .h, "):
        Ensemble([one, other])
