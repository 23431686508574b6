import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.augmentations import Images, draw
from alexnet_tf.data.augmentations.resized_crop import choose_window
from alexnet_tf.models.spec import PCANoise, Preprocessing

SPEC = Preprocessing(image_size=12, crop_size=8, pca_noise=PCANoise(sigma=0.1))


def draws(number, seed=0, epoch=0, spec=SPEC, positions=None, augmentations=None):
    """The draws of `number` images of one epoch."""
    index = tf.range(number, dtype=tf.int64)
    position = index if positions is None else tf.constant(positions, tf.int64)
    names = spec.augmentations if augmentations is None else augmentations
    epochs = tf.fill([number], tf.constant(epoch, tf.int64))
    values = draw(Images(seed, epochs, index, position, spec), names)
    return {name: value.numpy() for name, value in values.items()}


def test_offsets_are_uniform_from_0_to_the_margin_inclusive():
    offsets = draws(5000)["offset"]
    for axis in (0, 1):
        counts = np.bincount(offsets[:, axis], minlength=5)
        assert len(counts) == 5  # 0 to 12 - 8
        assert np.abs(counts - 1000).max() < 120  # 4 standard deviations
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.06


def test_half_are_flipped():
    assert abs(draws(5000)["flip"].mean() - 0.5) < 0.03


def test_alpha_has_the_papers_sigma():
    alpha = draws(5000)["pca_noise"]
    assert np.abs(alpha.std(axis=0) - 0.1).max() < 0.005
    assert np.abs(alpha.mean(axis=0)).max() < 0.006
    assert np.abs(np.corrcoef(alpha.T)[np.triu_indices(3, 1)]).max() < 0.06


def test_draws_depend_on_seed_epoch_and_index_alone():
    first, again = draws(50), draws(50)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    for other in (draws(50, seed=1), draws(50, epoch=1)):
        assert (first["offset"] != other["offset"]).any()
        assert (first["pca_noise"] != other["pca_noise"]).any()


@pytest.mark.parametrize("off", ["crop", "flip", "pca_noise"])
def test_each_augmentation_can_be_switched_off(off):
    rest = tuple(name for name in ("crop", "flip", "pca_noise") if name != off)
    values, usual = draws(200, augmentations=rest), draws(200)
    names = {"crop": "offset", "flip": "flip", "pca_noise": "pca_noise"}
    constant = {"crop": 2, "flip": False, "pca_noise": 0.0}[off]  # 2: the centre of 12 - 8
    for augmentation, name in names.items():
        if augmentation == off:
            assert (values[name] == constant).all()
        else:
            np.testing.assert_array_equal(values[name], usual[name])


def test_pca_noise_ends_with_the_given_epoch():
    epochs = tf.constant([0, 66, 67, 68, 69], tf.int64)
    index = tf.range(5, dtype=tf.int64)
    values = draw(Images(0, epochs, index, index, SPEC, 68.0), ("pca_noise",))
    np.testing.assert_array_equal(values["pca_applied"], [True, True, True, False, False])
    usual = draw(Images(0, epochs, index, index, SPEC), ("pca_noise",))
    assert usual["pca_applied"].numpy().all()
    np.testing.assert_array_equal(values["pca_noise"][:3], usual["pca_noise"][:3])
    assert usual["pca_noise"].numpy().all() and not values["pca_noise"][3:].numpy().any()
    assert not draws(5, augmentations=("crop",))["pca_applied"].any()


def test_a_chunk_shares_offset_and_flip_but_not_pca_noise():
    spec = dataclasses.replace(SPEC, chunk=32)
    positions = np.random.default_rng(0).permutation(320)
    values = draws(320, spec=spec, positions=positions)
    geometry = np.column_stack([values["offset"], values["flip"]])
    chunks = [geometry[positions // 32 == chunk] for chunk in range(10)]
    assert all((chunk == chunk[0]).all() for chunk in chunks)
    assert len({tuple(chunk[0]) for chunk in chunks}) > 5
    assert len(np.unique(values["pca_noise"][:, 0])) == 320


def torchvision_window(tries, height, width):
    """RandomResizedCrop.get_params, with its random numbers given."""
    for area, aspect, top, left in tries:
        target = height * width * (0.08 + area * 0.92)
        ratio = np.exp(np.log(3 / 4) + aspect * np.log((4 / 3) / (3 / 4)))
        w, h = round(np.sqrt(target * ratio)), round(np.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(top * (height - h + 1)), int(left * (width - w + 1)), h, w
    if width / height < 3 / 4:
        w, h = width, round(width / (3 / 4))
    elif width / height > 4 / 3:
        h, w = height, round(height * (4 / 3))
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize("size", [(375, 500), (500, 333), (256, 256), (10, 300), (300, 10), (1, 1)])
def test_resized_crops_follow_torchvision(size):
    tries = draws(40, augmentations=("resized_crop",))["window"]
    for window in tries:
        part = choose_window(tf.constant(window), tf.constant(size)).numpy()
        assert tuple(part) == torchvision_window(window.astype(float), *size)


def test_areas_of_resized_crops_span_their_range():
    tries = draws(2000, augmentations=("resized_crop",))["window"]
    size = tf.constant((400, 400))
    parts = np.array([choose_window(tf.constant(window), size) for window in tries[:300]])
    share = parts[:, 2] * parts[:, 3] / 400**2
    assert share.min() < 0.12 and share.max() > 0.9
    assert (parts[:, :2] >= 0).all() and (parts[:, :2] + parts[:, 2:] <= 400).all()


def test_no_pca_noise_where_the_variant_has_none():
    assert not draws(20, spec=Preprocessing(image_size=12, crop_size=8))["pca_noise"].any()


def test_no_draw_follows_from_another():
    values = draws(5000)
    together = np.column_stack([values["offset"], values["flip"], values["pca_noise"]])
    assert np.abs(np.corrcoef(together.T)[np.triu_indices(6, 1)]).max() < 0.06
    squares = np.column_stack([values["offset"], values["pca_noise"] ** 2])
    assert np.abs(np.corrcoef(squares.T)[np.triu_indices(5, 1)]).max() < 0.06
