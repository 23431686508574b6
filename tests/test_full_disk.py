"""Weights for Keras on a disk without room: an error, not the death of the process."""

import resource

import keras
import pytest

from alexnet_tf.weights.keras_files import write_model


@pytest.mark.parametrize("name", ["a.h5", "a.weights.h5", "a.keras"])
def test_a_disk_without_room_is_an_error(tmp_path, name):
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_model(str(tmp_path / name), model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
    write_model(str(tmp_path / name), model)
    assert (tmp_path / name).stat().st_size < 100_000
