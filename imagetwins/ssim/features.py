"""The features of an image: a vector whose inner product with another image's bounds the SSIM of the two from above.

The bound rests on the Cauchy-Schwarz inequality and on the fact that SSIM (Wang, Bovik, Sheikh, Simoncelli 2004,
doi:10.1109/TIP.2003.819861) is made of positive-definite kernels: by Mercer's theorem each of these is an inner product
of vectors, and those vectors can be shortened by projection.

**The bound of a window.** Of a window of image x, let ux be its mean, vx its sample variance, sx = sqrt(vx), and nx the
direction of its centred pixels (measurements.py). The covariance of two windows is vxy = sx sy <nx, ny>. Let
ax = (a_1, a_2) be the coordinates of nx along the two slopes of a plane, and rho_x = sqrt(1 - |ax|^2) the length of the
rest. By Cauchy-Schwarz on the rest, <nx, ny> <= <ax, ay> + rho_x rho_y. So with the unit vector t = (a_1, a_2, rho),

    SSIM_w <= k(ux, uy; C1) [ k1(sx, sy) <tx, ty> + k0(sx, sy) ]

    k(a, b; C) = (2 a b + C) / (a^2 + b^2 + C)
    k1(a, b) = 2 a b / (a^2 + b^2 + C2)
    k0(a, b) = C2 / (a^2 + b^2 + C2)

(In photographs the two slopes hold more than half of the variance of the windows.) All three are positive-definite
kernels: their numerators are inner products plus constants,

    1/(a^2 + b^2 + C) = integral_0^inf exp(-z (a^2 + C/2)) exp(-z (b^2 + C/2)) dz,

and sums and products of positive-definite kernels are positive definite. Also k(a, a) = k1(a, a) + k0(a, a) = 1. So
each window has a unit vector phi(u, s, t), and the right side is the inner product of two of them.

**Coordinates of a window.** The feature vectors of the kernel k are projected on the span of those of a few values, the
grid: if G = V diag(w) V' is the kernel matrix of the grid, then k(u, grid) V / sqrt(w) are coordinates in an
orthonormal basis (the Nystroem method). Those of the MEAN_RANK largest w are kept. k1 and k0 are treated alike, with
DEVIATION_RANK coordinates each. The coordinates of a window are the tensor product of those of u with
(a_1 k1, a_2 k1, rho k1, k0); for three channels these are 3 * MEAN_RANK * STRUCTURE_RANK numbers. A fixed matrix with
orthonormal rows reduces them to CELL_RANK. Any such matrix gives a valid bound; the principal axes of synthetic windows
give a tight one. They are computed so that a turned picture needs none of its own:

**Turned pictures.** A window that is turned or mirrored has the same u, s and rho; a_1 or a_2 changes its sign, and where it is
transposed the two are exchanged. So each axis is either even, with coordinates of rho k1 and k0 alone, or belongs to one of
the SLOPE_AXES: one axis with coordinates of a_1 k1 alone, and another with the same numbers for a_2 k1. And the cells are
symmetric. Hence the features F of a turned picture are those of the picture itself, with cells and coordinates exchanged and
some signs changed (`turn_features`): what is computed of the picture is as far from its true F as that is from the true F of the
turned one, and the slack below holds for it too. (Measured anew, the turned picture's would be rounded otherwise.)

**Cells.** The windows are divided into CELLS x CELLS cells. For a cell that holds the share a of all windows, let m(x)
be the mean of the projected phi over its windows and channels; |m| <= 1. Take the vectors of all windows of the cell
together, as one vector of mean square 1, and subtract its projection on those that are the same for every window and
lie in the kept coordinates, which is m: the rest is orthogonal to it and has the length r = sqrt(1 - |m|^2). By
Cauchy-Schwarz on these rests, the mean SSIM of the cell is at most <m(x), m(y)> + r(x) r(y). So

    F = (sqrt(a) m, sqrt(a) r) of all cells:    SSIM(x, y) <= <F(x), F(y)>,    |F| = 1

and the same sum over some of the cells bounds what those cells contribute to the SSIM. That is the bound of a block
(refine.py).

**Slack.** What is computed differs from these formulas by
- the rounding of s to multiples of STEP: |phi(s) - phi(s')|^2 = 2 - 2k = 2 (s - s')^2 / (s^2 + s'^2 + C2), so the
  vector of an image moves by at most (STEP/2) sqrt(2/C2), plus a hundredth of that for the float32 rounding of s
  itself, and the bound moves by at most twice that plus its square;
- the rounding of a_i = g / (2 sqrt(49 Sxx - Sx^2)), where g is an exact integer: the error is at most e = 2^-22
  (4 roundings), since |a_i| <= 1. rho^2 is raised by RHO_MARGIN > 2e + e^2 plus its own roundings, so it is never below
  its true value. This lengthens phi, |phi|^2 <= 1 + RHO_MARGIN, and moves the bound by at most 2e + e^2 < RHO_MARGIN;
- the float32 sums: each coordinate of m is a sum over 3n windows of products of three numbers, multiplied by
  3 MEAN_RANK STRUCTURE_RANK coefficients of the axes, so m may be wrong by
  sqrt(CELL_RANK) (3n + 3 MEAN_RANK STRUCTURE_RANK + 2) 2^-24 times its length, which is at most 1 (`mean_slack(n)`),
  in whatever order they are added. (Where one channel stands for three equal ones, the coefficients of the three are
  added first: a term then takes two roundings more for those, and 2n + 2 MEAN_RANK STRUCTURE_RANK less for the rest.)
  That moves the bound by as much for each of the two images. r^2 is raised by twice that plus RHO_MARGIN, so it is
  never below its true value; a larger r only raises the bound;
- the inner product of two F, or of shorter vectors, in float32 and in any order: at most (dimensions) 2^-24 |F| |F|.

`feature_slack` adds these; it is subtracted from the floor before any bound is compared with it. Features are stored as
int16, in one unit for all of them, which `stored_slack` allows for: float16 would move them more, and processors that
have none of its conversions would take longer.
"""

