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

from imagetwins.ssim.vector import DIRECTIONS
from imagetwins.ssim.windows import (
    RADIUS,
    TO_VARIANCE,
    WINDOW,
    begin_columns,
    begin_slopes,
    scale_variances,
    slide_columns,
    slide_slopes,
    sum_windows,
)

STEP = 1 / 64
"""Deviations are rounded to multiples of this, in grey levels."""

RHO_MARGIN = np.float32(1e-6)
"""rho^2 is raised by this, so that rounding cannot make it too small; see `feature_slack`."""

TO_COORDINATE = np.float32(WINDOW / np.sqrt(WINDOW * sum(k**2 for k in range(-RADIUS, RADIUS + 1))))
"""Factor 1/2 from g / sqrt(V) to a coordinate a; see the module's text."""


class RunningSums(NamedTuple):
    """Sums over 7 rows of the pixels of each group, from which the windows that begin in the first of them are measured.

    Attributes:
        columns: (groups, pixel_width) int16, see `begin_columns`.
        squares: (groups, pixel_width) int32, see `begin_columns`.
        slopes: (groups, pixel_width) int16, see `begin_slopes`.
    """

    columns: NDArray[np.int16]
    squares: NDArray[np.int32]
    slopes: NDArray[np.int16]


class MeasuredWindows(NamedTuple):
    """What is measured of some rows of windows of one group; unspecified at positions that hold no window.

    Attributes:
        sums: (rows, window_width) int16, the sum of a window's pixels.
        deviation: (rows, window_width) int16, s in units of STEP.
        directions: (3, rows, window_width) float32, a_1, a_2 and rho.
    """

    sums: NDArray[np.int16]
    deviation: NDArray[np.int16]
    directions: NDArray[np.float32]


@njit(nogil=True, cache=True)
def allocate_sums(groups: int, pixel_width: int) -> RunningSums:
    """Return uninitialised memory for the sums of a thumbnail."""
    columns, slopes = np.empty((groups, pixel_width), np.int16), np.empty((groups, pixel_width), np.int16)
    return RunningSums(columns, np.empty((groups, pixel_width), np.int32), slopes)


@njit(nogil=True, cache=True)
def allocate_windows(rows: int, window_width: int) -> MeasuredWindows:
    """Return uninitialised memory for some rows of windows."""
    sums, deviation = np.empty((rows, window_width), np.int16), np.empty((rows, window_width), np.int16)
    directions = np.empty((DIRECTIONS, rows, window_width), np.float32)
    return MeasuredWindows(sums, deviation, directions)


@njit(nogil=True, cache=True)
def measure_windows(
    pixels: NDArray[np.uint8],
    is_window: NDArray[np.bool_],
    group: int,
    span: tuple[int, int],
    running: RunningSums,
    windows: MeasuredWindows,
) -> np.int32:
    """Measure some rows of windows of one group of a thumbnail.

    Args:
        pixels: (groups, size, pixel_width) uint8, see `fill_pixels`.
        is_window: (groups, window_width) bool, the layout's.
        group: of which group.
        span: the first row of windows, and the end; the first is 0 or the end of the group's call before.
        running: kept between the calls.
        windows: with room for these rows or more; overwritten.

    Returns:
        The largest variance of these windows, times VARIANCE_SCALE.
    """
    top, bottom = span
    of_group, columns, squares = pixels[group], running.columns[group], running.squares[group]
    slopes, is_held = running.slopes[group], is_window[group]
    sums, deviation, directions = windows
    largest, width = np.int32(0), len(is_held)
    scaled_variances, down = np.empty(width, np.int32), np.empty((1, width), np.int16)
    for i in range(top, bottom):
        if i == 0:
            begin_columns(of_group, columns, squares)
            begin_slopes(of_group, slopes)
        else:
            slide_slopes(of_group, i - 1, columns, slopes)
            slide_columns(of_group, i - 1, columns, squares)
        sum_windows(columns, i - top, sums)
        scale_variances(squares, sums, i - top, scaled_variances)
        for f in range(width):
            largest = max(largest, scaled_variances[f] if is_held[f] else np.int32(0))
        _measure_deviations(scaled_variances, i - top, deviation)
        sum_windows(slopes, 0, down)
        _measure_directions(scaled_variances, columns, down, i - top, directions)
    return largest


# The compiler vectorises a loop over few arrays only, since any two of them might overlap.
@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _measure_deviations(scaled_variances: NDArray[np.int32], row: int, deviation: NDArray[np.int16]) -> None:
    """Compute a row of `deviation`."""
    for f in range(len(scaled_variances)):
        v = np.float32(scaled_variances[f]) * TO_VARIANCE
        deviation[row, f] = np.int16(np.sqrt(v) * np.float32(1 / STEP) + np.float32(0.5))


@njit(nogil=True, cache=True, error_model="numpy")
def _measure_directions(
    scaled_variances: NDArray[np.int32],
    columns: NDArray[np.int16],
    down: NDArray[np.int16],
    row: int,
    directions: NDArray[np.float32],
) -> None:
    """Compute a row of `directions`.

    Args:
        scaled_variances: (window_width,) int32.
        columns: (pixel_width,) int16, the sums of the row's columns.
        down: (1, window_width) int16, the slopes g down each window, at most 6*7*255 = 10,710.
        row: of `directions`.
        directions: (3, rows, window_width) float32; the row is overwritten.
    """
    width = len(scaled_variances)
    for f in range(width):
        across = np.int16(0)
        for k in range(1, RADIUS + 1):
            difference = np.int16(columns[f + RADIUS + k] - columns[f + RADIUS - k])
            across = np.int16(across + np.int16(np.int16(k) * difference))
        directions[0, row, f] = np.float32(across)
    for f in range(width):
        directions[2, row, f] = TO_COORDINATE / np.sqrt(np.float32(max(scaled_variances[f], np.int32(1))))
    for f in range(width):
        directions[1, row, f] = np.float32(down[0, f]) * directions[2, row, f]
    for f in range(width):
        directions[0, row, f] *= directions[2, row, f]
        left = np.float32(1) - directions[0, row, f] * directions[0, row, f]
        left -= directions[1, row, f] * directions[1, row, f]
        directions[2, row, f] = np.sqrt(max(left, np.float32(0)) + RHO_MARGIN)
