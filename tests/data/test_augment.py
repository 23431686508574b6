import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.augment import draw
from alexnet_tf.models.spec import Lighting, Preprocessing

SPEC = Preprocessing(image_size=12, crop_size=8, lighting=Lighting(sigma=0.1))


def draws(number, seed=0, epoch=0, spec=SPEC, **options):
    """The draws of `number` images, stacked, made as the pipeline makes them."""
    indices = tf.data.Dataset.range(number)
    epoch = tf.constant(epoch, tf.int64)
    mapped = indices.map(lambda index: draw(seed, epoch, index, spec, **options))
    return next(mapped.batch(number).as_numpy_iterator())


def test_offsets_are_uniform_from_0_to_the_margin_inclusive():
    offsets = draws(5000)["offset"]
    for axis in (0, 1):
        counts = np.bincount(offsets[:, axis], minlength=5)
        assert len(counts) == 5  # 0 to 12 - 8
        assert np.abs(counts - 1000).max() < 120  # 4 standard deviations
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.06


def test_half_are_reflected():
    assert abs(draws(5000)["reflect"].mean() - 0.5) < 0.03


def test_alpha_has_the_papers_sigma():
    alpha = draws(5000)["alpha"]
    assert np.abs(alpha.std(axis=0) - 0.1).max() < 0.005
    assert np.abs(alpha.mean(axis=0)).max() < 0.006
    assert np.abs(np.corrcoef(alpha.T)[np.triu_indices(3, 1)]).max() < 0.06


def test_draws_depend_on_seed_epoch_and_index_alone():
    first, again = draws(50), draws(50)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    for other in (draws(50, seed=1), draws(50, epoch=1)):
        assert (first["offset"] != other["offset"]).any()
        assert (first["alpha"] != other["alpha"]).any()


@pytest.mark.parametrize("off", ["crop", "reflect", "lighting"])
def test_each_augmentation_can_be_switched_off(off):
    rest = tuple(name for name in ("crop", "reflect", "lighting") if name != off)
    values, usual = draws(200, augmentations=rest), draws(200)
    names = {"crop": "offset", "reflect": "reflect", "lighting": "alpha"}
    constant = {"crop": 2, "reflect": False, "lighting": 0.0}[off]  # 2: the centre of 12 - 8
    for augmentation, name in names.items():
        if augmentation == off:
            assert (values[name] == constant).all()
        else:
            np.testing.assert_array_equal(values[name], usual[name])


def test_no_lighting_where_the_variant_has_none():
    assert not draws(20, spec=Preprocessing(image_size=12, crop_size=8))["alpha"].any()


def test_no_draw_follows_from_another():
    values = draws(5000)
    together = np.column_stack([values["offset"], values["reflect"], values["alpha"]])
    assert np.abs(np.corrcoef(together.T)[np.triu_indices(6, 1)]).max() < 0.06
    squares = np.column_stack([values["offset"], values["alpha"] ** 2])
    assert np.abs(np.corrcoef(squares.T)[np.triu_indices(5, 1)]).max() < 0.06
