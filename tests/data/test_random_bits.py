import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.random_bits import bits, make_key, normal, permutation, uniform

MASK = 2**64 - 1


def mix(z):
    """SplitMix64's output function on a Python integer."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_the_published_outputs_for_state_0():
    # The first numbers of Vigna's splitmix64.c when its state is 0.
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert bits(tf.constant(0, tf.uint64), 3).numpy().tolist() == expected


def test_keys_against_integer_arithmetic():
    expected = 0
    for word in (3, 2**40, 7):
        expected = mix((expected + 0x9E3779B97F4A7C15 + word) & MASK)
    assert int(make_key(3, tf.constant(2**40, tf.int64), 7)) == expected


def test_a_batch_of_keys_is_each_key_alone():
    together = uniform(make_key(5, tf.range(4, dtype=tf.int64)), 3).numpy()
    alone = [uniform(make_key(5, i), 3).numpy() for i in range(4)]
    np.testing.assert_array_equal(together, alone)


def test_uniform_numbers_are_uniform():
    draws = uniform(make_key(1, tf.range(20_000, dtype=tf.int64)), 4).numpy()
    assert draws.min() >= 0 and draws.max() < 1
    counts = np.stack([np.histogram(column, 10, (0, 1))[0] for column in draws.T])
    assert np.abs(counts - 2000).max() < 190  # 4.5 standard deviations
    assert np.abs(np.corrcoef(draws.T)[np.triu_indices(4, 1)]).max() < 0.03


def test_normal_numbers_are_normal():
    draws = normal(make_key(1, tf.range(20_000, dtype=tf.int64)), 3).numpy()
    assert np.abs(draws.mean(axis=0)).max() < 0.03
    assert np.abs(draws.std(axis=0) - 1).max() < 0.02
    assert np.abs((draws**4).mean(axis=0) - 3).max() < 0.3  # a Gaussian's fourth moment
    assert np.abs(np.corrcoef(draws.T)[np.triu_indices(3, 1)]).max() < 0.03


@pytest.mark.parametrize("length", [0, 1, 2, 1000])
def test_a_permutation_holds_every_number_once(length):
    order = permutation(make_key(9), length).numpy()
    assert sorted(order.tolist()) == list(range(length))


def test_permutations_are_unbiased():
    orders = np.stack([permutation(make_key(2, i), 4).numpy() for i in range(600)])
    counts = np.stack([np.bincount(column, minlength=4) for column in orders.T])
    assert np.abs(counts - 150).max() < 50  # 4.7 standard deviations
