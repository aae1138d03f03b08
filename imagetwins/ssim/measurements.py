"""What is measured of each window of one thumbnail, to compute its features (features.py).

Of a window with the 49 pixels p and the centred pixels p~ = p - mean(p), three things are measured: its pixel sum; its
deviation s = sqrt(v), where v is the sample variance; and the coordinates (a_1, a_2, rho) of its *direction*, the unit
vector n = p~/|p~|. a_1 and a_2 are the inner products of n with the two slopes of a plane, which are the weights
-3 ... 3 across the window and down it, each divided by its length, 14; rho = sqrt(1 - a_1^2 - a_2^2) is the length of
the rest.

With the integer g, the sum of p times the weights -3 ... 3, and the integer V = 49 Sxx - Sx^2 = 49 |p~|^2,

    a_i = g / (14 |p~|) = g / (2 sqrt(V))
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.kernels import DETAIL_VARIANCE
from imagetwins.ssim.vector import DIRECTIONS
from imagetwins.ssim.windows import (
    HALF_C2,
    RADIUS,
    TO_VARIANCE,
    VARIANCE_SCALE,
    WINDOW,
    Layout,
    begin_columns,
    begin_slopes,
    slide_columns,
    slide_slopes,
    sum_window,
)

STEP = 1 / 64
"""Deviations are rounded to multiples of this, in grey levels."""

RHO_MARGIN = np.float32(1e-6)
"""rho^2 is raised by this, so that rounding cannot make it too small; see `feature_slack`."""

TO_COORDINATE = np.float32(WINDOW / np.sqrt(WINDOW * sum(k**2 for k in range(-RADIUS, RADIUS + 1))))
"""Factor 1/2 from g / sqrt(V) to a coordinate a; see the module's text."""


class MeasuredWindows(NamedTuple):
    """What is measured of the windows of a thumbnail, in its layout; unspecified at positions that hold no window.

    Attributes:
        sums: (groups, windows, window_width) int16, the sum of a window's pixels.
        deviation: the same shape, int16, s in units of STEP.
        share: the same shape, float32, v / (v + C2/2): 0 for a flat window, near 1 for a structured one.
        directions: (groups, 3, windows, window_width) float32, a_1, a_2 and rho.
    """

    sums: NDArray[np.int16]
    deviation: NDArray[np.int16]
    share: NDArray[np.float32]
    directions: NDArray[np.float32]


def allocate_windows(layout: Layout) -> MeasuredWindows:
    """Return uninitialised memory for the windows of one thumbnail."""
    shape = (layout.n_groups, layout.windows, layout.is_window.shape[1])
    directions = np.empty((layout.n_groups, DIRECTIONS, *shape[1:]), np.float32)
    return MeasuredWindows(
        np.empty(shape, np.int16), np.empty(shape, np.int16), np.empty(shape, np.float32), directions
    )


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def measure_windows(pixels: NDArray[np.uint8], is_window: NDArray[np.bool_], windows: MeasuredWindows) -> bool:
    """Measure the windows of a thumbnail.

    Args:
        pixels: (groups, size, pixel_width) uint8, see `fill_pixels`.
        is_window: (groups, window_width) bool, the layout's.
        windows: overwritten.

    Returns:
        Whether at least one window is structured (DETAIL_VARIANCE).
    """
    largest = np.int32(0)
    width = pixels.shape[2]
    columns, squares, slopes = np.empty(width, np.int32), np.empty(width, np.int32), np.empty(width, np.int32)
    scaled_variances = np.empty(windows.sums.shape[2], np.int32)
    for group in range(len(pixels)):
        begin_columns(pixels[group], columns, squares)
        begin_slopes(pixels[group], slopes)
        for i in range(windows.sums.shape[1]):
            _sum_row(columns, squares, windows.sums[group, i], scaled_variances)
            for f in range(len(scaled_variances)):
                largest = max(largest, scaled_variances[f] if is_window[group, f] else np.int32(0))
            _measure_deviations(scaled_variances, windows.deviation[group, i], windows.share[group, i])
            across, down = windows.directions[group, 0, i], windows.directions[group, 1, i]
            _weigh_columns(columns, np.int32(1), across)
            _weigh_columns(slopes, np.int32(0), down)
            _normalize_slopes(scaled_variances, across, down, windows.directions[group, 2, i])
            if i + WINDOW < len(pixels[group]):
                slide_slopes(pixels[group], i, columns, slopes)
                slide_columns(pixels[group], i, columns, squares)
    return bool(largest >= DETAIL_VARIANCE * VARIANCE_SCALE)


# Each step of a row has its own function: the compiler vectorises a loop over few arrays only, since any two of them
# might overlap.
@njit(nogil=True, cache=True)
def _sum_row(
    columns: NDArray[np.int32], squares: NDArray[np.int32], sums: NDArray[np.int16], scaled_variances: NDArray[np.int32]
) -> None:
    """Compute the sums and the scaled variances of one row of windows, see `sum_window`."""
    for f in range(len(sums)):
        sums[f], scaled_variances[f] = sum_window(columns, squares, f)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _measure_deviations(
    scaled_variances: NDArray[np.int32], deviation: NDArray[np.int16], share: NDArray[np.float32]
) -> None:
    """Compute `deviation` and `share` of one row of windows."""
    for f in range(len(scaled_variances)):
        v = np.float32(scaled_variances[f]) * TO_VARIANCE
        deviation[f] = np.int16(np.sqrt(v) * np.float32(1 / STEP) + np.float32(0.5))
        share[f] = v / (v + HALF_C2)


@njit(nogil=True, cache=True)
def _weigh_columns(columns: NDArray[np.int32], step: np.int32, slope: NDArray[np.float32]) -> None:
    """Set `slope` to the sums of 7 columns, weighted by -3 ... 3 if `step` is 1, unweighted if it is 0."""
    for f in range(len(slope)):
        total = np.int32(0)
        for k in range(WINDOW):
            weight = np.int32(np.int32(np.int32(k - RADIUS) * step) + (np.int32(1) - step))
            total = np.int32(total + np.int32(weight * columns[f + k]))
        slope[f] = np.float32(total)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _normalize_slopes(
    scaled_variances: NDArray[np.int32],
    across: NDArray[np.float32],
    down: NDArray[np.float32],
    rest: NDArray[np.float32],
) -> None:
    """Turn the slopes g of one row of windows into the coordinates a_1 and a_2, and set `rest` to rho."""
    for f in range(len(rest)):
        scale = TO_COORDINATE / np.sqrt(np.float32(max(scaled_variances[f], np.int32(1))))
        across[f] *= scale
        down[f] *= scale
    for f in range(len(rest)):
        left = np.float32(1) - across[f] * across[f] - down[f] * down[f]
        rest[f] = np.sqrt(max(left, np.float32(0)) + RHO_MARGIN)
