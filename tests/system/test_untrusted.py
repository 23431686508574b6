"""Files of strangers: regular, small, of the right form, or one line says what is wrong."""

import json
import os
import zipfile

import numpy as np
import pytest

from alexnet_tf.system.errors import UserError
from alexnet_tf.system.untrusted import (
    check,
    finite,
    line,
    natural,
    plain_name,
    read_arrays,
    read_bytes,
    read_json,
    sha256_digest,
)

FORM = {"step": natural, "files": {plain_name: sha256_digest}, "note?": (str, None), "of": [int]}
RIGHT = {"step": 3, "files": {"a.index": "0" * 64}, "of": [1, 2], "unknown": {}}


def test_the_right_form(tmp_path):
    path = tmp_path / "card.json"
    path.write_text(json.dumps(RIGHT))
    (tmp_path / "link").symlink_to(path)
    assert read_json(tmp_path / "link", FORM) == RIGHT


@pytest.mark.parametrize(
    "change, words",
    [
        ({"step": -1}, "step is -1"),
        ({"step": True}, "step is True"),
        ({"step": 2**70}, "step is"),
        ({"step": "9" * 500}, r"step is '9+\.\.\."),
        ({"note": 3}, "note is 3"),
        ({"of": {}}, "of is"),
        ({"of": [1, "2"]}, r"of\[1\] is '2'"),
        ({"files": {"../x": "0" * 64}}, "no plain file name"),
        ({"files": {"..": "0" * 64}}, "no plain file name"),
        ({"files": {"a\nb": "0" * 64}}, "a key of files"),
        ({"files": {"a": "0" * 63}}, "files.a is no SHA-256"),
        ({"files": ["a"]}, "files is"),
    ],
)
def test_other_forms(tmp_path, change, words):
    path = tmp_path / "card.json"
    path.write_text(json.dumps({**RIGHT, **change}))
    with pytest.raises(UserError, match=f"^.*card.json is damaged: .*{words}"):
        read_json(path, FORM)


@pytest.mark.parametrize(
    "text, words",
    [
        (b"", "Expecting value"),
        (b"[]", r"it is \[\]"),
        (b"{}", "it has no step"),
        (b"\xff{}", "utf-8"),
        (b"\xff\xfe{\0}\0", "utf-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nested more than"),
        (b'{"step": 1, "step": 2}', "twice"),
        (b'{"step": NaN}', "NaN"),
        (b'{"step": "\\ud800"}', "surrogates"),
        (b'{"step": %s}' % (b"9" * 10_000), "digits"),
    ],
)
def test_damaged_json(tmp_path, text, words):
    path = tmp_path / "card.json"
    path.write_bytes(text)
    with pytest.raises(UserError, match=f"card.json is damaged: .*{words}"):
        read_json(path, FORM)


def test_files_that_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "large").write_bytes(b"12345")
    for name, words in (
        ("pipe", "not a regular file"),
        ("zeros", "not a regular file"),
        (".", "not a regular file"),
        ("loop", "cannot be read"),
        ("large/file", "cannot be read"),
        ("large", "too large: over 4 bytes"),
    ):
        with pytest.raises(UserError, match=words):
            read_bytes(tmp_path / name, limit=4)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "missing")


def test_lines_and_numbers():
    for right in ("tench", "Straße 7", "犬　猫", "a\u200db"):
        check(right, line)
    for wrong in ("", "a\nb", "a\rb", "\x1b[2J", "a\u2028b", "a\x85b", "\ud800", 3, None):
        with pytest.raises(ValueError):
            check(wrong, line)
    for wrong in (float("inf"), float("nan"), 10**400, True, "1"):
        with pytest.raises(ValueError):
            check(wrong, finite)


def test_arrays(tmp_path):
    path = tmp_path / "arrays.npz"
    mean = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    np.savez_compressed(path, mean=mean, other=np.zeros(10**6))
    np.testing.assert_array_equal(read_arrays(path, ["mean"], limit=1000)["mean"], mean)
    with pytest.raises(UserError, match="other is too large: over 1,000 bytes"):
        read_arrays(path, ["other"], limit=1000)
    with pytest.raises(UserError, match="no item named 'third.npy'"):
        read_arrays(path, ["third"], limit=1000)


def test_arrays_that_lie(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez(path, objects=np.array([{}], object))
    with pytest.raises(UserError, match="is damaged"):
        read_arrays(path, ["objects"], limit=1000)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}".ljust(117)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("large.npy", b"\x93NUMPY\x01\x00\x76\x00" + header + b"\n")
    with pytest.raises(UserError, match="large has not as many values as it says"):
        read_arrays(path, ["large"], limit=1000)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="is damaged"):
        read_arrays(path, ["large"], limit=1000)


def test_a_header_of_an_array_is_not_shown_whole(tmp_path):
    path = tmp_path / "arrays.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mean.npy", b"\x93NUMPY\x01\x00\x28\x23" + b"(" * 9000)
    with pytest.raises(UserError, match="is damaged") as refused:
        read_arrays(path, ["mean"], limit=10_000)
    assert len(str(refused.value)) < 400
