import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.classifier import Classifier, Ensemble
from alexnet_tf.errors import UserError
from alexnet_tf.evaluation.evaluator import Evaluator
from alexnet_tf.training.strategies import make_strategy
from tests.evaluation.test_evaluator import LABELS, REDS, make_classifier, make_split


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


def test_an_ensemble_is_evaluated_as_one_model():
    result = Evaluator(Ensemble([scaled(1.0), scaled(1.0)]), make_strategy("one"), 4)
    alone = Evaluator(scaled(1.0), make_strategy("one"), 4)
    both = [evaluate(make_split(REDS, LABELS)) for evaluate in (result, alone)]
    assert both[0].top1_error == both[1].top1_error
    assert both[0].loss == pytest.approx(both[1].loss, rel=1e-6)


def test_what_does_not_go_together_is_refused():
    one = make_classifier()
    other = Classifier(one.model, one.preprocessor, one.classes[::-1])
    with pytest.raises(UserError, match="same classes .*8 .a, .*8 .h, "):
        Ensemble([one, other])
