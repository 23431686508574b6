"""Layers of one tower that draw random numbers."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.layers import InvertedDropout, NoisyReLU, UnscaledDropout
from alexnet_tf.towers.layers import copy_for_tower

UNITS = tf.random.stateless_uniform((50, 2, 12), (1, 2), 1.0, 2.0)


@pytest.mark.parametrize("kind", [UnscaledDropout, InvertedDropout, NoisyReLU])
@pytest.mark.parametrize("parts", [2, 3])
def test_parts_side_by_side_are_the_whole(kind, parts):
    whole = kind(seed=1)(UNITS, training=True)
    pieces = [
        copy_for_tower(kind(seed=1), "own", (number, parts))(piece, training=True)
        for number, piece in enumerate(tf.split(UNITS, parts, axis=-1))
    ]
    np.testing.assert_array_equal(tf.concat(pieces, axis=-1), whole)
    assert np.any(pieces[0] != pieces[1])


@pytest.mark.parametrize("kind", [UnscaledDropout, NoisyReLU])
@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0)])
def test_parts_that_do_not_exist_are_refused(kind, shard):
    sharded = type(copy_for_tower(kind(), "own", (0, 2)))
    with pytest.raises(ValueError, match=r"`channel_shard` must be .*Received: \("):
        sharded(channel_shard=shard)


@pytest.mark.parametrize("kind", [UnscaledDropout, InvertedDropout, NoisyReLU])
def test_a_layer_can_be_made_from_its_configuration(kind):
    layer = copy_for_tower(kind(seed=1), "own", (1, 2))
    config = layer.get_config()
    assert config["channel_shard"] == (1, 2)
    assert type(layer).from_config(config).get_config() == config
