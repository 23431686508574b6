"""One training step: its gradient, its norms, its clipping, in parts, on replicas, under XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.applications import AlexNet
from alexnet_tf.data.augmentations import Images, draw
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.models.variants import get_variant, variants
from alexnet_tf.towers.network import build_towers
from alexnet_tf.towers.training import SplitNetwork, TowersSGD
from alexnet_tf.training.network import TrainableNetwork
from alexnet_tf.training.optimizer import PaperSGD
from alexnet_tf.training.train_step import make_train_steps
from tests.figures.contexts import narrow
from tests.training.without_dropout import tiny_without_dropout, without_dropout

CLASSES = 10


def make_batch(spec, size):
    """Noise, with the random numbers that the pipeline would send along."""
    random = np.random.default_rng(0)
    index = tf.range(size, dtype=tf.int64)
    pixels = random.integers(0, 256, (size, spec.crop_size, spec.crop_size, 3), np.uint8)
    images = Images(0, tf.zeros_like(index), index, index, spec)
    draws = draw(images, ("crop", "flip", "pca_noise"))
    return {
        "image": tf.constant(pixels),
        "label": tf.constant(random.integers(0, CLASSES, size)),
        "weight": tf.ones([size]),
        **draws,
    }


def make_preprocessor(spec):
    random = np.random.default_rng(1)
    mean = random.uniform(100, 150, (spec.image_size, spec.image_size, 3)).astype(np.float32)
    return Preprocessor(spec, Statistics(mean, np.ones(3, np.float32), np.eye(3, dtype=np.float32)))


class Step:
    """One step without momentum or decay: the velocity after it is minus the gradient."""

    def __init__(
        self,
        size,
        strategy=None,
        precision="float32",
        clip_norm=None,
        variant=None,
        towers=None,
        freeze=(),
        **arguments,
    ):
        strategy = strategy or tf.distribute.get_strategy()
        variant = variant or tiny_without_dropout()
        keras.utils.set_random_seed(0)
        with strategy.scope():
            keras.config.set_dtype_policy(precision)
            self.model = AlexNet(variant, classes=CLASSES)
            if towers:
                self.model = build_towers(variant, CLASSES, towers)
            keras.config.set_dtype_policy("float32")
            for name in freeze:
                self.model.get_layer(name).trainable = False
            kind = TowersSGD if towers else PaperSGD
            self.sgd = kind(1.0, 0.0, 0.0, gradients_reduced=True, global_clipnorm=clip_norm)
            optimizer = self.sgd
            if precision == "mixed_float16":
                optimizer = keras.optimizers.LossScaleOptimizer(self.sgd, initial_scale=2.0**7)
            optimizer.build(self.model.trainable_variables)
        network = (SplitNetwork if towers else TrainableNetwork)(self.model, optimizer)
        self.network = network
        self.preprocessor = make_preprocessor(variant.preprocessing)
        self.batch = make_batch(variant.preprocessing, size)
        dataset = tf.data.Dataset.from_tensors(self.batch).unbatch()
        dataset = dataset.batch(size, drop_remainder=True).repeat()
        self.train_steps = make_train_steps(strategy, network, self.preprocessor, size, **arguments)
        self.batches = iter(strategy.experimental_distribute_dataset(dataset))
        self.metrics = self.train_steps(self.batches, tf.constant(1))

    @property
    def gradients(self):
        return [-velocity.numpy() for velocity in self.sgd.velocities]


def plain_gradients(step):
    """Of the mean loss, on one device, by Keras's own means."""
    keras.utils.set_random_seed(0)
    model = AlexNet(tiny_without_dropout(), classes=CLASSES)  # as it was before the step
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        value = loss(step.batch["label"], model(step.preprocessor.training(step.batch)))
    return [gradient.numpy() for gradient in tape.gradient(value, model.trainable_variables)]


def assert_same(actual, expected, tolerance):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance * np.abs(other).max(), rtol=0)


@pytest.fixture(scope="module")
def whole():
    """A batch of the paper's size in one piece."""
    return Step(128)


def test_the_gradient_belongs_to_the_mean_loss(whole):
    assert_same(whole.gradients, plain_gradients(whole), 1e-5)


def test_norms_of_gradients_and_updated_weights(whole):
    norms = [np.linalg.norm(gradient.ravel()) for gradient in whole.gradients]
    np.testing.assert_allclose(whole.metrics["gradient_norms"], norms, rtol=1e-5)
    weights = [np.linalg.norm(w.numpy().ravel()) for w in whole.model.trainable_variables]
    np.testing.assert_allclose(whole.metrics["weight_norms"], weights, rtol=1e-5)


def test_four_parts_of_32_images_give_the_gradient_of_128(whole):
    assert_same(Step(128, accumulate=4).gradients, whole.gradients, 1e-5)


