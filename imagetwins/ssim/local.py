"""The local SSIM: how much of two thumbnails' structure is lost in the square where most of it is.

A mean over all windows cannot see that one thing is different: a name on a form, a message in a chat, a face. So the
windows are divided into the cells of features.py, and for each square of 2 x 2 neighbouring cells (12 x 12 windows at 200
pixels; two squares may overlap by half) the losses of its windows are averaged:

    local SSIM  =  1  -  max over squares of  mean over the windows w and channels of the square of  loss_w

    loss_w  =  1 - SSIM_w   where at least one of the two images is structured (kernels.DETAIL_VARIANCE), else 0

That is the lowest mean of the SSIM map over the squares, if windows without structure count as equal: the noise of JPEG
in a blank square is no difference. Measured on copies of photographs, charts and documents, and on look-alikes that differ
in one place, overlapping squares and this rule find more of the look-alikes at the same loss of copies than fixed
squares, all windows, or structured windows alone. Identical thumbnails, and thumbnails without structure, have 1.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

SQUARE_CELLS = 2
"""Cells along one side of a square."""


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"nnan", "nsz", "reassoc"})
def lowest_square(cells: NDArray[np.float32], pair: int, edges: NDArray[np.int64], channels: int) -> float:
    """Return the local SSIM.

    Args:
        cells: (pairs, cells, cells) float32, the losses of the windows of each cell, added up over the channels.
        pair: the pair.
        edges: (cells + 1,) int64, the row or column of windows at which each cell begins, and the end.
        channels: how many channels were added up.
    """
    side = min(SQUARE_CELLS, len(edges) - 1)
    squares = len(edges) - side
    down, total, share = np.empty(len(edges) - 1), np.empty(squares), np.empty(squares)
    for k in range(squares):
        share[k] = 1 / (edges[k + side] - edges[k])
    largest = 0.0
    for i in range(squares):
        down[:], total[:] = 0, 0
        for row in range(i, i + side):
            for column in range(len(down)):
                down[column] += cells[pair, row, column]
        for k in range(side):
            for j in range(squares):
                total[j] += down[j + k]
        for j in range(squares):
            largest = max(largest, total[j] * share[j] * share[i])
    return 1.0 - largest / channels
