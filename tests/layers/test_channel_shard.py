"""Layers that draw random numbers, applied to a part of the maps or units at a time."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.layers import InvertedDropout, NoisyReLU, UnscaledDropout

UNITS = tf.random.stateless_uniform((50, 2, 12), (1, 2), 1.0, 2.0)


@pytest.mark.parametrize("kind", [UnscaledDropout, InvertedDropout, NoisyReLU])
@pytest.mark.parametrize("parts", [2, 3])
def test_parts_side_by_side_are_the_whole(kind, parts):
    whole = kind(seed=1)(UNITS, training=True)
    pieces = [
        kind(seed=1, share=(number, parts))(piece, training=True)
        for number, piece in enumerate(tf.split(UNITS, parts, axis=-1))
    ]
    np.testing.assert_array_equal(tf.concat(pieces, axis=-1), whole)
    assert np.any(pieces[0] != pieces[1])


@pytest.mark.parametrize("kind", [UnscaledDropout, NoisyReLU])
@pytest.mark.parametrize("share", [(2, 2), (-1, 2), (0, 0)])
def test_refuses_parts_that_do_not_exist(kind, share):
    with pytest.raises(ValueError, match=r"`share` must be .*Received: \("):
        kind(share=share)