def test_parts_of_a_batch_give_the_gradient_of_the_whole_on_two_towers():
    whole, parts = (
        Step(8, towers=("/CPU:0", "/CPU:1"), accumulate=parts).gradients for parts in (1, 2)
    )
    assert_same(parts, whole, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_replicas_clip_and_measure_the_sum_of_their_gradients(two_replicas, precision):
    """Their shares are larger than the sum: clipped one by one they would be clipped too much."""
    norm = np.sqrt(np.sum(np.square(Step(8).metrics["gradient_norms"])))
    alone = Step(8, precision=precision, clip_norm=norm / 2)
    replicas = Step(8, two_replicas, precision, clip_norm=norm / 2)
    tolerance = 1e-5 if precision == "float32" else 2e-2  # float16 has 10 bits
    assert_same(replicas.gradients, alone.gradients, tolerance)
    for step in (alone, replicas):
        clipped = np.sqrt(sum(np.sum(np.square(gradient)) for gradient in step.gradients))
        np.testing.assert_allclose(clipped, norm / 2, rtol=1e-3)
        measured = np.sqrt(np.sum(np.square(step.metrics["gradient_norms"])))  # before clipping
        np.testing.assert_allclose(measured, norm, rtol=max(tolerance, 1e-4))


def test_a_gradient_below_the_clipping_norm_is_left_alone():
    plain = Step(8)
    norm = np.sqrt(np.sum(np.square(plain.metrics["gradient_norms"])))
    assert_same(Step(8, clip_norm=2 * norm).gradients, plain.gradients, 1e-7)


def test_each_part_of_a_batch_has_dropout_masks_of_its_own():
    """The states of dropout are written inside the loop over parts."""
    tiny = get_variant("tiny")
    parts, steps = Step(8, variant=tiny, accumulate=3 + 1), Step(8, variant=tiny)
    steps.train_steps(steps.batches, tf.constant(3))
    for one, other in zip(
        parts.model.non_trainable_variables, steps.model.non_trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_parts_of_a_batch_are_compiled_too():
    assert_same(Step(8, accumulate=2, jit_compile=True).gradients, Step(8).gradients, 1e-5)


def test_a_step_that_spoils_the_weights_is_the_last_of_its_call():
    """The loss of that step was computed with the weights before it."""
    step = Step(8)
    step.sgd.learning_rate = 1e30
    metrics = step.train_steps(step.batches, tf.constant(4))
    assert metrics["steps"] == 1 and np.isfinite(metrics["loss"])
    assert not np.isfinite(metrics["weight_norms"]).all()


def form_of(name):
    """A variant with fewer maps and units, to be compiled sooner; tiny as it is."""
    return get_variant(name) if name.startswith("tiny") else narrow(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", variants())
def test_the_compiled_step_is_the_same_step(name):
    """Without dropout, which XLA draws otherwise.

    Rounding may choose another pixel in a pool, and move one map's gradient by 1 %: hence norms. Of
    an eighth of the maps one is more.
    """
    variant = without_dropout(get_variant(name) if name == "paper" else form_of(name))
    compiled, plain = (Step(2, variant=variant, jit_compile=jit) for jit in (True, False))
    np.testing.assert_allclose(compiled.metrics["loss"], plain.metrics["loss"], rtol=1e-5)
    for one, other in zip(compiled.gradients, plain.gradients, strict=True):
        assert np.linalg.norm(one - other) < 2e-2 * np.linalg.norm(other)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", variants())
def test_xla_compiles_the_whole_step(name, precision):
    """Augmentation, forward, backward, update: what a TPU would be given."""
    step = Step(2, precision=precision, variant=form_of(name), jit_compile=True)
    assert np.isfinite(step.metrics["loss"])
    for variable, norm in zip(
        step.model.trainable_variables, step.metrics["gradient_norms"], strict=True
    ):
        assert np.isfinite(norm) and norm > 0, variable.path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper", "code2012"])
def test_gradients_of_the_full_network_follow_its_finite_differences(name):
    """In float64; of each variable a weight whose gradient is large, and two at random."""
    model = keras.models.clone_model(
        AlexNet(name, classes=CLASSES),
        clone_function=lambda each: each.from_config({**each.get_config(), "dtype": "float64"}),
    )
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(0, 60, (1, 224, 224, 3)))  # as large as less their mean

    @tf.function
    def loss():
        return -tf.nn.log_softmax(model(images))[0, 3]

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            value = loss()
        return tape.gradient(value, model.trainable_variables)

    for variable, gradient in zip(model.trainable_variables, gradients(), strict=True):
        gradient = gradient.numpy()
        alive = np.argwhere(np.abs(gradient) > 0.1 * np.abs(gradient).max())
        places = [random.choice(alive), *(random.integers(gradient.shape) for _ in range(2))]
        for place in map(tuple, places):
            np.testing.assert_allclose(
                gradient[place],
                slope(loss, variable, place),
                rtol=1e-4,
                atol=1e-8,  # of a loss of 2, in differences of 1e-6, the rounding
                err_msg=f"{variable.path} {place}",
            )


def slope(loss, variable, place, width=1e-6):
    """A finite difference, so small that no ReLU and no maximum changes sides on the way."""
    before = variable.value[place].numpy()
    values = []
    for side in (width, -width, 0.0):  # the last one restores it
        tf.raw_ops.ResourceScatterNdUpdate(
            ref=variable.value.handle, indices=[place], updates=[before + side]
        )
        if side:
            values.append(loss().numpy())
    return (values[0] - values[1]) / (2 * width)
