import collections

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.training.optimizer import PaperSGD

SHAPES = {"conv1/kernel": (3, 3, 2, 4), "conv1/bias": (4,), "fc8/kernel": (6, 5), "fc8/bias": (5,)}
STEPS = 20
# Large enough for each term of the rule to count within 20 steps.
RATE, MOMENTUM, DECAY = 0.1, 0.9, 0.1


def make_variables(seed=0):
    rng = np.random.default_rng(seed)
    variables = []
    for path, shape in SHAPES.items():
        layer, name = path.split("/")
        with keras.name_scope(layer):
            variables.append(keras.Variable(rng.normal(size=shape), dtype="float32", name=name))
    assert [variable.path for variable in variables] == [*SHAPES]
    return variables


def make_gradients(steps=STEPS):
    rng = np.random.default_rng(1)
    return [
        [rng.normal(size=shape).astype(np.float32) for shape in SHAPES.values()]
        for _ in range(steps)
    ]


def make_optimizer(**arguments):
    return PaperSGD(RATE, momentum=MOMENTUM, weight_decay=DECAY, **arguments)


def train(optimizer, variables, gradients, wrap=lambda step: step):
    """Values of the variables by path after a step for each row of gradients."""
    optimizer.build(variables)

    def step(*row):
        optimizer.apply(row, variables)

    step = wrap(step)
    for row in gradients:
        step(*map(tf.constant, row))
    return {variable.path: np.asarray(variable) for variable in variables}


def reference(gradients, decays=lambda path: path.endswith("kernel"), rate=lambda path, step: 1.0):
    """v ← momentum · v - decay · ε · w - ε · g; w ← w + v (paper §5), in float64."""
    weights = {v.path: np.asarray(v, np.float64) for v in make_variables()}
    velocity = collections.defaultdict(float)
    for step, row in enumerate(gradients):
        for (path, w), g in zip(weights.items(), row, strict=True):
            epsilon = RATE * rate(path, step)
            decay = DECAY if decays(path) else 0.0
            velocity[path] = MOMENTUM * velocity[path] - decay * epsilon * w - epsilon * g
            weights[path] = w + velocity[path]
    return weights


def assert_close(actual, expected):
    assert actual.keys() == expected.keys()
    for path in expected:
        np.testing.assert_allclose(actual[path], expected[path], rtol=1e-5, atol=1e-5)


def assert_equal(actual, expected):
    for path in expected:
        np.testing.assert_array_equal(actual[path], expected[path], path)


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda step: step, id="eager"),
        pytest.param(tf.function, id="graph"),
        pytest.param(lambda step: tf.function(step, jit_compile=True), id="xla"),
    ],
)
def test_follows_the_papers_rule(wrap):
    actual = train(make_optimizer(), make_variables(), make_gradients(), wrap)
    assert_close(actual, reference(make_gradients()))


def test_defaults_are_the_papers():
    optimizer = PaperSGD()
    assert float(optimizer.learning_rate) == np.float32(0.01)
    assert (optimizer.momentum, optimizer.decay) == (0.9, 0.0005)


@pytest.mark.parametrize(
    "excluded, decays",
    [
        (None, lambda path: True),
        ("", lambda path: False),
        ("conv1", lambda path: path.startswith("fc8")),
    ],
)
def test_variables_excluded_from_weight_decay(excluded, decays):
    optimizer = make_optimizer(exclude_from_weight_decay=excluded)
    actual = train(optimizer, make_variables(), make_gradients())
    assert_close(actual, reference(make_gradients(), decays))


def test_rate_multipliers():
    """The product of those that match."""
    multipliers = {"conv1": 0.5, "bias$": 2.0}
    actual = train(make_optimizer(rate_multipliers=multipliers), make_variables(), make_gradients())
    factors = {"conv1/kernel": 0.5, "conv1/bias": 1.0, "fc8/kernel": 1.0, "fc8/bias": 2.0}
    assert_close(actual, reference(make_gradients(), rate=lambda path, step: factors[path]))


def test_multiply_rate_on_the_way():
    """From then on, also in a step that is compiled already; what v holds stays."""
    optimizer, variables, gradients = make_optimizer(), make_variables(), make_gradients()
    optimizer.build(variables)
    compiled = tf.function(lambda *row: optimizer.apply(row, variables))
    train(optimizer, variables, gradients[:10], lambda step: compiled)
    assert optimizer.multiply_rate("^conv1/", 0.1) == ["conv1/kernel", "conv1/bias"]
    actual = train(optimizer, variables, gradients[10:], lambda step: compiled)

    def rate(path, step):
        return 0.1 if step >= 10 and path.startswith("conv1/") else 1.0

    assert_close(actual, reference(gradients, rate=rate))


def test_learning_rate_can_change_on_the_way():
    optimizer, variables, gradients = make_optimizer(), make_variables(), make_gradients()
    train(optimizer, variables, gradients[:10])
    optimizer.learning_rate = RATE / 10
    actual = train(optimizer, variables, gradients[10:])
    assert_close(actual, reference(gradients, rate=lambda path, step: 0.1 if step >= 10 else 1))


