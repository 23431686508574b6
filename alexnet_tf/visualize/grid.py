"""Many small pictures as one."""

from __future__ import annotations

import math

import numpy as np

_GAP = 2  # pixels between pictures


def grid(pictures: np.ndarray, columns: int | None = None, scale: int = 1) -> np.ndarray:
    """Puts pictures of one size into rows, from the left and from the top.

    Args:
        pictures: uint8 [N, H, W, 3].
        columns: pictures in a row. Default: the fewest that fill every row and make the whole no
            higher than wide, if W = H; 96 make the 8 rows of 12 of the paper's figure 3.
        scale: pixels that each pixel becomes, along either side.

    Returns:
        uint8 [H', W', 3], white between the pictures and where there is none.
    """
    number, height, width, _ = pictures.shape
    if columns is None:
        start = math.ceil(math.sqrt(number))
        columns = next(c for c in range(start, number + 1) if number % c == 0)
    rows = math.ceil(number / columns)
    pictures = pictures.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale, width * scale
    sheet = np.full(
        (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, np.uint8
    )
    for place, picture in enumerate(pictures):
        top = _GAP + place // columns * (height + _GAP)
        left = _GAP + place % columns * (width + _GAP)
        sheet[top : top + height, left : left + width] = picture
    return sheet
