"""Files in, names out, whatever the files are."""

import errno
import os
import subprocess
import sys

import numpy as np

from alexnet_tf.data.image_folder import IMAGE_SUFFIXES
from alexnet_tf.data.limits import MAX_BYTES
from alexnet_tf.evaluation.prediction import SUFFIXES, find_images, predict, rows_of


def answer(files):
    """Names each file by what is in it."""
    values = {
        "classes": np.array([[file, b"other"] for file in files], object),
        "scores": np.array([[0.75, 0.25]] * len(files)),
        "valid": np.array([file != b"broken" for file in files]),
    }
    return rows_of(values)


def test_its_images_are_those_of_training():
    assert SUFFIXES == IMAGE_SUFFIXES


def test_what_cannot_be_read_is_named_beside_what_can(tmp_path, monkeypatch):
    for name in (
        *("full/b.JPG", "full/in/a.png", "full/notes.txt", "full/._b.jpg"),
        *("shut/c.jpg", "full/shut/d.jpg"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.gif").write_bytes(b"broken")
    scandir, read = os.scandir, os.fspath

    def refuse(path):
        if os.path.basename(read(path)) == "shut":
            raise PermissionError(errno.EACCES, "Permission denied", read(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    os.mkfifo(tmp_path / "pipe.jpg")
    with open(tmp_path / "huge.jpg", "wb") as huge:
        huge.truncate(MAX_BYTES + 1)
    names = ["full", "empty", "shut", "broken.gif", "none.jpg", "pipe.jpg", "huge.jpg"]
    found = find_images([tmp_path / name for name in names])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        *("full/b.JPG", "full/in/a.png", "full/shut", "empty", "shut", "broken.gif", "none.jpg"),
        *("pipe.jpg", "huge.jpg"),
    ]
    asked = []

    def ask(files):
        asked.append(files)
        return answer(files)

    results = [result for batch in predict(ask, found, 3) for result in batch]
    assert [os.path.basename(result.path) for result in results if result.classes] == [
        *("b.JPG", "a.png")
    ]
    assert results[0].classes == ("b.JPG", "other") and results[0].scores == (0.75, 0.25)
    assert [result.reason for result in results[2:]] == [
        *("a folder without images", "a folder without images", "a folder without images"),
        "not a JPEG, PNG, GIF or BMP, damaged, or too large (JPEG: 89,478,485 pixels)",
        *("No such file or directory", "no regular file", "larger than 33,554,432 bytes"),
    ]
    assert asked == [[b"b.JPG", b"a.png"], [b"broken"]]  # nobody is asked about nothing


def test_a_name_of_any_bytes_is_printed(tmp_path):
    code = (
        "from alexnet_tf import app; from alexnet_tf.evaluation.prediction import Prediction; "
        "app.run(lambda argv: print(Prediction(argv[0])), lambda: False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, b"\xff.jpg"], capture_output=True, timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"\\udcff.jpg\n"), done.stderr
