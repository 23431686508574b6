"""An augmentation that the package does not know: one object, and one word of --augment."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from absl import flags as absl_flags

from alexnet_tf import flags
from alexnet_tf.data import augmentations
from alexnet_tf.data.augmentations import Augmentation
from alexnet_tf.data.pipeline import training_batch_spec, training_dataset
from alexnet_tf.data.random_bits import uniform
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system.errors import UserError
from tests.data.splits import sharded_split
from tests.folders import write_folder
from tests.training.short_runs import options

SIZE = 4  # pixels that are erased, each way
SPEC = Preprocessing(image_size=8, crop_size=6)
NAMES = ("crop", "flip", "black_square")


def draw(images):
    numbers = uniform(images.key("black_square"), 2)  # [B, 2]
    range_ = images.preprocessing.crop_size - SIZE + 1
    return {"erased": tf.cast(numbers * range_, tf.int32)}


def erase(images, batch, preprocessor):
    """Makes a square black that begins at `erased`, [B, 2]."""
    pixels = tf.range(preprocessor.preprocessing.crop_size)
    inside = (pixels >= batch["erased"][..., None]) & (pixels < batch["erased"][..., None] + SIZE)
    square = inside[:, 0, :, None] & inside[:, 1, None, :]  # [B, C, C]
    return tf.where(square[..., None], 0.0, images)


BLACK_SQUARE = Augmentation("black_square", ("erased",), draw, apply=erase)


@pytest.fixture
def _registered():
    augmentations.register(BLACK_SQUARE)
    yield
    augmentations.unregister("black_square")


pytestmark = pytest.mark.usefixtures("_registered")


def first_batches(number, used, **keywords):
    dataset = training_dataset(sharded_split((9,)), SPEC, 4, 3, augmentations=used, **keywords)
    return list(itertools.islice(dataset.as_numpy_iterator(), number))


def test_it_has_a_name_among_the_others():
    assert augmentations.AUGMENTATIONS[-1] == "black_square"
    with pytest.raises(ValueError, match="new name"):
        augmentations.register(BLACK_SQUARE)


def test_its_numbers_travel_with_the_batch_and_can_be_made_again():
    batches = first_batches(5, NAMES)
    assert training_batch_spec(4, SPEC, NAMES)["erased"] == tf.TensorSpec([4, 2], tf.int32)
    assert len({tuple(offset) for batch in batches for offset in batch["erased"]}) > 4
    for one, other in zip(batches[3:], first_batches(2, NAMES, start_step=3), strict=True):
        np.testing.assert_array_equal(one["erased"], other["erased"])


def test_other_augmentations_draw_the_same_numbers_beside_it():
    for one, other in zip(first_batches(3, NAMES), first_batches(3, NAMES[:2]), strict=True):
        assert one.keys() - other.keys() == {"erased"}
        for name in other:
            np.testing.assert_array_equal(one[name], other[name])


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"black_square\. Received: cutmix"):
        first_batches(1, ("cutmix",))


def test_one_that_needs_the_original_image_excludes_a_cache():
    with pytest.raises(UserError, match="resized_crop, which needs the original image"):
        augmentations.check(("resized_crop",), cached=True)


@pytest.mark.slow
def test_it_is_trained_with(tmp_path, monkeypatch):
    from alexnet_tf.training import run

    seen = []

    def apply(images, batch, preprocessor):
        seen.append(images.shape)  # once in each trace
        return erase(images, batch, preprocessor)

    augmentations.unregister("black_square")
    augmentations.register(Augmentation("black_square", ("erased",), draw, apply=apply))
    folder = write_folder(tmp_path / "images", train=2, val=1)
    result = run.train(
        options(str(folder), tmp_path / "run", steps=2, augment=NAMES, decay_epochs=())
    )
    assert result.step == 2 and seen


def test_its_name_is_a_word_of_the_command_line():
    where = absl_flags.FlagValues()
    flags.define_options(where)
    where(["", f"--augment={','.join(NAMES)}"])
    assert flags.read_options(where).augment == NAMES
    with pytest.raises(absl_flags.IllegalFlagValueError, match="augment"):
        where(["", "--augment=cutmix"])
