import numpy as np

from alexnet_tf.data.moments import Moments
from tests.preparation.pictures import decode, encode, photo


def test_moments_are_numpys_of_the_decoded_pictures():
    jpegs = [encode(photo(index, 64, 64), quality=60) for index in range(7)]
    moments = Moments(64)
    for jpeg in jpegs:
        moments.add(jpeg)
    pixels = np.stack([decode(jpeg) for jpeg in jpegs])
    np.testing.assert_allclose(moments.mean(), pixels.mean(axis=0), rtol=1e-12)
    covariance = np.cov(pixels.reshape(-1, 3).T / 255, bias=True)
    np.testing.assert_allclose(moments.covariance(), covariance, rtol=1e-9)


def test_parts_add_up_to_the_whole_to_the_bit():
    jpegs = [encode(photo(index, 32, 32)) for index in range(6)]
    whole, first, second = Moments(32), Moments(32), Moments(32)
    for index, jpeg in enumerate(jpegs):
        whole.add(jpeg)
        (first if index % 2 else second).add(jpeg)
    first.merge(second)
    assert first.pictures == whole.pictures == 6
    assert np.array_equal(first.mean(), whole.mean())
    assert np.array_equal(first.covariance(), whole.covariance())
