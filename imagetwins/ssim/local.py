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


@njit(nogil=True, cache=True)
def collect_losses(
    losses: NDArray[np.float32], first: NDArray[np.int64], edges: NDArray[np.int64], cells: NDArray[np.float64]
) -> None:
    """Add up the losses of one row of cells of one group.

    Args:
        losses: (window_width,) float32, of each position, added up over the rows of the cells; see `sum_block`. The
            positions of the first channel are overwritten by the sums over the channels.
        first: (n, channels) int64, the position at which each cell begins in each channel.
        edges: (n + 1,) int64, the column of windows at which each cell begins, and the end.
        cells: (n,) float64, the losses of each cell; overwritten.
    """
    start = first[0, 0]
    width = edges[-1] - edges[0]
    for channel in range(1, first.shape[1]):
        losses[start : start + width] += losses[first[0, channel] : first[0, channel] + width]
    for k in range(len(cells)):
        total = np.float32(0)
        for f in range(first[k, 0], first[k, 0] + edges[k + 1] - edges[k]):
            total += losses[f]
        cells[k] = total


@njit(nogil=True, cache=True)
def lowest_square(cells: NDArray[np.float64], edges: NDArray[np.int64], channels: int) -> float:
    """Return the local SSIM.

    Args:
        cells: (cells, cells) float64, the losses of the windows of each cell, added up over the channels.
        edges: (cells + 1,) int64, the row or column of windows at which each cell begins, and the end.
        channels: how many channels were added up.
    """
    side = min(SQUARE_CELLS, len(cells))
    share = 1 / (edges[side:] - edges[:-side])
    largest = 0.0
    for i in range(len(share)):
        for j in range(len(share)):
            total = 0.0
            for row in range(i, i + side):
                for column in range(j, j + side):
                    total += cells[row, column]
            largest = max(largest, total * share[i] * share[j])
    return 1.0 - largest / channels
