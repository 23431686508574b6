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
from alexnet_tf.figures.registry import FigureEntry, RenderedFigure, all_figures, find_figures
from alexnet_tf.figures.report import draw_report, make_folder, render_page
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
    written = f"{len(all_figures())} figures in {output}; all on one page: {output}/index.html"
    assert written in done.stdout
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


@pytest.mark.slow
def test_everything_is_written(drawn):
    for name in all_figures():
        for suffix in ("png", "svg", "txt", "json"):
            assert (drawn / f"{name}.{suffix}").stat().st_size > 0
    assert Neighbors.load(drawn / "neighbours").features.shape == (20, 256)


@pytest.mark.slow  # opens a browser
def test_the_page_shows_all_and_loads_nothing(drawn, browser):
    browser.get(f"file://{drawn / 'index.html'}")
    assert loaded_images(browser) == len(all_figures())
    text = all_text(browser)
    for word in ("Images that excite the same neurons", "precision@5, fc7", "tiny", "40"):
        assert word in text
    assert not complaints(browser)
    assert [name for name in fetched(browser) if not name.startswith("data:")] == []


@pytest.mark.slow  # starts TensorBoard and opens a browser
def test_tensorboard_projects_fc7(drawn, browser):
    with serve_tensorboard(drawn / "projector") as address:
        browser.get(f"{address}#projector")
        browser.refresh()
        patience = time.monotonic() + 240
        while "Points: 20" not in " ".join(all_text(browser).split()):
            assert time.monotonic() < patience, all_text(browser)
            time.sleep(0.3)
        text = all_text(browser)
        assert "Dimension: 256" in " ".join(text.split()) and "first guess" in text
        assert not [line for line in complaints(browser) if "WebGL" not in line]
        patience = time.monotonic() + 240
        while not (sprites := [name for name in fetched(browser) if "sprite_image" in name]):
            assert time.monotonic() < patience, fetched(browser)
            time.sleep(0.3)
        with urllib.request.urlopen(sprites[0]) as answer:
            assert Image.open(io.BytesIO(answer.read())).size == (5 * 48, 5 * 48)
        inside = (address, "data:", f"blob:{address}")
        assert [name for name in fetched(browser) if not name.startswith(inside)] == []


@pytest.mark.slow
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
    rendered = RenderedFigure("<c>", "`<d>` & more", new_figure(), {"<e>": [0.5]}, name="n")
    page = render_page("<a>", {"<b>": 1}, [rendered], {"lost": "<f>"})
    assert not re.search("<[a-f]>", page.replace("<b>lost</b>", ""))
    assert "<code>&lt;d&gt;</code> &amp; more" in page and "0.5" in page and "&lt;f&gt;" in page


def test_a_list_of_dictionaries_is_a_table():
    rendered = RenderedFigure("t", "c", new_figure(), {"kernels": [{"kernel": i} for i in (7, 8)]})
    page = render_page("title", {}, [rendered], {})
    assert "<tr><th><b>kernel</b></th></tr><tr><td>7</td></tr><tr><td>8</td></tr>" in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--variant=tiny"], "flags model_dir=.*Exactly one of"),
        (["--units=x"], "flag --units=.*must be numbers"),
        (["--photo=/none"], r"Expected --photo to be an image. Received: /none \(No such file"),
    ],
)
def test_wrong_flags_give_one_line(model_dir, tmp_path, flags, words):
    done = run("alexnet_tf.figures", f"--model_dir={model_dir}", f"--output={tmp_path}", *flags)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert re.match(f"error: .*{words}", line), line


def test_a_folder_that_cannot_be_made():
    with pytest.raises(UserError, match="Expected --output to be a directory that can be written"):
        make_folder("/dev/null/x")


@pytest.mark.slow
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
        f"--photo={tmp_path / 'photo.jpg'}", f"--output={output}", "--layer=conv3", "--units=7,12",
        "neighbours", "confusions", "units",
    )  # fmt: skip
    assert done.returncode == 1 and "2 figures in" in done.stdout
    assert "error: confusions: Expected images labelled with the model's 10 classes" in done.stderr
    numbers = json.loads((output / "neighbours.json").read_text())
    assert numbers["images"] == 6 and numbers["precision@5, chance"] == pytest.approx(0.4)
    units = json.loads((output / "units.json").read_text())["units"]
    assert [unit["unit"] for unit in units] == [7, 12]
    assert "Each row: a unit of conv3" in (output / "units.txt").read_text()
    assert not (output / "index.html").exists()  # that is for all figures


def test_a_variant_is_drawn_without_a_model(tmp_path):
    done = run("alexnet_tf.figures", "--variant=tiny32", f"--output={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in tmp_path.iterdir()} == {"convolution", "architecture"}


def test_help_lists_the_figures():
    done = run("alexnet_tf.figures", "--help")
    names = re.search("Figures: (.*?)\n *flags:", done.stdout, re.DOTALL).group(1).split()
    assert names == list(all_figures())


def fill_disk(context):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refuse(context):
    raise UserError("Expected something else")


def fail(context):
    raise RuntimeError("a fault of ours")


def entry(name, render):
    return FigureEntry(name, render, needs="images", order=0)


FEW = ("convolution", "architecture")


def test_figures_that_fail_do_not_harm_the_others(context, tmp_path):
    figures = [entry("a", refuse), *find_figures(FEW), entry("b", fill_disk)]
    drawn, missing = draw_report(context, tmp_path, figures, facts={"a fact": 1})
    assert [rendered.name for rendered in drawn] == list(FEW)
    assert missing["a"] == "Expected something else"
    assert missing["b"] == "a file could not be read or written: No space left on device"
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("could not be drawn") == 2 and page.count("<img ") == 2 and "a fact" in page
    assert "images used" in page


def test_a_missing_dataset_fails_only_the_figures_that_need_it(context, tmp_path):
    asked = []

    def gone():
        asked.append(1)
        raise UserError("Expected a dataset")

    figures = find_figures(["architecture", "units", "predictions", "crops"])
    without = dataclasses.replace(context, open_dataset=gone)
    drawn, missing = draw_report(without, tmp_path, figures)
    assert [rendered.name for rendered in drawn] == ["architecture"] and len(asked) == 1
    assert missing == dict.fromkeys(["units", "predictions", "crops"], "Expected a dataset")
    photo = dataclasses.replace(without, photo=jpeg(1, 0))
    drawn, missing = draw_report(photo, tmp_path, figures)
    assert [rendered.name for rendered in drawn] == ["architecture", "crops"]


def test_a_fault_of_ours_is_not_hidden_and_the_page_is_written(context, tmp_path):
    with pytest.raises(RuntimeError, match="a fault of ours"):
        draw_report(context, tmp_path, [*find_figures(FEW), entry("a", fail)])
    assert (tmp_path / "index.html").read_text(encoding="utf-8").count("<img ") == 2


def test_named_figures_leave_the_page_as_it_is(context, tmp_path):
    (tmp_path / "index.html").write_text("all of them")
    draw_report(context, tmp_path, find_figures(["convolution"]), page=False)
    assert (tmp_path / "index.html").read_text() == "all of them"
    assert (tmp_path / "convolution.json").exists()


def test_a_page_that_cannot_be_written(context, tmp_path):
    (tmp_path / "index.html").mkdir()
    with pytest.raises(UserError, match="index.html could not be written: Is a directory"):
        draw_report(context, tmp_path, [])
