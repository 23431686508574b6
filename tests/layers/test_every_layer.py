"""What all our layers promise: each way to run them, 16 bits, saving, and clear refusals."""

import functools
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.layers import (
    GroupedConv2D,
    InvertedDropout,
    LocalResponseNormalization,
    NoisyReLU,
    UnscaledDropout,
    WithinMapResponseNormalization,
)

# Each layer with no argument at its default, so that one that gets lost shows.
ARGUMENTS = {
    LocalResponseNormalization: {
        "size": 4,
        "k": 1.5,
        "alpha": 0.01,
        "beta": 0.6,
        "divide_by_size": True,
        "towers": 2,
        "axis": 3,
    },
    WithinMapResponseNormalization: {"size": 3, "k": 1.5, "alpha": 0.01, "beta": 0.6},
    GroupedConv2D: {
        "filters": 12,
        "kernel_size": 3,
        "groups": 4,
        "strides": 2,
        "padding": "valid",
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.2, seed=1),
        "bias_initializer": keras.initializers.Constant(0.5),
    },
    UnscaledDropout: {"rate": 0.3, "seed": 1},
    InvertedDropout: {"rate": 0.3, "seed": 1},
    NoisyReLU: {"seed": 1},
}
LAYERS = {kind.__name__: functools.partial(kind, **ARGUMENTS[kind]) for kind in ARGUMENTS}
RANDOM = {name: LAYERS[name] for name in ("UnscaledDropout", "InvertedDropout", "NoisyReLU")}
# Responses as large as conv1's: their squares do not fit into float16.
IMAGES = tf.constant(np.random.default_rng(0).normal(0, 150, (2, 7, 6, 8)), tf.float32)

every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
random_layers = pytest.mark.parametrize("make", RANDOM.values(), ids=RANDOM)


@every_layer
def test_eager_graph_and_xla_agree(make, output_and_gradient):
    layer = make()
    layer(IMAGES)
    both = functools.partial(output_and_gradient, layer)
    eager = both(IMAGES)
    for jit_compile in (False, True):
        compiled = tf.function(both, jit_compile=jit_compile)(IMAGES)
        for expected, actual in zip(eager, compiled, strict=True):
            scale = np.abs(expected).max()
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6 * scale)


@every_layer
def test_inside_a_dataset(make):
    layer = make()
    expected = layer(IMAGES)
    (actual,) = tf.data.Dataset.from_tensors(IMAGES).map(layer)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@every_layer
@pytest.mark.parametrize(
    "policy, epsilon", [("mixed_bfloat16", 2.0**-8), ("mixed_float16", 2.0**-11)]
)
def test_mixed_precision_is_close_to_float32(make, policy, epsilon):
    exact, mixed = make(), make(dtype=policy)
    expected, actual = exact(IMAGES), mixed(IMAGES)
    assert actual.dtype == policy.removeprefix("mixed_")
    assert all(weight.dtype == "float32" for weight in mixed.trainable_weights)
    tolerance = 4 * epsilon
    np.testing.assert_allclose(
        tf.cast(actual, tf.float32),
        expected,
        rtol=tolerance,
        atol=tolerance * np.abs(expected).mean(),
    )


@every_layer
def test_output_shape(make):
    layer = make()
    assert layer.compute_output_shape(IMAGES.shape) == tuple(layer(IMAGES).shape)


@every_layer
def test_config_holds_every_argument(make):
    config = make().get_config()
    arguments = set(inspect.signature(make.func.__init__).parameters) - {"self", "kwargs"}
    assert arguments == set(make.keywords)
    for name in arguments:
        expected = make.keywords[name]
        if isinstance(expected, keras.Initializer):
            expected = keras.initializers.serialize(expected)
        assert config[name] == expected
    assert make.func.from_config(config).get_config() == config


@every_layer
def test_saved_model_gives_the_same_outputs(make, tmp_path):
    inputs = keras.Input(IMAGES.shape[1:])
    model = keras.Model(inputs, make(name="layer")(inputs))
    for weight in model.trainable_weights:
        weight.assign_add(tf.ones_like(weight))  # so that none is as its initialiser left it
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("layer")) is make.func
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))


@random_layers
def test_a_configuration_of_version_0_1_is_read(make):
    config = make().get_config()
    assert make.func.from_config({**config, "share": (0, 1)}).get_config() == config


@random_layers
def test_a_seed_fixes_the_draws(make):
    one, same, other = make(), make(), make(seed=2)
    draws = [one(IMAGES, training=True) for _ in range(2)]
    np.testing.assert_array_equal(same(IMAGES, training=True), draws[0])
    np.testing.assert_array_equal(same(IMAGES, training=True), draws[1])
    assert np.any(draws[0] != draws[1])
    assert np.any(other(IMAGES, training=True) != draws[0])


@random_layers
def test_draws_do_not_repeat_inside_a_function(make):
    layer = make()
    function = tf.function(lambda: layer(IMAGES, training=True))
    expected = make()
    for _ in range(2):
        np.testing.assert_allclose(function(), expected(IMAGES, training=True), rtol=1e-5)


@random_layers
def test_replicas_draw_independently(make, two_replicas):
    with two_replicas.scope():
        layer = make()
    alone = make()

    @tf.function
    def step():
        return two_replicas.run(lambda: layer(IMAGES, training=True))

    for _ in range(2):
        first, second = two_replicas.experimental_local_results(step())
        assert np.mean(np.not_equal(first, second)) > 0.2
        np.testing.assert_allclose(first, alone(IMAGES, training=True), rtol=1e-5)


@pytest.mark.parametrize(
    "kind, arguments",
    [
        (LocalResponseNormalization, {"size": 0}),
        (LocalResponseNormalization, {"k": 0}),
        (LocalResponseNormalization, {"alpha": -1e-4}),
        (LocalResponseNormalization, {"beta": -0.75}),
        (LocalResponseNormalization, {"towers": 0}),
        (LocalResponseNormalization, {"axis": 0}),
        (WithinMapResponseNormalization, {"size": 0}),
        (WithinMapResponseNormalization, {"size": 4}),
        (WithinMapResponseNormalization, {"k": 0}),
        (WithinMapResponseNormalization, {"alpha": -1e-3}),
        (WithinMapResponseNormalization, {"beta": -0.75}),
        (GroupedConv2D, {"filters": 0, "kernel_size": 3}),
        (GroupedConv2D, {"filters": 5, "kernel_size": 3}),
        (GroupedConv2D, {"filters": 4, "kernel_size": 0}),
        (GroupedConv2D, {"filters": 4, "kernel_size": 3, "groups": 0}),
        (GroupedConv2D, {"filters": 4, "kernel_size": 3, "strides": 0}),
        (GroupedConv2D, {"filters": 4, "kernel_size": 3, "padding": "SAME"}),
        (UnscaledDropout, {"rate": -0.1}),
        (UnscaledDropout, {"rate": 1.0}),
    ],
)
def test_refuses_arguments_out_of_range(kind, arguments):
    with pytest.raises(ValueError, match="Received: .*"):
        kind(**arguments)


@pytest.mark.parametrize(
    "layer",
    [LocalResponseNormalization(towers=3), GroupedConv2D(9, 3, groups=3)],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("maps", [8, None])
def test_refuses_maps_that_do_not_divide(layer, maps):
    with pytest.raises(ValueError, match=r"divide by \w+=3.*Received: input_shape="):
        layer.build((None, 7, 6, maps))
