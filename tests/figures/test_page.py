"""The command, its page in a real browser, and TensorBoard's projector on what it wrote."""

import csv
import dataclasses
import errno
import io
import json
import os
import re
import time
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data.shapes import jpeg
from alexnet_tf.figures import report
from alexnet_tf.figures.page import render_page
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.registry import FIGURES
from alexnet_tf.figures.search import Neighbors
from alexnet_tf.figures.style import new_figure
from alexnet_tf.system.errors import UserError
from tests.browser import all_text, complaints, loaded_images, open_browser
from tests.commands import run
from tests.tensorboard_server import serve_tensorboard


@pytest.fixture(scope="module")
def drawn(model_dir, tmp_path_factory):
    """What the command wrote, moved to another place: no file may depend on where it is."""
    output = tmp_path_factory.mktemp("drawn") / "figures"
    done = run("alexnet_tf.figures", f"--model_dir={model_dir}", f"--output={output}")
    assert done.returncode == 0, done.stderr
    assert f"{len(FIGURES)} pictures in {output}" in done.stdout
    return output.rename(output.with_name("moved"))


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


def fetched(browser):
    """Whatever the page and the frames in it have loaded."""
    return browser.execute_script("""
      const entries = (view) => [
        ...view.performance.getEntriesByType("resource").map((entry) => entry.name),
        ...Array.from({length: view.length}, (_, i) => entries(view[i])).flat(),
      ];
      return entries(window);
    """)


def test_everything_is_written(drawn):
    for name in FIGURES:
        for suffix in ("png", "svg", "txt", "json"):
            assert (drawn / f"{name}.{suffix}").stat().st_size > 0
    assert Neighbors.load(drawn / "neighbours").features.shape == (20, 256)


def test_the_page_shows_all_and_loads_nothing(drawn, browser):
    browser.get(f"file://{drawn / 'index.html'}")
    assert loaded_images(browser) == len(FIGURES)
    text = all_text(browser)
    for word in ("Images that excite the same neurons", "precision@5, fc7", "tiny", "40"):
        assert word in text
    assert not complaints(browser)
    assert [name for name in fetched(browser) if not name.startswith("data:")] == []


def test_tensorboard_projects_fc7(drawn, browser):
    with serve_tensorboard(drawn / "projector") as address:
        browser.get(f"{address}#projector")
        browser.refresh()
        patience = time.monotonic() + 60
        while "Points: 20" not in " ".join(all_text(browser).split()):
            assert time.monotonic() < patience, all_text(browser)
            time.sleep(0.3)
        text = all_text(browser)
        assert "Dimension: 256" in " ".join(text.split()) and "first guess" in text
        assert not [line for line in complaints(browser) if "WebGL" not in line]
        patience = time.monotonic() + 60
        while not (sprites := [name for name in fetched(browser) if "sprite_image" in name]):
            assert time.monotonic() < patience, fetched(browser)
            time.sleep(0.3)
        with urllib.request.urlopen(sprites[0]) as answer:
            assert Image.open(io.BytesIO(answer.read())).size == (5 * 48, 5 * 48)
        inside = (address, "data:", f"blob:{address}")
        assert [name for name in fetched(browser) if not name.startswith(inside)] == []


