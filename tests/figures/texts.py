"""What text of a figure lies on other text, or beyond its edge."""

import itertools
import unittest.mock

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text


def find_faults(figure):
    """Draws it; pairs of overlapping texts, and texts that are cut off."""
    drawn = [(text, text.get_window_extent()) for text in _draw(figure)]  # measured once each
    faults = [
        (one.get_text(), other.get_text())
        for (one, its), (other, others) in itertools.combinations(drawn, 2)
        if _overlap(its, others) and not _side_by_side(one, other)
    ]
    page = figure.bbox
    for text, box in drawn:
        if min(box.x0 - page.x0, box.y0 - page.y0, page.x1 - box.x1, page.y1 - box.y1) < -1:
            faults.append((text.get_text(), "edge"))
    return faults


def _draw(figure):
    """The texts that are really drawn: ticks beyond the limits, say, are not."""
    drawn, draw = [], Text.draw

    def record(text, renderer):
        if text.get_visible() and text.get_text().strip() and text not in drawn:
            drawn.append(text)
        return draw(text, renderer)

    with unittest.mock.patch.object(Text, "draw", record):
        FigureCanvasAgg(figure).draw()
    assert drawn
    return drawn


def _overlap(a, b):
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 2 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2


def _side_by_side(one, other):
    """Of slanted labels: their boxes overlap where the letters do not."""
    if one.get_rotation() != other.get_rotation() or not one.get_rotation() % 90:
        return False
    normal = np.deg2rad(one.get_rotation() + 90)
    apart = one.get_transform().transform(one.get_unitless_position())
    apart = apart - other.get_transform().transform(other.get_unitless_position())
    height = one.get_fontsize() * one.figure.dpi / 72
    return abs(apart @ [np.cos(normal), np.sin(normal)]) >= height
