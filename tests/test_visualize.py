"""Kernels as pictures: which colour is where."""

import numpy as np

from alexnet_tf.visualize import grid, kernel_grid, kernel_pictures


def test_zero_is_grey_and_the_largest_weight_is_a_full_colour():
    kernels = np.zeros((2, 2, 3, 2), np.float32)
    kernels[0, 1, 0, 0] = 0.5  # the most, of the first channel
    kernels[1, 0, 2, 0] = -0.25
    pictures = kernel_pictures(kernels)
    assert pictures.shape == (2, 2, 2, 3) and pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures[0, 0, 1], [255, 128, 128])
    np.testing.assert_array_equal(pictures[0, 1, 0], [128, 128, 64])
    assert (pictures[1] == 128).all()  # nothing in it, and nothing divided by 0
    np.testing.assert_array_equal(kernel_pictures(kernels, "bgr"), pictures[..., ::-1])


def test_rows_fill_from_the_left_and_the_top():
    pictures = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 1, 3), np.uint8)
    sheet = grid(pictures, scale=2)  # 2 rows of 3, each picture 2 pixels wide, gaps of 2
    assert sheet.shape == (10, 14, 3)
    np.testing.assert_array_equal(sheet[2:4, [2, 6, 10], 0], [[0, 1, 2]] * 2)
    np.testing.assert_array_equal(sheet[6:8, [2, 6, 10], 0], [[3, 4, 5]] * 2)
    assert (sheet[4:6] == 255).all() and (sheet[:, 4:6] == 255).all()


def test_the_papers_96_kernels_make_8_rows_of_12():
    towers = np.zeros((11, 11, 3, 96), np.float32)
    towers[..., 48:] = np.eye(11)[:, :, None, None]  # the second tower's kernels differ
    sheet = kernel_grid(towers)
    side = 4 * 11 + 2
    assert sheet.shape == (8 * side + 2, 12 * side + 2, 3)
    assert set(np.unique(sheet[: 4 * side])) == {128, 255}  # grey, and white between
    assert (sheet[4 * side :] == 255).mean() < (sheet[4 * side :] == 128).mean() < 0.9
    assert (sheet[4 * side + 2, 2] == 255).all()  # a corner of the diagonal, in the fifth row
    assert (sheet[2, 2] == 128).all()
