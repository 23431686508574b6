"""Names as they are drawn: cleaned, and cut to a measured width."""

import warnings

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from alexnet_tf.figures.style import in_style, new_figure
from alexnet_tf.figures.text import clean, fit, plain, width_of
from tests.figures.contexts import LONGEST


def test_names_lose_their_synset():
    assert plain("n02119789_kit_fox") == plain("n02119789 kit fox") == "kit fox"
    assert plain("nine_lives") == "nine lives"
    assert plain("n02119789") == "n02119789"


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("kit fox", "kit fox"),
        ("two\nlines\tand\x00more", "two lines and more"),
        ("half \ud83d of a pair", "half of a pair"),
        ("狐", "狐"),
        ("\x07", "?"),
        ("", "?"),
    ],
)
def test_what_cannot_be_drawn_or_written_goes(name, cleaned):
    assert clean(name) == cleaned
    clean(name).encode("utf-8")


@in_style
def drawn_width(text, size, weight):
    figure = new_figure()
    box = figure.text(0, 0, text, fontsize=size, weight=weight).get_window_extent(
        FigureCanvasAgg(figure).get_renderer()
    )
    return box.width / figure.dpi


@pytest.mark.parametrize(("size", "weight"), [(12, "normal"), (14, "bold")])
def test_a_width_is_what_is_drawn(size, weight):
    for name in map(plain, LONGEST):
        drawn = drawn_width(name, size, weight)
        assert drawn <= width_of(name, size, weight) <= 1.1 * drawn


def test_a_name_keeps_as_many_letters_as_there_is_room_for():
    name = plain(LONGEST[0])
    assert fit(LONGEST[0], 10) == name
    for room in (0.5, 1, 2):
        short = fit(LONGEST[0], room)
        letters = len(short) - 1
        assert short[-1] == "…" and name.startswith(short[:-1]) and width_of(short) <= room
        assert width_of(f"{name[: letters + 2]}…") > room
    assert fit(LONGEST[0], 0) == "…"
    assert len(fit("x" * 100_000, 3)) < 100


def test_letters_that_no_font_has_are_drawn_without_a_word():
    figure = new_figure("\U0001f98a 狐")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure._repr_png_()
        width_of("\U0001f98a 狐")