import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.kernels import DETAIL_VARIANCE
from imagetwins.ssim.measurements import (
    RHO_MARGIN,
    STEP,
    MeasuredWindows,
    allocate_sums,
    allocate_windows,
    measure_windows,
)
from imagetwins.ssim.vector import DEVIATION_RANK, MEAN_RANK, STRUCTURE_RANK, complete_panels, multiply, sum_outer
from imagetwins.ssim.windows import C1, C2, CELLS, VARIANCE_SCALE, WINDOW_PIXELS, Layout, plan_layout

CHANNELS = 3

PRODUCTS = MEAN_RANK * STRUCTURE_RANK
"""Coordinates of one channel of a window before the axes reduce them."""

CELL_RANK = 15
"""Coordinates kept of a cell, without its residual r."""

SLOPE_AXES = ((3, 4), (8, 9), (11, 12))
"""The axes of slopes across a window, each with that of slopes down it; the other axes are even. They are in these places because
the axes are sorted by how much the synthetic cells vary along them."""

STRIPS = 16
"""Strips of cell rows in a thumbnail; the part of a strip in one group of columns is a block, see refine.py."""

MAX_PIXEL = 255

MAX_DEVIATION = 129
"""Above the largest deviation of a window of uint8 pixels, sqrt(127.5^2 * 49/48) = 128.8."""

MEAN_GRID = np.concatenate([[0.0], np.geomspace(1, MAX_PIXEL, 15)])
DEVIATION_GRID = np.geomspace(0.7, 120, 15)

SYNTHETIC_CELLS = 5_000
"""How many synthetic cells the axes are computed from."""


class Basis(NamedTuple):
    """The coordinates of phi, by table. Computed once for each workspace, so that all processes use the same numbers.

    Attributes:
        of_mean: (49*255 + 1, MEAN_RANK) float32, by window sum.
        of_deviation: (n, 2 * DEVIATION_RANK) float32, by deviation in units of STEP: the coordinates of k1, then those
            of k0.
        axes: (CELL_RANK, 3 * MEAN_RANK * STRUCTURE_RANK) float32, orthonormal rows divided by sqrt(3), because m is a
            mean over three channels.
    """

    of_mean: NDArray[np.float32]
    of_deviation: NDArray[np.float32]
    axes: NDArray[np.float32]


