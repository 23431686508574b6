import dataclasses
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.dataset import make_split as split_of
from alexnet_tf.data.pipeline import evaluation_dataset
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics, compute_statistics
from alexnet_tf.evaluation import evaluator
from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.evaluation.evaluator import Evaluator
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system.errors import UserError
from alexnet_tf.training.distributed import make_strategy

SPEC = Preprocessing(image_size=6, crop_size=4, mean=(0.0, 0.0, 0.0))
STATISTICS = Statistics(np.zeros((6, 6, 3), "f"), np.ones(3, "f"), np.eye(3, dtype="f"))
CLASSES = tuple("abcdefgh")


@keras.saving.register_keras_serializable(package="alexnet_tf_tests")
class RedIsRank(keras.layers.Layer):
    """Logits that fall with the distance of a class from the crop's mean red value."""

    def call(self, images):
        red = tf.reduce_mean(images[..., 0], axis=(1, 2))
        return -tf.square(red[:, None] - tf.range(len(CLASSES), dtype=tf.float32))


def make_classifier():
    inputs = keras.Input((4, 4, 3))
    return Classifier(
        keras.Model(inputs, RedIsRank()(inputs)), Preprocessor(SPEC, STATISTICS), CLASSES
    )


def make_split(reds, labels):
    """PNGs of one red value each; None makes a broken one."""
    encoded = [
        b"broken"
        if red is None
        else tf.io.encode_png(np.full((6, 6, 3), [red, 0, 0], np.uint8)).numpy()
        for red in reds
    ]
    return split_of(encoded, labels)


# Red r ranks the classes by their distance from r: 0 is a b c d e f g h, 3 is d ce bf ag h.
REDS = [0, 0, 0, 1, 7, 3, 2]
LABELS = [0, 1, 5, 1, 7, 7, 2]
TOP1_CORRECT, TOP5_CORRECT = 4, 5  # images 0, 3, 4, 6; and 1


def softmax_loss(red, label):
    logits = -np.square(red - np.arange(len(CLASSES), dtype=np.float64))
    return np.log(np.exp(logits).sum()) - logits[label]


# Every pair of a strategy, a batch size and a number of views.
@pytest.mark.parametrize(
    "strategy, batch_size, views",
    [
        *[("one", 2, 1), ("one", 4, 10), ("one", 8, 1)],
        *[("mirrored", 2, 10), ("mirrored", 4, 1), ("mirrored", 8, 10)],
    ],
)
def test_errors_are_those_counted_by_hand(strategy, batch_size, views, two_replicas):
    strategy = two_replicas if strategy == "mirrored" else make_strategy("one")
    with strategy.scope():
        classifier = make_classifier()
    result = Evaluator(classifier, strategy, batch_size, views)(make_split(REDS, LABELS))
    assert (result.examples, result.unreadable, result.views) == (7, 0, views)
    assert result.top1_error == (7 - TOP1_CORRECT) / 7
    assert result.top5_error == (7 - TOP5_CORRECT) / 7
    losses = [softmax_loss(red, label) for red, label in zip(REDS, LABELS, strict=True)]
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("batch_size", [2, 8])
def test_predictions_are_in_the_order_of_the_split(batch_size, two_replicas):
    with two_replicas.scope():
        classifier = make_classifier()
    split = make_split([*REDS, None], [*LABELS, 3])
    predictions = Evaluator(classifier, two_replicas, batch_size).predict(split)
    assert predictions.labels.tolist() == [*LABELS, 3]
    assert predictions.readable.tolist() == [True] * 7 + [False]
    assert predictions.predicted[:7, 0].tolist() == REDS
    assert predictions.predicted[0].tolist() == [0, 1, 2, 3, 4]
    assert predictions.predicted[5].tolist() == [3, 2, 4, 1, 5]  # ties by index
    probabilities = [np.exp(-softmax_loss(7, label)) for label in predictions.predicted[4]]
    np.testing.assert_allclose(predictions.probabilities[4], probabilities, rtol=1e-4)


def test_an_example_that_is_missing_or_counted_twice_is_an_error(monkeypatch):
    evaluate = Evaluator(make_classifier(), make_strategy("one"), 4)

    def twice(*arguments, **keywords):
        return evaluation_dataset(*arguments, **keywords).repeat(2)

    def without_some(*arguments, **keywords):
        return evaluation_dataset(*arguments, **keywords).skip(1)

    for spoilt in (twice, without_some):
        monkeypatch.setattr(evaluator, "evaluation_dataset", spoilt)
        with pytest.raises(AssertionError, match="counted twice, or not at all"):
            evaluate(make_split(REDS, LABELS))


def test_unreadable_images_are_counted_apart():
    evaluate = Evaluator(make_classifier(), make_strategy("one"), 4)
    result = evaluate(make_split([0, None, 1, None], [0, 0, 0, 0]))
    assert (result.examples, result.unreadable) == (2, 2)
    assert result.top1_error == 0.5
    assert "2 unreadable" in str(result)
    with pytest.raises(UserError, match="None of the 1 images can be used: 1 unreadable"):
        evaluate(make_split([None], [0]))
    with pytest.raises(UserError, match="an empty one"):
        evaluate(make_split([], []))


def test_views_are_averaged_as_probabilities_not_logits():
    image = np.zeros((1, 6, 6, 3), np.uint8)
    image[0, :3, :3, 0] = 28  # only the view from the top left sees all of it
    classifier = make_classifier()
    views = classifier.preprocessor.views(tf.constant(image), 10)[0]
    logits = classifier.model(views).numpy().astype(np.float64)
    expected = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).mean(axis=0)
    assert np.ptp(logits, axis=0).max() > 1
    result = classifier.probabilities(tf.constant(image), 10)[0]
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "work",
    [
        lambda split: Evaluator(make_classifier(), make_strategy(), 8, views=10).predict(split),
        lambda split: compute_statistics(split, SPEC),
    ],
    ids=["evaluation", "statistics"],
)
def test_ctrl_c_ends_a_pass_after_the_batch_at_hand(work):
    """Where no run could be saved; the batches that are decoded ahead are not waited for."""
    count, seen = 20_000, []

    def note(indices):
        seen.extend(indices)
        if len(seen) == len(indices):
            os.kill(os.getpid(), signal.SIGINT)
        return indices

    def parse(records):
        index = tf.ensure_shape(tf.numpy_function(note, [records["index"]], tf.int64), [None])
        images, labels = whole.parse({"index": tf.zeros_like(index)})
        return images, labels

    whole = make_split(REDS, LABELS)
    split = dataclasses.replace(
        whole,
        lengths=(count,),
        read=lambda shard: tf.data.Dataset.range(count).map(lambda i: {"index": i}),
        parse=parse,
    )
    with pytest.raises(KeyboardInterrupt):
        work(split)
    assert 0 < len(seen) < count / 2


def test_a_stopped_evaluation_returns_nothing():
    evaluate = Evaluator(make_classifier(), make_strategy("one"), 2)
    assert evaluate(make_split(REDS, LABELS), stop=lambda: True) is None


def test_equal_probabilities_are_not_correct_for_every_class():
    @keras.saving.register_keras_serializable(package="alexnet_tf_tests")
    class Flat(keras.layers.Layer):
        def call(self, images):
            return tf.zeros([tf.shape(images)[0], len(CLASSES)])

    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, Flat()(inputs))
    classifier = Classifier(model, Preprocessor(SPEC, STATISTICS), CLASSES)
    result = Evaluator(classifier, make_strategy("one"), 8)(make_split([0] * 8, range(8)))
    assert (result.top1_error, result.top5_error) == (7 / 8, 3 / 8)