def test_a_multiplier_of_zero_freezes():
    optimizer, variables, gradients = make_optimizer(), make_variables(), make_gradients()
    before = train(optimizer, variables, gradients[:10])
    assert all(np.any(velocity) for velocity in optimizer.velocities)  # they would go on moving
    optimizer.multiply_rate("conv1", 0)
    after = train(optimizer, variables, gradients[10:])
    for path in SHAPES:
        if path.startswith("conv1"):
            np.testing.assert_array_equal(after[path], before[path])
        else:
            assert np.all(after[path] != before[path])


@pytest.mark.parametrize("decay, same", [(0.0, True), (DECAY, False)])
def test_keras_decays_outside_the_velocity(decay, same):
    gradients = make_gradients()
    ours = train(
        PaperSGD(RATE, MOMENTUM, decay, exclude_from_weight_decay=None), make_variables(), gradients
    )
    keras_own = train(
        keras.optimizers.SGD(RATE, MOMENTUM, weight_decay=decay or None),
        make_variables(),
        gradients,
    )
    difference = max(np.abs(ours[path] - keras_own[path]).max() for path in SHAPES)
    assert difference < 1e-5 if same else difference > 0.1


def test_config_round_trip():
    arguments = {"exclude_from_weight_decay": "fc8", "rate_multipliers": {"conv1": 0.5}}
    optimizer = make_optimizer(**arguments)
    config = optimizer.get_config()
    for copy in (
        PaperSGD.from_config(config),
        keras.optimizers.deserialize(keras.optimizers.serialize(optimizer)),
    ):
        assert copy.get_config() == config
        expected = train(make_optimizer(**arguments), make_variables(), make_gradients())
        assert_equal(train(copy, make_variables(), make_gradients()), expected)


def test_a_configuration_of_version_0_1_is_read():
    config = make_optimizer(exclude_from_weight_decay="fc8", gradients_reduced=True).get_config()
    old = {**config, "in_place": True}
    old["undecayed"] = old.pop("exclude_from_weight_decay")
    old["summed"] = old.pop("gradients_reduced")
    assert PaperSGD.from_config(old).get_config() == config


def test_replicas_add_their_gradients_up(two_replicas):
    gradients = make_gradients()
    with two_replicas.scope():
        variables = make_variables()
        optimizer = make_optimizer(rate_multipliers={"bias": 2.0})
        optimizer.build(variables)

    def share_of_the_replica(*row):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        share = tf.where(tf.equal(replica, 0), 0.25, 0.75)
        optimizer.apply([gradient * share for gradient in row], variables)

    step = tf.function(lambda *row: two_replicas.run(share_of_the_replica, row))
    train(optimizer, variables, gradients[:10], lambda _: step)
    optimizer.multiply_rate("conv1/kernel", 0)
    actual = train(optimizer, variables, gradients[10:], lambda _: step)

    alone = make_optimizer(rate_multipliers={"bias": 2.0})
    expected_variables = make_variables()
    train(alone, expected_variables, gradients[:10])
    alone.multiply_rate("conv1/kernel", 0)
    assert_close(actual, train(alone, expected_variables, gradients[10:]))
    for variable in variables:
        first, second = two_replicas.experimental_local_results(variable.value)
        np.testing.assert_array_equal(first, second)


def test_goes_on_from_a_checkpoint(tmp_path):
    gradients = make_gradients()
    optimizer, variables = make_optimizer(), make_variables()
    train(optimizer, variables, gradients[:10])
    optimizer.multiply_rate("conv1/kernel", 0.5)
    optimizer.learning_rate = RATE / 2
    checkpoint = tf.train.Checkpoint(optimizer=optimizer, variables=variables)
    path = checkpoint.write(str(tmp_path / "checkpoint"))
    expected = train(optimizer, variables, gradients[10:])

    fresh_optimizer, fresh_variables = make_optimizer(), make_variables(seed=5)
    fresh_optimizer.build(fresh_variables)
    fresh = tf.train.Checkpoint(optimizer=fresh_optimizer, variables=fresh_variables)
    fresh.read(path).assert_consumed()
    assert_equal(train(fresh_optimizer, fresh_variables, gradients[10:]), expected)
    assert fresh_optimizer.iterations == STEPS


@pytest.mark.parametrize(
    "arguments",
    [
        {"learning_rate": -1.0},
        {"momentum": -0.1},
        {"momentum": 1.0},
        {"weight_decay": -0.1},
        {"rate_multipliers": {"bias": -1.0}},
    ],
    ids=str,
)
def test_refuses_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match="Received: "):
        PaperSGD(**arguments)


@pytest.mark.parametrize("pattern, multiplier", [("conv1", -1.0), ("conv9", 0.5)])
def test_refuses_multipliers_that_cannot_be_meant(pattern, multiplier):
    optimizer = PaperSGD()
    optimizer.build(make_variables())
    with pytest.raises(ValueError, match="Received: "):
        optimizer.multiply_rate(pattern, multiplier)
    with pytest.raises(ValueError, match="Received: "):
        PaperSGD(rate_multipliers={pattern: multiplier}).build(make_variables())


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_updates_variables_of_other_precisions(dtype):
    variable = keras.Variable([1.0, 2.0], dtype=dtype, name="kernel")
    optimizer = PaperSGD(0.5, momentum=0.5, weight_decay=0.0)
    for _ in range(2):
        optimizer.apply_gradients([(tf.cast([1.0, 1.0], dtype), variable)])
    # v = -.5, then -.25 - .5
    np.testing.assert_allclose(tf.cast(variable, tf.float32), [-0.25, 0.75])