def test_the_projector_has_a_row_and_a_picture_for_each_point(drawn):
    folder = drawn / "projector"
    with open(folder / "metadata.tsv", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t")
    assert header == ["class", "first guess", "image"] and len(rows) == 20
    features = tf.train.load_checkpoint(str(folder)).get_tensor("fc7/.ATTRIBUTES/VARIABLE_VALUE")
    np.testing.assert_array_equal(features, Neighbors.load(drawn / "neighbours").features)
    with Image.open(folder / "sprite.png") as sheet:
        assert sheet.size == (5 * 48, 5 * 48)
        assert np.asarray(sheet)[:48, :48].std() > 0
        assert (np.asarray(sheet)[4 * 48 :] == 255).all()  # 20 fill four rows of five


def test_names_and_captions_are_text_and_not_markup():
    picture = Picture("n", "<c>", "`<d>` & more", new_figure(), {"<e>": [0.5]})
    page = render_page("<a>", {"<b>": 1}, [picture], {"lost": "<f>"})
    assert not re.search("<[a-f]>", page.replace("<b>lost</b>", ""))
    assert "<code>&lt;d&gt;</code> &amp; more" in page and "0.5" in page and "&lt;f&gt;" in page


def test_a_list_of_like_things_is_a_table_with_a_row_for_each():
    picture = Picture("n", "t", "c", new_figure(), {"kernels": [{"kernel": i} for i in (7, 8)]})
    page = render_page("title", {}, [picture], {})
    assert "<tr><th><b>kernel</b></th></tr><tr><td>7</td></tr><tr><td>8</td></tr>" in page


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["nonsense"], "Expected pictures among convolution, .* Received: nonsense"),
        (["--layer=conv9"], "Expected a layer among conv1, .* Received: conv9"),
        (["--units=1,2,1"], "Expected 6 units at most, each once. Received: --units=1,2,1"),
        (["--variant=tiny"], "flags model_dir=.*Exactly one of"),
        (["--units=x"], "flag --units=.*must be numbers"),
        (["--photo=/none"], r"Expected --photo to be an image. Received: /none \(No such file"),
        (["--output=/dev/null/x"], "Expected --output to be a directory that can be written"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(model_dir, tmp_path, flags, words):
    done = run("alexnet_tf.figures", f"--model_dir={model_dir}", f"--output={tmp_path}", *flags)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert re.match(f"error: .*{words}", line), line


def test_images_of_other_classes_and_a_photograph(model_dir, tmp_path):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(3):
                (tmp_path / split / name / f"{index}.jpg").write_bytes(jpeg(1, index))
    (tmp_path / "photo.jpg").write_bytes(jpeg(1, 4))
    output = tmp_path / "drawn"
    done = run(
        "alexnet_tf.figures", f"--model_dir={model_dir}",
        "--dataset=folder", f"--data_dir={tmp_path}",
        f"--photo={tmp_path / 'photo.jpg'}", f"--output={output}", "neighbours", "confusions",
    )  # fmt: skip
    assert done.returncode == 1 and "1 picture in" in done.stdout
    assert "error: confusions: Expected images labelled with the model's 10 classes" in done.stderr
    numbers = json.loads((output / "neighbours.json").read_text())
    assert numbers["images"] == 6 and numbers["precision@5, chance"] == pytest.approx(0.4)
    assert not (output / "index.html").exists()  # that is for all pictures


def test_a_variant_is_drawn_without_a_model(tmp_path):
    done = run("alexnet_tf.figures", "--variant=tiny32", f"--output={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in tmp_path.iterdir()} == {"convolution", "architecture"}


def fill_disk(subject):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refuse(subject):
    raise UserError("Expected something else")


def fail(subject):
    raise RuntimeError("a fault of ours")


def small_catalogue(monkeypatch, **more):
    few = {name: FIGURES[name] for name in ("convolution", "architecture")}
    monkeypatch.setattr(report, "FIGURES", {**few, **more})


def test_pictures_that_fail_do_not_harm_the_others(subject, monkeypatch, tmp_path):
    small_catalogue(monkeypatch, units=refuse, training=fill_disk)
    pictures, missing = report.draw_report(subject, tmp_path, facts={"a fact": 1})
    assert [picture.name for picture in pictures] == ["convolution", "architecture"]
    assert set(missing) == {"units", "training"}
    assert missing["units"] == "Expected something else"
    assert "No space left" in missing["training"]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("could not be drawn") == 2 and page.count("<img ") == 2 and "a fact" in page
    assert "images looked at" in page


def test_a_dataset_that_is_not_there_fails_only_what_needs_it(subject, monkeypatch, tmp_path):
    asked = []

    def gone():
        asked.append(1)
        raise UserError("Expected a dataset")

    monkeypatch.setattr(report, "FIGURES", {n: FIGURES[n] for n in ("architecture", "crops")})
    names = ["architecture", "units", "predictions", "crops"]
    without = dataclasses.replace(subject, open_images=gone)
    pictures, missing = report.draw_report(without, tmp_path, names)
    assert [picture.name for picture in pictures] == ["architecture"] and len(asked) == 1
    assert missing == dict.fromkeys(["units", "predictions", "crops"], "Expected a dataset")
    photo = dataclasses.replace(without, photo=jpeg(1, 0))
    pictures, missing = report.draw_report(photo, tmp_path, names)
    assert [picture.name for picture in pictures] == ["architecture", "crops"]


def test_a_fault_of_ours_is_not_hidden_and_the_page_is_written(subject, monkeypatch, tmp_path):
    small_catalogue(monkeypatch, training=fail)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        report.draw_report(subject, tmp_path)
    assert (tmp_path / "index.html").read_text(encoding="utf-8").count("<img ") == 2


def test_named_pictures_leave_the_page_as_it_is(subject, tmp_path):
    (tmp_path / "index.html").write_text("all of them")
    report.draw_report(subject, tmp_path, ["convolution"])
    assert (tmp_path / "index.html").read_text() == "all of them"
    assert (tmp_path / "convolution.json").exists()
