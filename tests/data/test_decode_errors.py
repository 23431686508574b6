import numpy as np
import pytest

from alexnet_tf.data.dataset import make_split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.shapes import jpeg
from alexnet_tf.system.errors import UserError

TRUNCATED = jpeg(0, 0)[:2000]


def recorded(images, limit=1.0, files=False):
    errors = DecodeErrors(make_split(images, [0] * len(images), files=files), limit)
    indices = np.arange(len(images))
    encoded = np.array([i.encode() if files else i for i in images], object)
    errors.record(indices, encoded, np.zeros(len(images), int))
    return errors


def test_reasons_are_counted_and_the_first_named():
    text = str(recorded([TRUNCATED, b"hello, world", TRUNCATED, b""]))
    assert text.startswith("4 unreadable (2 truncated, ")
    assert text.endswith(": train example 0, train example 1, train example 2, ...")


def test_files_are_called_by_their_path(tmp_path):
    (tmp_path / "a.jpg").write_bytes(TRUNCATED)
    text = str(recorded([str(tmp_path / "a.jpg"), str(tmp_path / "none.jpg")], files=True))
    assert "1 truncated" in text and "1 No such file or directory" in text
    assert text.endswith(f": {tmp_path / 'a.jpg'}, {tmp_path / 'none.jpg'}")


def test_an_image_counts_once_however_often_it_is_recorded():
    errors = recorded([TRUNCATED])
    errors.record(np.array([0]), np.array([TRUNCATED], object), np.array([0]))
    assert len(errors) == 1


def test_the_limit_is_a_share_of_the_split():
    images = [TRUNCATED] * 2
    recorded(images, limit=1.0).check()
    with pytest.raises(UserError, match=r"at most 50\.00% of the 2 train images.*2 unreadable"):
        recorded(images, limit=0.5).check()