@cache
def make_basis() -> Basis:
    """Compute the coordinates of all window sums and deviations, and the axes. Deterministic."""
    means = np.arange(WINDOW_PIXELS * MAX_PIXEL + 1) / WINDOW_PIXELS
    of_mean = _coordinates(_kernel(C1), means, MEAN_GRID, MEAN_RANK)
    deviation = np.arange(int(MAX_DEVIATION / STEP)) * STEP
    of_k1 = _coordinates(_kernel(C2, constant=0), deviation, DEVIATION_GRID, DEVIATION_RANK)
    of_k0 = _coordinates(_kernel(C2, product=0), deviation, np.append(0, DEVIATION_GRID), DEVIATION_RANK)
    of_deviation = np.hstack([of_k1, of_k0])
    axes = _principal_axes(of_mean, of_deviation)
    tables = of_mean, of_deviation, axes / np.sqrt(CHANNELS)
    return Basis(*(np.ascontiguousarray(table, np.float32) for table in tables))


Kernel = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]


def _kernel(c: np.float32, *, product: float = 2, constant: float = 1) -> Kernel:
    """Return the kernel (product a b + constant c) / (a^2 + b^2 + c) of all pairs of two arrays' values."""

    def kernel(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
        numerator = product * np.multiply.outer(a, b) + constant * float(c)
        ratio: NDArray[np.float64] = numerator / (np.add.outer(a * a, b * b) + float(c))
        return ratio

    return kernel


def _coordinates(kernel: Kernel, values: NDArray[Any], grid: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    """Return the `rank` leading coordinates of the kernel's features of `values`, (len(values), rank)."""
    w, v = np.linalg.eigh(kernel(grid, grid))
    kept = v[:, : -rank - 1 : -1] / np.sqrt(w[: -rank - 1 : -1])
    coordinates: NDArray[np.float64] = kernel(values, grid) @ kept
    return coordinates


def _principal_axes(of_mean: NDArray[np.float64], of_deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return CELL_RANK leading principal axes of synthetic cells, as rows, the even ones apart from those of slopes.

    Half of the cells hold one kind of window, the others a mixture of two.
    """
    rng = np.random.default_rng(0)
    n = SYNTHETIC_CELLS
    share = (rng.random(n) * (rng.random(n) < 0.5))[:, None]
    cells = (1 - share) * _synthetic_windows(rng, of_mean, of_deviation)
    cells += share * _synthetic_windows(rng, of_mean, of_deviation)
    part = np.arange(cells.shape[1]) % STRUCTURE_RANK // DEVIATION_RANK
    across, down, even = (cells[:, is_part] for is_part in (part == 0, part == 1, part > 1))
    axes = np.zeros((CELL_RANK, cells.shape[1]))
    slopes = _leading_axes(across.T @ across + down.T @ down, len(SLOPE_AXES))
    for (one, other), slope in zip(SLOPE_AXES, slopes, strict=True):
        axes[one, part == 0] = axes[other, part == 1] = slope
    is_even = ~axes.any(1)
    axes[np.ix_(is_even, part > 1)] = _leading_axes(even.T @ even, int(is_even.sum()))
    return axes


def _leading_axes(covariance: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the n leading principal axes, as rows."""
    axes: NDArray[np.float64] = np.linalg.eigh(covariance)[1][:, : -n - 1 : -1].T
    return axes


def _synthetic_windows(
    rng: np.random.Generator, of_mean: NDArray[np.float64], of_deviation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the coordinates of SYNTHETIC_CELLS random windows, (n, 3 * MEAN_RANK * STRUCTURE_RANK).

    Three in ten are white, three in ten are flat, half are grey.
    """
    n = SYNTHETIC_CELLS
    mean = np.where(rng.random(n) < 0.3, 255.0, rng.uniform(0, 255, n))
    deviation = np.where(rng.random(n) < 0.3, 0.0, np.exp(rng.uniform(np.log(0.5), np.log(80), n)))
    is_colour = (rng.random(n) < 0.5)[:, None]
    means = mean[:, None] + is_colour * rng.normal(0, 30, (n, CHANNELS))
    deviations = deviation[:, None] * np.exp(is_colour * rng.normal(0, 0.3, (n, CHANNELS)))
    angle, length = rng.uniform(0, 2 * np.pi, n), np.sqrt(rng.random(n))
    slopes = (length * np.array([np.cos(angle), np.sin(angle)])).T[:, None] + np.zeros((n, CHANNELS, 2))
    slopes += is_colour[..., None] * rng.normal(0, 0.15, (n, CHANNELS, 2))
    slopes /= np.maximum(np.linalg.norm(slopes, axis=-1, keepdims=True), 1)
    rest = np.sqrt(np.maximum(1 - (slopes**2).sum(-1, keepdims=True), 0))
    directions = np.concatenate([slopes, rest], -1)[..., None]
    u = of_mean[np.rint(means.clip(0, 255) * WINDOW_PIXELS).astype(int)]
    k1, k0 = np.split(of_deviation[np.rint(deviations.clip(0, 120) / STEP).astype(int)], 2, axis=-1)
    s = np.concatenate([(directions * k1[..., None, :]).reshape(n, CHANNELS, -1), k0], -1)
    products: NDArray[np.float64] = (u[..., :, None] * s[..., None, :]).reshape(n, -1)
    return products


class CellGrid(NamedTuple):
    """How the windows of a thumbnail are divided into cells. Cells are in the order of their blocks.

    Attributes:
        extent: (cells * cells, 7) int64, of each cell: its group, its first row of windows, the end of its rows, its
            width in windows, and the positions in the group at which its first window begins in each of three channels.
        grid_index: (cells * cells,) int64, `cell row * cells + cell column` of each cell.
        share: (cells * cells,) float64, the share of all windows that each cell holds.
        blocks: (blocks + 1,) int64, the first cell of each block, and the end.
        strips: (strips + 1,) int64, the first row of windows of each strip, and the end.
    """

    extent: NDArray[np.int64]
    grid_index: NDArray[np.int64]
    share: NDArray[np.float64]
    blocks: NDArray[np.int64]
    strips: NDArray[np.int64]

    @property
    def side(self) -> int:
        """Cells along one side."""
        return math.isqrt(len(self.grid_index))

    @property
    def counts(self) -> NDArray[np.int64]:
        """(cells * cells,) int64, the windows of one channel in each cell."""
        counts: NDArray[np.int64] = self.extent[:, 3] * (self.extent[:, 2] - self.extent[:, 1])
        return counts

    @property
    def largest(self) -> int:
        """Windows of one channel in the largest cell."""
        return int(self.counts.max())


@cache
def plan_cells(size: int) -> CellGrid:
    """Return the cells of thumbnails of `size` pixels, in the layout of three channels."""
    layout = plan_layout(size, CHANNELS)
    edges = layout.edges
    strips = min(STRIPS, layout.cells)
    rows_of_strips = np.arange(strips + 1) * layout.cells // strips
    extents, index, blocks = [], [], [0]
    for (top, bottom), (group, span) in itertools.product(
        itertools.pairwise(rows_of_strips.tolist()), enumerate(itertools.pairwise(layout.groups.tolist()))
    ):
        for row, column in itertools.product(range(top, bottom), range(*span)):
            positions = [layout.position(channel, column) for channel in range(CHANNELS)]
            index.append(row * layout.cells + column)
            extents.append([group, edges[row], edges[row + 1], edges[column + 1] - edges[column], *positions])
        blocks.append(len(extents))
    extent = np.array(extents)
    share = extent[:, 3] * (extent[:, 2] - extent[:, 1]) / layout.windows**2
    return CellGrid(extent, np.array(index), share, np.array(blocks), edges[rows_of_strips])


def count_features(size: int) -> int:
    """Return the length of the features of thumbnails of `size` pixels."""
    return len(plan_cells(size).grid_index) * (CELL_RANK + 1)


def mean_slack(n_windows: int) -> float:
    """Return how far float32 may move the mean of a cell of `n_windows` windows a channel; see the module's text."""
    return float(np.sqrt(CELL_RANK) * (CHANNELS * n_windows + CHANNELS * PRODUCTS + 2) * 2.0**-24)


def feature_slack(size: int) -> float:
    """Return how far a computed bound for thumbnails of `size` pixels may be below the true one; see module text."""
    moved = 1.01 * STEP / 2 * np.sqrt(2 / float(C2))
    sums = 1.01 * count_features(size) * 2.0**-24 + 2 * mean_slack(plan_cells(size).largest)
    return float(2 * moved + moved**2 + float(RHO_MARGIN) + sums)


def feature_unit(n: int) -> float:
    """Return the unit in which `n` features are stored as int16.

    No coordinate is longer than its cell's part, sqrt(a (1 + 2 mean_slack + RHO_MARGIN)), where a is the share of the
    windows that the cell holds. There are at least two windows for each cell along a side, so the widest cell has at most
    1.5 times as many as the average: sqrt(a) <= 1.5 / cells. The rest is within a hundredth of that.
    """
    cells = math.isqrt(n // (CELL_RANK + 1))
    return 1.515 / (cells * np.iinfo(np.int16).max)


def store_features(features: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return features, (n,) float32, as (n,) int16 in units of `feature_unit(n)`."""
    stored: NDArray[np.int16] = np.rint(features * np.float32(1 / feature_unit(len(features)))).astype(np.int16)
    return stored


def stored_slack(size: int) -> float:
    """Return how far a bound computed from stored features may be below the true one.

    Each of n coordinates moves by half a unit at most, and by 2 * 2^-24 * 2^15 = 0.004 units because the factor and the
    product are rounded to float32. So an image's vector, of length 1, moves by e = 1.008 sqrt(n) unit / 2 and the inner
    product by 2 e + e^2; the rest of a hundredth is for a vector that is longer. The integers are exact as float32, and
    the sums of their products round like any others.
    """
    n = count_features(size)
    moved = np.sqrt(n) * feature_unit(n) / 2
    return feature_slack(size) + float(1.01 * (2 * moved + moved**2))


class MeasuredCells(NamedTuple):
    """What is measured of the cells of a thumbnail.

    Attributes:
        features: (cells * cells * (CELL_RANK + 1),) float32, see the module's text.
        is_structured: whether at least one window is structured (DETAIL_VARIANCE).
    """

    features: NDArray[np.float32]
    is_structured: bool


def measure_cells(pixels: NDArray[np.uint8], layout: Layout, cells: CellGrid, basis: Basis) -> MeasuredCells:
    """Measure a thumbnail.

    Args:
        pixels: (groups, size, pixel_width) uint8, see `fill_pixels`.
        layout: of these pixels. If it has one channel, the thumbnail's three are equal to that: the result is the same.
        cells: of the thumbnail's size.
        basis: the workspace's.
    """
    n = len(cells.share)
    means = np.empty((n, CELL_RANK + 1), np.float32)
    largest = average_cells(pixels, layout.is_window, layout.channels, cells.extent, basis, means)
    complete_features(means, cells.share, 2 * mean_slack(cells.largest) + float(RHO_MARGIN))
    return MeasuredCells(means.ravel(), bool(largest >= DETAIL_VARIANCE * VARIANCE_SCALE))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def complete_features(means: NDArray[np.float32], share: NDArray[np.float64], margin: float) -> None:
    """Turn the means m of the cells into features F.

    Args:
        means: (cells, CELL_RANK + 1) float32, m of each cell; the last column is not read; overwritten with F.
        share: (cells,) float64, a, the share of all windows that each cell holds.
        margin: what r^2 is raised by.
    """
    for cell in range(len(means)):
        rest, scale = 1.0, np.sqrt(share[cell])
        for k in range(CELL_RANK):
            rest -= np.float64(means[cell, k]) * np.float64(means[cell, k])
        for k in range(CELL_RANK):
            means[cell, k] = np.float32(np.float64(means[cell, k]) * scale)
        means[cell, CELL_RANK] = np.float32(np.sqrt(max(rest, 0.0) + margin) * scale)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def average_cells(
    pixels: NDArray[np.uint8],
    is_window: NDArray[np.bool_],
    channels: int,
    extent: NDArray[np.int64],
    basis: Basis,
    means: NDArray[np.float32],
) -> np.int32:
    """Compute the mean m of the projected coordinates of the windows of each cell.

    Windows are measured, and their outer products are summed, one row of cells after the other: what is measured of so
    few windows stays in the processor's cache.

    Args:
        pixels: (groups, size, pixel_width) uint8.
        is_window: (groups, window_width) bool, the layout's.
        channels: 3, or 1 if the layout has one channel and the others are equal to it.
        extent: (cells, 7) int64, see `CellGrid`.
        basis: the workspace's.
        means: (cells, CELL_RANK + 1) float32; overwritten, the last column with 0.

    Returns:
        The largest variance of a window, times VARIANCE_SCALE.
    """
    running, rows = allocate_sums(pixels.shape[0], pixels.shape[2]), 0
    for cell in range(len(extent)):
        rows = max(rows, extent[cell, 2] - extent[cell, 1])
    windows = allocate_windows(rows, is_window.shape[1])
    axes = fold_axes(basis.axes, channels)
    # For the cells of one row, and to complete the last panel.
    room = complete_panels(CELLS)
    sums, products = np.zeros((room, len(axes)), np.float32), np.empty((room, STRUCTURE_RANK), np.float32)
    largest, begin = np.int32(0), 0
    while begin < len(extent):
        group, top, bottom = extent[begin, 0], extent[begin, 1], extent[begin, 2]
        end = begin + 1
        while end < len(extent) and extent[end, 0] == group and extent[end, 1] == top:
            end += 1
        found = measure_windows(pixels, is_window, group, (top, bottom), running, windows)
        largest = max(largest, found)
        sum_cells(windows, channels, extent[begin:end], basis, sums[: end - begin])
        used = complete_panels(end - begin)
        multiply(products[:used], sums[:used], axes)
        for cell in range(begin, end):
            count = np.float32((bottom - top) * extent[cell, 3])
            for k in range(CELL_RANK + 1):
                means[cell, k] = products[cell - begin, k] / count
        begin = end
    return largest


@njit(nogil=True, cache=True)
def fold_axes(axes: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Return the axes as columns, completed with a column of zeros: (channels * PRODUCTS, STRUCTURE_RANK) float32.

    For one channel that stands for three, the sum of those of the three.
    """
    columns = np.zeros((channels * PRODUCTS, STRUCTURE_RANK), np.float32)
    for d in range(CELL_RANK):
        for k in range(CHANNELS * PRODUCTS):
            columns[k % len(columns), d] += axes[d, k]
    return columns


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def sum_cells(
    windows: MeasuredWindows,
    channels: int,
    extent: NDArray[np.int64],
    basis: Basis,
    sums: NDArray[np.float32],
) -> None:
    """Add up the coordinates of the windows of each cell of a row of cells.

    Args:
        windows: those of the row.
        channels: 3, or 1 if the others are equal to the first.
        extent: (cells, 7) int64, see `CellGrid`.
        basis: the workspace's.
        sums: (cells, channels * MEAN_RANK * STRUCTURE_RANK) float32, the sums over the windows; overwritten.
    """
    height = extent[0, 2] - extent[0, 1]
    spans = np.empty((len(extent), channels, 2), np.int64)
    for cell in range(len(extent)):
        for channel in range(channels):
            left = extent[cell, 4 + channel]
            spans[cell, channel, 0], spans[cell, channel, 1] = left, left + extent[cell, 3]
    sum_outer(
        sums.reshape(-1, PRODUCTS),
        spans.reshape(-1, 2),
        height,
        basis.of_mean,
        windows.sums,
        basis.of_deviation,
        windows.deviation,
        windows.directions,
    )


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def dot(x: NDArray[Any], y: NDArray[Any]) -> np.float32:
    """Return the inner product of two (n,) vectors, summed in float32 in any order (`feature_slack` allows for that)."""
    total = np.float32(0)
    for k in range(len(x)):
        total += np.float32(x[k]) * np.float32(y[k])
    return total
