import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.layers import LocalResponseNormalization


def reference(a, size=5, k=2.0, alpha=1e-4, beta=0.75, divide_by_size=False, towers=1):
    """Paper §3.3's formula over the last axis, in float64; a tower's N maps at a time."""
    a = np.asarray(a, np.float64)
    b = np.empty_like(a)
    N = a.shape[-1] // towers  # noqa: N806 - the paper's name
    for tower in range(towers):
        for i in range(N):
            total = 0.0
            for j in range(max(0, i - size // 2), min(N - 1, i + (size - 1) // 2) + 1):
                total = total + a[..., tower * N + j] ** 2
            weight = alpha / size if divide_by_size else alpha
            b[..., tower * N + i] = a[..., tower * N + i] / (k + weight * total) ** beta
    return b


SETTINGS = [
    {},  # the paper's
    {"alpha": 0.05},
    {"alpha": 0.05, "towers": 2},
    {"alpha": 0.05, "divide_by_size": True, "k": 1.0},
    {"alpha": 0.05, "size": 4},  # the longer half lies before the map
    {"alpha": 0.05, "size": 2, "towers": 2, "divide_by_size": True},
    {"alpha": 0.05, "size": 1},
    {"alpha": 0.05, "size": 31},  # wider than there are maps
    {"alpha": 0.05, "beta": 0.5},
    {"alpha": 0.05, "beta": 1.0, "towers": 4},
]


# At test the layer is ordinary operations, in training XLA compiles it.
both_forms = pytest.mark.parametrize("training", [False, True], ids=["test", "training"])


def responses(*shape):
    return np.random.default_rng(0).normal(0, 10, shape).astype(np.float32)


@both_forms
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_matches_the_papers_formula(settings, training):
    x = responses(2, 3, 3, 16)
    actual = LocalResponseNormalization(**settings)(x, training=training)
    np.testing.assert_allclose(actual, reference(x, **settings), rtol=1e-5)


@both_forms
@pytest.mark.parametrize("axis", [1, 2, 3, -1, -3])
def test_maps_along_any_axis(axis, training):
    x = responses(2, 3, 4, 16)
    layer = LocalResponseNormalization(alpha=0.05, towers=2, axis=axis)
    actual = np.moveaxis(layer(np.moveaxis(x, -1, axis), training=training), axis, -1)
    np.testing.assert_allclose(actual, reference(x, alpha=0.05, towers=2), rtol=1e-5)


@both_forms
@pytest.mark.parametrize("radius, bias, alpha, beta", [(2, 2.0, 1e-4, 0.75), (3, 1.0, 0.1, 0.5)])
def test_matches_tensorflows_own(radius, bias, alpha, beta, training, output_and_gradient):
    x = tf.constant(responses(2, 5, 5, 96))
    layer = LocalResponseNormalization(size=2 * radius + 1, k=bias, alpha=alpha, beta=beta)
    expected = output_and_gradient(
        lambda x: tf.nn.local_response_normalization(x, radius, bias, alpha, beta), x
    )
    actual = output_and_gradient(lambda x: layer(x, training=training), x)
    for mine, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6 * np.abs(theirs).max())


@pytest.mark.parametrize(
    "settings, expected",
    [
        # Sums of neighbours' squares: 1 + 4, 1 + 4 + 9, 4 + 9 + 16, 9 + 16.
        ({}, [1 / 6**0.5, 2 / 15**0.5, 3 / 30**0.5, 4 / 26**0.5]),
        # 1 + 4 and 9 + 16 alone, a third of each.
        (
            {"towers": 2, "divide_by_size": True},
            [1 / (8 / 3) ** 0.5, 2 / (8 / 3) ** 0.5, 3 / (28 / 3) ** 0.5, 4 / (28 / 3) ** 0.5],
        ),
    ],
)
def test_worked_by_hand(settings, expected):
    layer = LocalResponseNormalization(size=3, k=1.0, alpha=1.0, beta=0.5, **settings)
    np.testing.assert_allclose(layer(np.array([[1.0, 2.0, 3.0, 4.0]])), [expected], rtol=1e-6)


@both_forms
@pytest.mark.parametrize("towers, expected", [(2, 29.9), (1, 23.2)])
def test_the_window_crosses_towers_only_by_the_papers_letter(towers, expected, training):
    """Map 47 is the first tower's last: it has two neighbours there, and four in all."""
    layer = LocalResponseNormalization(towers=towers)
    y = layer(np.full((1, 96), 100, np.float32), training=training)
    assert float(y[0, 47]) == pytest.approx(expected, abs=0.05)


def test_defaults_are_the_papers():
    """Ones among ones: five neighbours, three at the ends."""
    y = LocalResponseNormalization()(np.ones((1, 96), np.float32))[0]
    np.testing.assert_allclose(y[48], (2 + 5e-4) ** -0.75, rtol=1e-6)
    np.testing.assert_allclose(y[0], (2 + 3e-4) ** -0.75, rtol=1e-6)


@both_forms
@pytest.mark.parametrize("settings", SETTINGS[1:], ids=str)
def test_gradient(settings, training, numerical_gradient):
    x, weights = responses(1, 16), np.linspace(-1, 2, 16, dtype=np.float32)
    layer = LocalResponseNormalization(**settings)
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = tf.reduce_sum(layer(tensor, training=training) * weights)
    expected = numerical_gradient(lambda a: np.sum(reference(a, **settings) * weights), x)
    actual = tape.gradient(loss, tensor)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


@both_forms
def test_float64_stays_exact(training):
    x = responses(2, 3, 3, 16).astype(np.float64)
    layer = LocalResponseNormalization(alpha=0.05, dtype="float64")
    actual = layer(x, training=training)
    np.testing.assert_allclose(actual, reference(x, alpha=0.05), rtol=1e-13)


@pytest.mark.parametrize(
    "policy, epsilon", [("mixed_bfloat16", 2.0**-8), ("mixed_float16", 2.0**-11)]
)
def test_training_in_16_bits_is_close_to_float32(policy, epsilon):
    """Of responses whose squares do not fit into float16."""
    x = tf.constant(15 * responses(2, 3, 3, 16))

    def output_and_gradient(layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        assert y.dtype == layer.compute_dtype
        return tf.cast(y, tf.float32), tape.gradient(y, x)

    exact = output_and_gradient(LocalResponseNormalization())
    rounded = output_and_gradient(LocalResponseNormalization(dtype=policy))
    for expected, actual in zip(exact, rounded, strict=True):
        atol = 4 * epsilon * np.abs(expected).mean()
        np.testing.assert_allclose(actual, expected, rtol=4 * epsilon, atol=atol)


def test_training_keeps_nothing_but_the_input():
    """For the gradient; sums and powers would be as large again, each."""
    layer = LocalResponseNormalization()

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, x)

    graph = gradient.get_concrete_function(tf.TensorSpec([2, 5, 5, 96])).graph
    made = [o for op in graph.get_operations() for o in op.outputs if o.shape.rank == 4]
    calls = [t for t in made if "PartitionedCall" in t.op.type]
    assert len(calls) == 2  # forward and backward
    assert not {t.op.type for t in made} & {"Mul", "Square", "Rsqrt", "Pow", "MatMul", "Sqrt"}


def test_refuses_the_batch_axis_by_its_other_name():
    with pytest.raises(ValueError, match="batch axis"):
        LocalResponseNormalization(axis=-2)(np.ones((2, 8), "f"))
