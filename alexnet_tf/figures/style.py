"""How all pictures look: the size of a slide, letters that can be read from the last row.

The colours are those of Okabe and Ito (Color Universal Design, 2008), which all eyes can tell
apart; where a colour means something, a shape or a word says it as well.
"""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Callable, Iterator

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, BLACK, GREY = "#56B4E9", "#CC79A7", "#000000", "#8C8C8C"
TOWERS = (BLUE, GREEN, PURPLE, ORANGE)  # by turns, of networks with more
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, BLACK)
SEQUENTIAL = "cividis"  # even for eyes that see no red or no green

SLIDE = (12.8, 7.2)  # inches, 16:9
DOTS = 150  # an inch: 1920 × 1080
LARGE, MIDDLE, SMALL, TINY = 18, 14, 12, 10  # points: titles, words, labels within a picture

_FALLBACKS = (  # for class names in letters that DejaVu Sans lacks, where they are installed
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "WenQuanYi Zen Hei", "Hiragino Sans",
    "PingFang SC", "Microsoft YaHei", "Malgun Gothic", "Noto Sans Devanagari", "Noto Sans Thai",
    "Arial Unicode MS", "Unifont",
)  # fmt: skip
_INSTALLED = {font.name for font in font_manager.fontManager.ttflist}
# DejaVu Sans comes with matplotlib, so that all machines draw alike.
FAMILIES = ["DejaVu Sans", *(name for name in _FALLBACKS if name in _INSTALLED)]

_STYLE = {
    "font.size": MIDDLE,
    "font.family": FAMILIES,
    "axes.titlesize": MIDDLE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=CYCLE),
    "axes.unicode_minus": True,
    "image.cmap": SEQUENTIAL,
    "image.interpolation": "nearest",  # a pixel is a square
    "legend.frameon": False,
    "svg.hashsalt": "alexnet_tf",  # the same picture is the same file
    "text.parse_math": False,  # class names may hold dollar signs
}


class Slide(Figure):
    """A figure that a notebook shows as it is, without pyplot and its backends."""

    def draw(self, renderer: RendererBase) -> None:
        """As any figure; letters that no font has become boxes without a word on stderr."""
        with no_warning_of_glyphs():
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """What IPython asks for, at half the size."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=DOTS / 2)
        return file.getvalue()


@contextlib.contextmanager
def no_warning_of_glyphs() -> Iterator[None]:
    """Keeps matplotlib quiet about letters that no font has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def in_style(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Makes a function draw in this style, whatever the notebook's own is."""

    @functools.wraps(draw)
    def styled(*args, **kwargs) -> Figure:
        """As the function, in style."""
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


def new_figure(title: str = "", size: tuple[float, float] = SLIDE) -> Figure:
    """An empty slide that makes room for what its parts need.

    Args:
        title: above all.
        size: width and height in inches.
    """
    figure = Slide(size, dpi=DOTS, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # inches, so that nothing is at the edge
    if title:
        figure.suptitle(title, fontsize=LARGE)
    return figure


def show_image(axes: Axes, image: np.ndarray, title: str = "", **options) -> None:
    """Shows pixels without ticks.

    Args:
        axes: to draw on.
        image: uint8 [H, W, 3], or [H, W] of whatever `options`, imshow's, make of it.
        title: above it.
        options: of imshow.
    """
    axes.imshow(image, **options)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if title:
        axes.set_title(title)


def frame(axes: Axes, colour: str, width: float = 3, line: str = "-") -> None:
    """Draws a frame around an image of `show_image`."""
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=width, linestyle=line)


def outline(
    axes: Axes,
    corner: tuple[float, float],
    size: tuple[float, float],
    colour: str,
    line: float = 3,
    **options,
) -> None:
    """Frames a part of an image of `show_image`.

    Args:
        axes: where the image is.
        corner: row and column of the part's first pixel.
        size: its height and width in pixels.
        colour: of the line.
        line: its width, points.
        options: of the rectangle.
    """
    (top, left), (height, width) = corner, size
    axes.add_patch(
        Rectangle(
            (left - 0.5, top - 0.5), width, height,  # a pixel's middle is at whole numbers
            fill=False, edgecolor=colour, linewidth=line, **options,
        )
    )  # fmt: skip


def write_numbers(
    axes: Axes,
    values: np.ndarray,
    form: Callable[[float], str] = "{:g}".format,
    size: float = TINY,
) -> None:
    """Writes each value of a small image upon its pixel, dark on light and light on dark.

    Args:
        axes: of `show_image`.
        values: the image, [H, W].
        form: from a value to what is written.
        size: in points.
    """
    picture = axes.images[0]
    for (row, column), value in np.ndenumerate(values):
        red, green, blue, _ = picture.cmap(picture.norm(value))
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        axes.text(
            column, row, form(value), fontsize=size, ha="center", va="center",
            color="black" if bright else "white",
        )  # fmt: skip


def signed(number: float) -> str:
    """A number with a minus sign and no hyphen."""
    return f"{number:g}".replace("-", "−")
