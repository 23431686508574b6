"""Names as they are drawn: cleaned, and cut to a measured width."""

import warnings

import matplotlib as mpl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from alexnet_tf.figures.style import STYLE, new_figure
from alexnet_tf.figures.text import clean, fit, plain, text_width
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
def test_characters_that_cannot_be_drawn_or_written_are_removed(name, cleaned):
    assert clean(name) == cleaned
    clean(name).encode("utf-8")


@mpl.rc_context(STYLE)
def drawn_width(text, size, weight):
    figure = new_figure()
    box = figure.text(0, 0, text, fontsize=size, weight=weight).get_window_extent(
        FigureCanvasAgg(figure).get_renderer()
    )
    return box.width / figure.dpi


@pytest.mark.parametrize(("size", "weight"), [(12, "normal"), (14, "bold")])
def test_text_is_as_wide_as_measured(size, weight):
    for name in map(plain, LONGEST):
        drawn = drawn_width(name, size, weight)
        assert drawn <= text_width(name, size, weight) <= 1.1 * drawn


def test_a_name_keeps_as_many_letters_as_fit():
    name = plain(LONGEST[0])
    assert fit(LONGEST[0], 10) == name
    for room in (0.5, 1, 2):
        short = fit(LONGEST[0], room)
        letters = len(short) - 1
        assert short[-1] == "…" and name.startswith(short[:-1]) and text_width(short) <= room
        assert text_width(f"{name[: letters + 2]}…") > room
    assert fit(LONGEST[0], 0) == "…"
    assert len(fit("x" * 100_000, 3)) < 100


def test_letters_that_no_font_has_give_no_warning():
    figure = new_figure("\U0001f98a 狐")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure._repr_png_()
        text_width("\U0001f98a 狐")
