"""Predictions of files of all kinds."""

import errno
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.decode import decode
from alexnet_tf.data.limits import MAX_BYTES
from alexnet_tf.evaluation.prediction import (
    decode_outputs,
    find_images,
    normalised_entropy,
    predict_files,
    print_predictions,
)
from tests.data.odd_images import HEIGHT, WIDTH, odd_images


def answer(files):
    """Predicts the contents of each file as its class."""
    values = {
        "classes": np.array([[file, b"other"] for file in files], object),
        "scores": np.array([[0.75, 0.25]] * len(files)),
        "valid": np.array([file != b"broken" for file in files]),
    }
    return decode_outputs(values)


def test_files_that_cannot_be_read_are_named_beside_the_others(tmp_path, monkeypatch):
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

    results = [result for batch in predict_files(ask, found, 3) for result in batch]
    assert [os.path.basename(result.path) for result in results if result.classes] == [
        *("b.JPG", "a.png")
    ]
    assert results[0].classes == ("b.JPG", "other") and results[0].scores == (0.75, 0.25)
    assert [result.reason for result in results[2:]] == [
        *("a folder without images", "a folder without images", "a folder without images"),
        "not a JPEG, PNG, GIF, BMP, WebP or TIFF, damaged, or too large (JPEG: 89,478,485 pixels)",
        *("No such file or directory", "no regular file", "larger than 33,554,432 bytes"),
    ]
    assert asked == [[b"b.JPG", b"a.png"], [b"broken"]]  # and never about an empty list


def as_the_graph(files):
    """Answers "image" for what the graph of a model decodes."""
    valid = []
    for file in files:
        try:
            valid.append(decode(file, 10_000).shape == (HEIGHT, WIDTH, 3))
        except tf.errors.InvalidArgumentError:
            valid.append(False)
    classes = np.array([[b"image"]] * len(files), object)
    return decode_outputs({"classes": classes, "scores": np.ones((len(files), 1)), "valid": valid})


def test_photographs_of_a_folder_are_found_by_content_and_read_as_preparation_reads_them(
    tmp_path, capsys
):
    kinds = {"a": "jpeg", "b.pic": "webp", "c.img": "tiff lzw", "d.bmp": "bmp 8", "e.jpg": "ppm"}
    for name, kind in kinds.items():
        (tmp_path / name).write_bytes(odd_images()[kind])
    for name in ("Thumbs.db", "__MACOSX/x.jpg", ".hidden.jpg", "raw.nef"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"II*\0")
    (tmp_path / "notes.txt").write_text("no image")
    found = find_images([tmp_path])
    assert [path.name for path in found] == list(kinds)
    said = capsys.readouterr().err
    assert "3 hidden or of the operating system (.hidden.jpg, Thumbs.db, __MACOSX)" in said
    assert "1 no images (notes.txt); 1 images of a format that is not read (raw.nef)" in said
    assert said.count("\n") == 1
    (results,) = predict_files(as_the_graph, found, 8)
    assert [result.classes for result in results] == [*[("image",)] * 4, ()]
    assert "WebP or TIFF" in results[4].reason


def test_predictions_are_printed_and_written_as_json(tmp_path, capsys):
    for name in ("cat", "broken"):
        (tmp_path / name).write_bytes(name.encode())
    paths = [tmp_path / "cat", tmp_path / "broken"]
    lines = io.StringIO()
    assert not print_predictions(answer, paths, 8, lines)
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == str(paths[0]) and out.splitlines()[1].startswith("  75.00%")
    assert err.startswith(f"error: cannot read {paths[1]}: not a JPEG")
    first, second = map(json.loads, lines.getvalue().splitlines())
    assert first == {
        "path": str(paths[0]), "classes": ["cat", "other"], "scores": [0.75, 0.25], "known": 0,
        "entropy": None, "reason": "",
    }  # fmt: skip
    assert second["path"] == str(paths[1]) and "not a JPEG" in second["reason"]
    assert print_predictions(answer, paths[:1], 8, lines, text=False)
    assert capsys.readouterr() == ("", "")


def test_a_guess_is_called_one_and_the_classes_are_named(tmp_path, capsys):
    sure, guess = [0.97, 0.01, 0.01, 0.01], [0.28, 0.24, 0.24, 0.24]
    outputs = {
        "classes": np.array([[b"a", b"b"]] * 3, object),
        "scores": np.array([sure[:2], guess[:2], guess[:2]]),
        "valid": np.array([True, True, False]),
        "probabilities": np.array([sure, guess, [0, 0, 0, 0]]),
    }
    first, second, third = decode_outputs(outputs)
    assert (first.known, second.known, third.known) == (4, 4, 0)
    assert first.entropy == pytest.approx(0.121, abs=1e-3)  # (-.97 ln .97 - .03 ln .01) / ln 4
    assert second.entropy == pytest.approx(0.998, abs=1e-3) and third.entropy is None
    assert "guess" not in str(first)
    assert str(second).endswith("little more than a guess: entropy 100% of the maximum")
    assert normalised_entropy(np.array([1.0])) == 0

    path = tmp_path / "x"
    path.write_bytes(b"x")
    for classes, said in (
        ((), "the 4 classes that it knows.\n"),
        (("a", "b", "c", "\x1b[1m"), "the 4 classes that it knows: a, b, c, \\x1b[1m.\n"),
        (("a",) * 1000, "the 1,000 classes that it knows.\n"),
    ):
        assert print_predictions(lambda files: [first], [path], 8, classes=classes)
        assert capsys.readouterr().out.endswith(f"predicts one of {said}")


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
