import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data import statistics
from alexnet_tf.data.dataset import make_split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.data.statistics import Statistics, compute_statistics, principal_components
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system.errors import UserError
from tests.folders import write_folder

SPEC = Preprocessing(image_size=8, crop_size=8)


def split_of(images):
    """A split of PNGs of uint8 images [N, H, W, 3], or of bytes as they are."""
    encoded = [x if isinstance(x, bytes) else tf.io.encode_png(x).numpy() for x in images]
    return make_split(encoded, [0] * len(encoded))


def colours(number):
    rng = np.random.default_rng(0)
    mix = np.array([[60, 20, 5], [50, -10, -5], [40, 5, 10]])  # strong brightness component
    values = 128 + rng.normal(0, 1, (number, 8, 8, 3)) @ mix.T
    return np.clip(values, 0, 255).astype(np.uint8)


def test_mean_image_and_components_against_numpy():
    images = colours(50)
    result = compute_statistics(split_of(images), SPEC)
    np.testing.assert_allclose(result.mean, images.mean(axis=0), rtol=1e-6)
    covariance = np.cov(images.reshape(-1, 3).T / 255, bias=True)
    np.testing.assert_allclose(
        result.eigenvectors @ np.diag(result.eigenvalues) @ result.eigenvectors.T,
        covariance,
        rtol=1e-4,
        atol=1e-7,
    )


def test_a_set_like_cifar_to_a_ten_thousandth():
    """Bright pixels of nearly one colour: a small difference of large sums."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 4, (500, 32, 32, 1), np.uint8) + rng.integers(
        240, 252, (500, 1, 1, 3), np.uint8
    )
    result = compute_statistics(split_of(images), Preprocessing(image_size=32, crop_size=28))
    np.testing.assert_allclose(result.mean, images.mean(axis=0), rtol=1e-4)
    values, vectors = np.linalg.eigh(np.cov(images.reshape(-1, 3).T / 255, bias=True))
    np.testing.assert_allclose(result.eigenvalues, values[::-1], rtol=1e-4)
    alike = np.abs((result.eigenvectors * vectors[:, ::-1]).sum(axis=0))
    np.testing.assert_allclose(alike, 1, atol=1e-4)


def test_components_are_ordered_orthonormal_and_of_fixed_sign():
    covariance = np.cov(np.random.default_rng(1).random((3, 50)))
    values, vectors = principal_components(covariance)
    assert (np.diff(values) <= 0).all()
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(covariance @ vectors, vectors * values, atol=1e-6)
    assert (vectors[np.abs(vectors).argmax(axis=0), np.arange(3)] > 0).all()


def test_large_sets_are_sampled_evenly(monkeypatch):
    monkeypatch.setattr(statistics, "MAX_IMAGES", 10)
    images = colours(25)
    result = compute_statistics(split_of(images), SPEC)
    np.testing.assert_allclose(result.mean, images[::3].mean(axis=0), rtol=1e-6)


def test_images_that_do_not_decode_are_counted():
    images = colours(5)
    split = split_of([*images, b"broken", b""])
    errors = DecodeErrors(split)
    result = compute_statistics(split, SPEC, errors)
    assert len(errors) == 2
    np.testing.assert_allclose(result.mean, images.mean(axis=0), rtol=1e-6)
    with pytest.raises(UserError, match="None of the 1 images"):
        compute_statistics(split_of([b"broken"]), SPEC)
    with pytest.raises(UserError, match="may be unreadable"):
        compute_statistics(split, SPEC, DecodeErrors(split, limit=0.2))


def test_round_trip_and_damage(tmp_path):
    result = compute_statistics(open_dataset("folder", write_folder(tmp_path, 1, 1)).train, SPEC)
    path = tmp_path / "statistics.npz"
    result.save(str(path))
    again = Statistics.load(str(path))
    for name in ("mean", "eigenvalues", "eigenvectors"):
        np.testing.assert_array_equal(getattr(result, name), getattr(again, name))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="statistics"):
        Statistics.load(str(path))
    np.savez(path, mean=np.array([{"a": "pickle"}], dtype=object))
    with pytest.raises(UserError):
        Statistics.load(str(path))
    for wrong in (np.nan, np.zeros((2, 3, 3))):
        mean = again.mean + wrong if np.isscalar(wrong) else wrong
        dataclasses.replace(again, mean=mean).save(str(path))
        with pytest.raises(UserError, match="mean of shape"):
            Statistics.load(str(path))
