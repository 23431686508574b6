"""The cache of decoded images: what it changes (nothing), and when it is made again."""

import contextlib
import dataclasses
import itertools
import os
import threading

import numpy as np
import pytest

from alexnet_tf.data import cache
from alexnet_tf.data.cache import StoppedError, open_decoded_cache
from alexnet_tf.data.dataset import make_split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.pipeline import training_dataset
from alexnet_tf.models.spec import Preprocessing
from alexnet_tf.system.errors import UserError
from tests.data.splits import shade_png, sharded_split

SPEC = Preprocessing(image_size=8, crop_size=6)
LENGTHS = (9, 9, 4)


@pytest.fixture
def images(tmp_path):
    """Files of which the third is broken."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        data = b"broken" if number == 2 else shade_png(10 * number)
        (folder / f"{number}.png").write_bytes(data)
    return folder


def split_of(folder):
    paths = sorted(str(path) for path in folder.iterdir())
    return make_split(paths, [0] * len(paths), files=True)


@pytest.fixture
def decoded(monkeypatch):
    """How often a whole split has been decoded."""
    times = []

    def decode_into(*arguments):
        times.append(1)
        return original(*arguments)

    original = cache.decode_into
    monkeypatch.setattr(cache, "decode_into", decode_into)
    return times


@pytest.mark.slow
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_cache_of_lossless_images_changes_nothing(place, tmp_path):
    split = sharded_split(LENGTHS, broken=(2,))
    errors = DecodeErrors(split)
    path = tmp_path / "cache" / "train.npy" if place == "disk" else None
    cache = open_decoded_cache(split, SPEC, errors, path)
    assert len(errors) == 1
    streams = [
        training_dataset(split, SPEC, 4, 3, cache=found).as_numpy_iterator()
        for found in (None, cache)
    ]
    for one, other in itertools.islice(zip(*streams, strict=True), 11):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_an_existing_cache_is_loaded_with_its_errors(images, tmp_path, decoded):
    path = tmp_path / "train.npy"
    first = open_decoded_cache(split_of(images), SPEC, DecodeErrors(split_of(images)), path)
    errors = DecodeErrors(split_of(images))
    again = open_decoded_cache(split_of(images), SPEC, errors, path)
    assert len(decoded) == 1
    np.testing.assert_array_equal(again.images, first.images)
    np.testing.assert_array_equal(again.readable, first.readable)
    assert again.images[5, 0, 0, 0] == 50
    assert "1 unreadable (1 no image): " + str(images / "2.png") in str(errors)
    with pytest.raises(UserError, match="may be unreadable"):
        open_decoded_cache(split_of(images), SPEC, DecodeErrors(split_of(images), 0.1), path)


def change_a_file(images, path):
    state = (images / "0.png").stat()
    (images / "0.png").write_bytes(shade_png(200))
    os.utime(images / "0.png", ns=(state.st_atime_ns, state.st_mtime_ns + 1))


def rename_a_file(images, path):
    (images / "0.png").rename(images / "9.png")


def lose_the_sidecar(images, path):
    path.with_suffix(".json").unlink()


def damage_the_sidecar(images, path):
    path.with_suffix(".json").write_text("{")


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [change_a_file, rename_a_file, lose_the_sidecar, damage_the_sidecar]
)
def test_other_images_are_decoded_again(images, tmp_path, decoded, change):
    path = tmp_path / "train.npy"
    open_decoded_cache(split_of(images), SPEC, DecodeErrors(split_of(images)), path)
    change(images, path)
    cache = open_decoded_cache(split_of(images), SPEC, DecodeErrors(split_of(images)), path)
    assert len(decoded) == 2
    fresh = open_decoded_cache(split_of(images), SPEC, DecodeErrors(split_of(images)))
    np.testing.assert_array_equal(cache.images, fresh.images)
    np.testing.assert_array_equal(cache.readable, fresh.readable)


@pytest.mark.slow
def test_another_way_to_resize_is_another_cache(images, tmp_path, decoded):
    for spec in (SPEC, dataclasses.replace(SPEC, resize="warp"), SPEC):
        open_decoded_cache(
            split_of(images), spec, DecodeErrors(split_of(images)), tmp_path / "train.npy"
        )
    assert len(decoded) == 3


def test_the_whole_file_is_reserved_at_once(tmp_path):
    with (tmp_path / "train.npy").open("w+b") as file:
        array = cache.reserve_array(file, (100, 64, 64, 3))
    state = (tmp_path / "train.npy").stat()
    assert state.st_blocks * 512 >= array.nbytes == 100 * 64 * 64 * 3
    array[7] = 7
    array.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "train.npy"), array)


@pytest.mark.parametrize("name", ["train.lock", "train.npy", "train.json", "train.npy.partial"])
def test_links_are_not_followed(images, tmp_path, name):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / name).symlink_to(outside)
    split, path = split_of(images), tmp_path / "cache" / "train.npy"
    with contextlib.suppress(UserError):  # a lock that is a link
        open_decoded_cache(split, SPEC, DecodeErrors(split), path)
    assert outside.read_text() == "mine"


def test_other_processes_wait_for_the_one_that_makes_it(tmp_path):
    entered = threading.Event()

    def wait():
        with cache.file_lock(tmp_path / "lock"):
            entered.set()

    other = threading.Thread(target=wait)
    with cache.file_lock(tmp_path / "lock"):
        other.start()
        assert not entered.wait(0.5)
    assert entered.wait(30)
    other.join()


def test_a_stopped_process_leaves_no_incomplete_cache(images, tmp_path):
    path, split = tmp_path / "train.npy", split_of(images)
    with pytest.raises(StoppedError):
        open_decoded_cache(split, SPEC, DecodeErrors(split), path, stop=lambda: True)
    assert not path.exists() and not path.with_suffix(".partial").exists()
    assert open_decoded_cache(split, SPEC, DecodeErrors(split), path).images[5, 0, 0, 0] == 50
