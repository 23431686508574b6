"""The common style of all figures: the size of a slide, and text that is legible from the back row.

The colours are from Okabe and Ito (Color Universal Design, 2008) and can be told apart with any
colour vision. Where a colour has a meaning, a shape or a word says the same.
"""

from __future__ import annotations

import contextlib
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
TOWERS = (BLUE, GREEN, PURPLE, ORANGE)  # repeated for networks with more towers
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, BLACK)
SEQUENTIAL = "cividis"  # even steps also for red-green colour blindness

SLIDE = (12.8, 7.2)  # inches, 16:9
DPI = 150  # 1920 × 1080 pixels
LARGE, MIDDLE, SMALL, TINY = 18, 14, 12, 10  # points: titles, text, labels, numbers on pixels

_FALLBACKS = (  # for class names in scripts that DejaVu Sans lacks, where they are installed
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "WenQuanYi Zen Hei", "Hiragino Sans",
    "PingFang SC", "Microsoft YaHei", "Malgun Gothic", "Noto Sans Devanagari", "Noto Sans Thai",
    "Arial Unicode MS", "Unifont",
)  # fmt: skip
_INSTALLED = {font.name for font in font_manager.fontManager.ttflist}
# matplotlib brings DejaVu Sans along, so that all machines draw alike; "sans-serif" is for viewers
# of the SVG that lack it.
FAMILIES = ["DejaVu Sans", *(name for name in _FALLBACKS if name in _INSTALLED), "sans-serif"]

STYLE = {  # applied by `registry.figure`; overrides the style of a notebook
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
    "svg.fonttype": "none",  # text stays text: the file is small, and the words can be found
    "svg.hashsalt": "alexnet_tf",  # the same figure gives the same file
    "svg.image_inline": True,
    "text.parse_math": False,  # class names may contain dollar signs
}


class Slide(Figure):
    """A figure that a notebook shows without pyplot and its backends."""

    def draw(self, renderer: RendererBase) -> None:
        """Draws the figure; letters that no font has become boxes, without a warning."""
        with ignore_missing_glyphs():
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """IPython calls this to show the figure, here at half the size."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=DPI / 2)
        return file.getvalue()


@contextlib.contextmanager
def ignore_missing_glyphs() -> Iterator[None]:
    """Silences matplotlib's warning about letters that no font has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def new_figure(title: str = "", size: tuple[float, float] = SLIDE) -> Figure:
    """An empty slide with a title; size is its width and height in inches."""
    figure = Slide(size, dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # inches, so that nothing is at the edge
    if title:
        figure.suptitle(title, fontsize=LARGE)
    return figure


def show_image(axes: Axes, image: np.ndarray, title: str = "", **options) -> None:
    """Shows pixels, uint8 [H, W, 3], or numbers [H, W] as colours, without ticks.

    Further options go to imshow.
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
    axes: Axes, corner: tuple[float, float], size: tuple[float, float], colour: str,
    line: float = 3, **options,
) -> None:  # fmt: skip
    """Draws a rectangle on an image of `show_image`.

    Args:
        axes: with the image.
        corner: row and column of the first pixel inside.
        size: height and width in pixels.
        colour: of the line.
        line: its width in points.
        options: further ones of matplotlib's Rectangle.
    """
    (top, left), (height, width) = corner, size
    corner = left - 0.5, top - 0.5  # a pixel's middle is at whole numbers
    axes.add_patch(
        Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=line, **options)
    )


def write_numbers(
    axes: Axes, values: np.ndarray, form: Callable[[float], str] = "{:g}".format, size: float = TINY
) -> None:
    """Writes each value of a small image, [H, W], on its pixel, dark on light or light on dark.

    Args:
        axes: with the image of `show_image`.
        values: the image.
        form: from a value to its text.
        size: of the letters, in points.
    """
    image = axes.images[0]
    for (row, column), value in np.ndenumerate(values):
        red, green, blue, _ = image.cmap(image.norm(value))
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        axes.text(
            column, row, form(value), fontsize=size, ha="center", va="center",
            color="black" if bright else "white",
        )  # fmt: skip


def signed(number: float) -> str:
    """A number with a minus sign in place of the hyphen."""
    return f"{number:g}".replace("-", "−")
