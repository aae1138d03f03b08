"""scikit-image's own score, to the last bit, for the pairs whose score decides something: in a thirtieth of its time.

`skimage.metrics.structural_similarity` filters ux, uy, uxx, uyy and uxy with `scipy.ndimage.uniform_filter`, which takes the
means over 7 rows and then, of those, over 7 columns. Both are running sums: the mean at a place is the sum of 7 numbers divided
by 7, and the sum at the next place is that sum plus (the new number minus the old one). All of it is in float64:

    down      sums of integers: exact in any order, here in int32; the division rounds
    across    t[3] = c[0] + c[1] + ... + c[6]   of the first 7 columns, mirrored at the edge (c[2], c[1], c[0], c[0] ... c[3])
              t[j + 1] = t[j] + (c[j + 4] - c[j - 3]);  the mean is t / 7

So what an addition rounds is handed on along the row from the left edge on, and a score has scikit-image's last bits only if
these are the same operations in the same order. They are, and so are those of the ratio. No product is added to anything in
SciPy's loop, and NumPy does each operation of the ratio on its own: no compiler has anything to fuse there; and Numba fuses
nothing unless it is asked to. The mean over the windows is NumPy's own, over an array of the same shape and layout. Hence the
numbers are equal by IEEE 754 wherever float64 is, and not by luck; `tests/imagetwins/ssim/test_reference.py` holds every bit
against the scikit-image that is installed.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.windows import HALO, RADIUS, WINDOW, WINDOW_PIXELS, split_channels

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""The constants of scikit-image, float64."""

TO_SAMPLE = WINDOW_PIXELS / (WINDOW_PIXELS - 1)
"""Factor from a variance of all to that of a sample."""


def reference_ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return scikit-image's mean SSIM of two (size, size, 3) uint8 thumbnails, every bit of it; releases the GIL.

    Identical thumbnails score exactly 1: for equal inputs `2*ux*uy` and `ux**2 + uy**2` are the same float64 (doubling
    is exact), and so are `2*vxy` and `vx + vy`. So the ratio of every window is x/x = 1, and the mean of ones is 1.
    """
    ssim = np.empty(first.shape[:2])
    means = np.empty(3)
    for channel, (x, y) in enumerate(zip(split_channels(first), split_channels(second), strict=True)):
        _fill_map(x, y, ssim)
        means[channel] = ssim[RADIUS:-RADIUS, RADIUS:-RADIUS].mean()
    return float(means.mean())


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_map(x: NDArray[np.uint8], y: NDArray[np.uint8], ssim: NDArray[np.float64]) -> None:
    """Compute the SSIM of every window of one channel.

    Args:
        x, y: (size, size) uint8, contiguous.
        ssim: (size, size) float64; overwritten where a window is centred.
    """
    size = len(x)
    sums, means, totals = np.zeros((5, size), np.int32), np.empty((5, RADIUS + size)), np.empty((5, size - HALO + 2))
    for row in range(WINDOW):
        _add_row(x[row], y[row], sums)
    for row in range(size - HALO):
        if row > 0:
            _slide_rows(x[row - 1], y[row - 1], x[row + HALO], y[row + HALO], sums)
        _average_rows(sums, means)
        _add_columns(means, totals)
        _compare_windows(totals, ssim[RADIUS + row, RADIUS : size - RADIUS])


@njit(nogil=True, cache=True)
def _add_row(x: NDArray[np.uint8], y: NDArray[np.uint8], sums: NDArray[np.int32]) -> None:
    """Add a row of pixels to `sums`, (5, size) int32: those of x, y, xx, yy and xy."""
    for j in range(len(x)):
        a, b = np.int32(x[j]), np.int32(y[j])
        sums[0, j] += a
        sums[1, j] += b
        sums[2, j] += np.int32(a * a)
        sums[3, j] += np.int32(b * b)
        sums[4, j] += np.int32(a * b)


@njit(nogil=True, cache=True)
def _slide_rows(
    old_x: NDArray[np.uint8],
    old_y: NDArray[np.uint8],
    x: NDArray[np.uint8],
    y: NDArray[np.uint8],
    sums: NDArray[np.int32],
) -> None:
    """Add a row of pixels to the sums of `_add_row`, and take an old one from them."""
    for j in range(len(x)):
        a, b, c, d = np.int32(x[j]), np.int32(y[j]), np.int32(old_x[j]), np.int32(old_y[j])
        sums[0, j] += np.int32(a - c)
        sums[1, j] += np.int32(b - d)
        sums[2, j] += np.int32(np.int32(a * a) - np.int32(c * c))
        sums[3, j] += np.int32(np.int32(b * b) - np.int32(d * d))
        sums[4, j] += np.int32(np.int32(a * b) - np.int32(c * d))


@njit(nogil=True, cache=True, error_model="numpy")
def _average_rows(sums: NDArray[np.int32], means: NDArray[np.float64]) -> None:
    """Set `means`, (5, 3 + size) float64, to the means of 7 rows from their sums, (5, size) int32, mirrored at the left edge."""
    for k in range(len(sums)):
        for j in range(sums.shape[1]):
            means[k, RADIUS + j] = sums[k, j] / WINDOW
        for j in range(RADIUS):
            means[k, j] = means[k, 2 * RADIUS - 1 - j]


@njit(nogil=True, cache=True)
def _add_columns(means: NDArray[np.float64], totals: NDArray[np.float64]) -> None:
    """Add up 7 neighbouring columns, as SciPy's running sum does.

    Args:
        means: (5, 3 + size) float64, see `_average_rows`.
        totals: (5, 2 + windows) float64, overwritten: the sums around the second column, the third, and so on; the first
            window of SSIM is the third.
    """
    for k in range(len(means)):
        for j in range(totals.shape[1]):
            totals[k, j] = means[k, j + WINDOW] - means[k, j]
    ux, uy, uxx, uyy, uxy = 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(WINDOW):
        ux += means[0, j]
        uy += means[1, j]
        uxx += means[2, j]
        uyy += means[3, j]
        uxy += means[4, j]
    # Five sums at once: each waits for its last addition.
    for j in range(totals.shape[1]):
        ux += totals[0, j]
        uy += totals[1, j]
        uxx += totals[2, j]
        uyy += totals[3, j]
        uxy += totals[4, j]
        totals[0, j], totals[1, j], totals[2, j], totals[3, j], totals[4, j] = ux, uy, uxx, uyy, uxy


@njit(nogil=True, cache=True, error_model="numpy")
def _compare_windows(totals: NDArray[np.float64], ssim: NDArray[np.float64]) -> None:
    """Compute the SSIM of a row of windows, (windows,) float64, from the sums of `_add_columns`."""
    for j in range(len(ssim)):
        ux, uy = totals[0, j + 2] / WINDOW, totals[1, j + 2] / WINDOW
        vx = TO_SAMPLE * (totals[2, j + 2] / WINDOW - ux * ux)
        vy = TO_SAMPLE * (totals[3, j + 2] / WINDOW - uy * uy)
        vxy = TO_SAMPLE * (totals[4, j + 2] / WINDOW - ux * uy)
        a1, a2, b1, b2 = 2 * ux * uy + C1, 2 * vxy + C2, ux * ux + uy * uy + C1, vx + vy + C2
        ssim[j] = (a1 * a2) / (b1 * b2)
