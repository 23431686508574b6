"""The command, its page in a real browser, and TensorBoard's projector on what it wrote."""

import csv
import json
import re
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.figures.catalogue import CATALOGUE
from alexnet_tf.figures.neighbors import Neighbors
from alexnet_tf.figures.page import render_page
from tests.browser import all_text, complaints, loaded_images, open_browser
from tests.commands import run
from tests.tensorboard_server import serve_tensorboard


@pytest.fixture(scope="module")
def drawn(model_dir, tmp_path_factory):
    output = tmp_path_factory.mktemp("drawn") / "figures"
    done = run("tools.figures", f"--model_dir={model_dir}", f"--output={output}")
    assert done.returncode == 0, done.stderr
    return output, done


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


def test_everything_is_written(drawn):
    output, done = drawn
    assert f"{len(CATALOGUE)} pictures in {output}" in done.stdout
    for name in CATALOGUE:
        for suffix in ("png", "svg", "txt"):
            assert (output / f"{name}.{suffix}").stat().st_size > 0
    assert set(json.loads((output / "numbers.json").read_text())) == set(CATALOGUE)
    index = Neighbors.load(output / "neighbours")
    assert index.features.shape == (20, 256)


def test_the_page_shows_all_and_loads_nothing(drawn, browser):
    browser.get(f"file://{drawn[0] / 'index.html'}")
    assert loaded_images(browser) == len(CATALOGUE)
    text = all_text(browser)
    for word in ("Images that excite the same neurons", "precision@5, fc7", "tiny", "40"):
        assert word in text
    assert not complaints(browser)
    fetched = browser.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert [name for name in fetched if not name.startswith("data:")] == []


def test_tensorboard_projects_fc7(drawn, browser):
    with serve_tensorboard(drawn[0] / "projector") as address:
        browser.get(f"{address}#projector")
        browser.refresh()
        patience = time.monotonic() + 60
        while "Points: 20" not in " ".join(all_text(browser).split()):
            assert time.monotonic() < patience, all_text(browser)
            time.sleep(0.3)
        text = all_text(browser)
        assert "Dimension: 256" in " ".join(text.split()) and "first guess" in text
        assert not [line for line in complaints(browser) if "WebGL" not in line]


def test_the_projector_has_a_row_and_a_picture_for_each_point(drawn):
    folder = drawn[0] / "projector"
    with open(folder / "metadata.tsv", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t")
    assert header == ["class", "first guess", "image"] and len(rows) == 20
    features = tf.train.load_checkpoint(str(folder / "features")).get_tensor(
        "fc7/.ATTRIBUTES/VARIABLE_VALUE"
    )
    np.testing.assert_array_equal(features, Neighbors.load(drawn[0] / "neighbours").features)
    with Image.open(folder / "sprite.png") as sheet:
        assert sheet.size == (5 * 48, 5 * 48)
        assert np.asarray(sheet)[:48, :48].std() > 0
        assert (np.asarray(sheet)[4 * 48 :] == 255).all()  # 20 fill four rows of five


def test_names_and_captions_are_text_and_not_markup():
    page = render_page("<a>", {"<b>": 1}, [("n", "<c>", "`<d>` & more", b"", {"<e>": [0.5]})], {
        "lost": "<f>"
    })  # fmt: skip
    assert not re.search("<[a-f]>", page.replace("<b>lost</b>", ""))
    assert "<code>&lt;d&gt;</code> &amp; more" in page and "0.5" in page and "&lt;f&gt;" in page


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["nonsense"], "Expected pictures among convolution, .* Received: nonsense"),
        (["--layer=conv9"], "Expected a layer among conv1, .* Received: conv9"),
        (["--units=x"], "flag --units=.*must be numbers"),
        (["--photo=/none"], r"Expected --photo to be an image. Received: /none \(No such file"),
        (["--output=/dev/null/x"], "Expected --output to be a directory that can be written"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(model_dir, tmp_path, flags, words):
    done = run("tools.figures", f"--model_dir={model_dir}", f"--output={tmp_path}", *flags)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert re.match(f"error: .*{words}", line), line


def test_a_picture_that_cannot_be_drawn_does_not_fail_the_others(model_dir, tmp_path):
    names = ("units", "architecture")
    done = run(
        "tools.figures", f"--model_dir={model_dir}", f"--output={tmp_path}", "--units=999", *names
    )
    assert done.returncode == 1 and "error: units: Expected a unit of conv5" in done.stderr
    assert (tmp_path / "architecture.png").exists() and not (tmp_path / "units.png").exists()
    assert "could not be drawn" in (tmp_path / "index.html").read_text()
