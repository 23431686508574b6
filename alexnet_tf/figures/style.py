"""How all pictures look: the size of a slide, letters that can be read from the last row.

The colours are those of Okabe and Ito (Color Universal Design, 2008), which all eyes can tell
apart; where a colour means something, a shape or a word says it as well.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from alexnet_tf.errors import UserError

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise UserError(
        f"Expected matplotlib, for pictures: pip install '.[figures]'. Received: {error}"
    ) from None

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, BLACK, GREY = "#56B4E9", "#CC79A7", "#000000", "#8C8C8C"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, BLACK)
SEQUENTIAL = "cividis"  # even for eyes that see no red or no green

SLIDE = (12.8, 7.2)  # inches, 16:9
DOTS = 150  # an inch: 1920 × 1080
SMALL, TINY = 12, 10  # points, of labels within a picture; all else is 14 or more

_STYLE = {
    "font.size": 14,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so that all machines draw alike
    "axes.titlesize": 14,
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
    figure = Figure(size, dpi=DOTS, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # inches, so that nothing is at the edge
    if title:
        figure.suptitle(title, fontsize=18)
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


def shorten(name: str, letters: int) -> str:
    """A class name without its synset and with spaces, in so many letters at most."""
    head, _, tail = name.partition("_")
    if tail and head[:1] == "n" and head[1:].isdecimal():
        name = tail
    name = " ".join(name.replace("_", " ").split())
    return name if len(name) <= letters else f"{name[: letters - 1]}…"
