"""A vector an image whose inner products bound the SSIM of every pair from above.

**Two numbers of a window bound it.** By Cauchy-Schwarz |vxy| <= sqrt(vx vy), so with s = sqrt(v)

    SSIM_w <= k(ux, uy; C1) k(sx, sy; C2),    k(a, b; C) = (2 a b + C) / (a^2 + b^2 + C)

(where 2 vxy + C2 < 0 the left side is negative and the right side is not). k is a positive-definite kernel with
k(a, a) = 1: 2ab + C is an inner product plus a constant, 1/(a^2 + b^2 + C) = integral exp(-t(a^2 + C/2)) exp(-t(b^2 + C/2)) dt is
one too, and products of such kernels are such kernels. So there are unit vectors phi(u, s) whose inner products are the
right side.

**Coordinates.** phi_u is projected on the span of the kernel's features at GRID values: with the grid's kernel matrix
G = V diag(w) V', the coordinates k(u, grid) V / sqrt(w) belong to an orthonormal basis; the RANK largest w are kept. The tensor
product of those of u and of s, for three channels, has 3 * RANK^2 coordinates. A fixed orthonormal matrix (the
principal axes of synthetic windows) keeps DEPTH of them: any orthonormal matrix gives a valid bound, a good one a tight bound.

**Cells.** The windows are divided into CELLS x CELLS cells. For one cell with a share `a` of all windows, let m(x) be the mean
of the projected phi over its windows and channels, of which |m| <= 1. The mean of the SSIM over the cell is at most
<m(x), m(y)> + r(x) r(y), r = sqrt(1 - |m|^2): the rest of the cell's unit-mean-square vector is orthogonal to the constant, projected
part, and Cauchy-Schwarz bounds its inner product. So

    F = (sqrt(a) m, sqrt(a) r) of all cells:    SSIM(x, y) <= <F(x), F(y)>,    |F| = 1

and sums over some of the cells bound the SSIM of those cells, which is what a block's bound is.

**Slack.** What is computed differs from this by
- s rounded to multiples of STEP: |phi(s) - phi(s')|^2 = 2 - 2k = 2 (s - s')^2 / (s^2 + s'^2 + C2), so one image moves by at most
  (STEP/2) sqrt(2/C2), a hundredth more for the rounding of s itself, and the bound by twice that plus its square;
- float32 sums: each coordinate of m is a sum of 3n products with coefficients of 3 RANK^2 axes, so m may be off by
  sqrt(DEPTH) (3n + 3 RANK^2) 2^-24 times its length, which is at most 1: `mean_slack(n)`. It moves the bound by that for each image;
  and r^2 is raised by twice that, so that it is not below the true one. A larger r only raises the bound;
- the inner product of two F, or of two shorter vectors, in float32, in any order: at most (dimensions) 2^-24 |F| |F|.
`bound_slack` adds them; it is added to every bound before it is compared with the floor.
"""

import itertools
import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.vector import sum_outer
from imagetwins.ssim.windows import C1, C2, plan_layout

RANK = 8
"""Coordinates kept of u and of s each: one vector of 8 float32."""

DEPTH = 12
"""Coordinates kept of a cell, without its residual."""

STRIPS = 16
"""Strips of cell rows; a strip of one group of columns (windows.py) is a block, by which a pair is refined."""

STEP = 1 / 64
"""s is rounded to multiples of this, in grey levels."""

MEAN_GRID = np.concatenate([[0.0], np.geomspace(1, 255, 15)])
DEVIATION_GRID = np.concatenate([[0.0], np.geomspace(0.7, 120, 15)])


class Basis(NamedTuple):
    """The coordinates of phi. Deterministic, but computed once a workspace, so that all processes agree to the bit.

    Attributes:
        of_mean: (49*255 + 1, RANK) float32, by window sum.
        of_deviation: (n, RANK) float32, by s / STEP.
        axes: (DEPTH, 3 * RANK * RANK) float32, orthonormal rows, divided by sqrt(3).
    """

    of_mean: NDArray[np.float32]
    of_deviation: NDArray[np.float32]
    axes: NDArray[np.float32]


def make_basis() -> Basis:
    """Return the coordinates of all window sums and deviations, and the axes that are kept."""
    of_mean = _coordinates(np.arange(49 * 255 + 1) / 49, MEAN_GRID, float(C1))
    # A variance of uint8 is at most 127.5^2 * 49/48.
    of_deviation = _coordinates(np.arange(int(129 / STEP)) * STEP, DEVIATION_GRID, float(C2))
    axes = _principal_axes(of_mean, of_deviation)
    return Basis(*(np.ascontiguousarray(part, np.float32) for part in (of_mean, of_deviation, axes / np.sqrt(3))))


def _coordinates(values: NDArray[Any], grid: NDArray[np.float64], constant: float) -> NDArray[np.float64]:
    w, v = np.linalg.eigh(_kernel(grid, grid, constant))
    kept = v[:, : -RANK - 1 : -1] / np.sqrt(w[: -RANK - 1 : -1])
    coordinates: NDArray[np.float64] = _kernel(values, grid, constant) @ kept
    return coordinates


def _kernel(a: NDArray[Any], b: NDArray[Any], constant: float) -> NDArray[np.float64]:
    kernel: NDArray[np.float64] = (2 * np.multiply.outer(a, b) + constant) / (np.add.outer(a * a, b * b) + constant)
    return kernel


def _principal_axes(of_mean: NDArray[np.float64], of_deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the leading principal axes of synthetic cells: plain, or mixed of two windows; half of them grey."""
    rng = np.random.default_rng(0)
    n = 5_000

    def windows() -> NDArray[np.float64]:
        mean = np.where(rng.random(n) < 0.3, 255.0, rng.uniform(0, 255, n))
        deviation = np.where(rng.random(n) < 0.3, 0.0, np.exp(rng.uniform(np.log(0.5), np.log(80), n)))
        is_grey = (rng.random(n) < 0.5)[:, None]
        means = mean[:, None] + ~is_grey * rng.normal(0, 30, (n, 3))
        deviations = deviation[:, None] * np.exp(~is_grey * rng.normal(0, 0.3, (n, 3)))
        u = of_mean[np.rint(means.clip(0, 255) * 49).astype(int)]
        s = of_deviation[np.rint(deviations.clip(0, 120) / STEP).astype(int)]
        tensors: NDArray[np.float64] = (u[..., :, None] * s[..., None, :]).reshape(n, -1)
        return tensors

    share = (rng.random(n) * (rng.random(n) < 0.5))[:, None]
    cells = (1 - share) * windows() + share * windows()
    axes: NDArray[np.float64] = np.linalg.eigh(cells.T @ cells)[1][:, : -DEPTH - 1 : -1].T
    return axes


class Cells(NamedTuple):
    """How the windows of one size divide into cells, block after block: first the blocks of the first strip.

    Attributes:
        place: (cells * cells, 7) int64, of each cell: its group, first row and end of its windows, their number in a row, and
            the position in the group of the first of them in each of three channels.
        grid: (cells * cells,) int64, `cell row * cells + cell column` of each.
        share: (cells * cells,) float64, the share of all windows in each cell.
        blocks: (blocks + 1,) int64, the first cell of each block, and the end.
        strips: (strips + 1,) int64, the rows of windows where strips begin, and their end.
    """

    place: NDArray[np.int64]
    grid: NDArray[np.int64]
    share: NDArray[np.float64]
    blocks: NDArray[np.int64]
    strips: NDArray[np.int64]

    @property
    def side(self) -> int:
        """Cells along one side."""
        return math.isqrt(len(self.grid))

    @property
    def largest(self) -> int:
        """Windows of one channel in the largest cell."""
        return int((self.place[:, 3] * (self.place[:, 2] - self.place[:, 1])).max())


@cache
def plan_cells(size: int) -> Cells:
    """Return the cells of the three-channel layout of thumbnails of `size` pixels."""
    layout = plan_layout(size, 3)
    edges = layout.edges
    strips = min(STRIPS, layout.cells)
    of_strip = np.arange(strips + 1) * layout.cells // strips
    place, grid, blocks = [], [], [0]
    for (top, bottom), (group, span) in itertools.product(
        itertools.pairwise(of_strip.tolist()), enumerate(itertools.pairwise(layout.groups.tolist()))
    ):
        for row, column in itertools.product(range(top, bottom), range(*span)):
            first = [layout.position(channel, column) for channel in range(3)]
            grid.append(row * layout.cells + column)
            place.append([group, edges[row], edges[row + 1], edges[column + 1] - edges[column], *first])
        blocks.append(len(place))
    places = np.array(place)
    share = places[:, 3] * (places[:, 2] - places[:, 1]) / layout.windows**2
    return Cells(places, np.array(grid), share, np.array(blocks), edges[of_strip])


def mean_slack(n_windows: int) -> float:
    """Return how far the mean of a cell of `n_windows` windows a channel may be off in float32; see the module's text."""
    return float(np.sqrt(DEPTH) * (3 * n_windows + 3 * RANK * RANK) * 2.0**-24)


def bound_slack(size: int) -> float:
    """Return what a computed bound of thumbnails of `size` pixels may lie below the true bound; see the module's text."""
    cells = plan_cells(size)
    dimensions = len(cells.share) * (DEPTH + 1)
    moved = 1.01 * STEP / 2 * np.sqrt(2 / float(C2))
    return float(2 * moved + moved**2 + 1.01 * dimensions * 2.0**-24 + 2 * mean_slack(cells.largest))


def measure_cells(
    sums: NDArray[np.int16], spreads: NDArray[np.float32], cells: Cells, basis: Basis
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return one image's features, (cells * cells * (DEPTH + 1),), and the structure of its cells, (cells * cells,).

    `sums` and `spreads` are those of all groups, (groups, windows, window_width).
    """
    deviation, share = np.empty(sums.shape, np.int16), np.empty(sums.shape, np.float32)
    measure_windows(spreads, deviation, share)
    features = np.empty((len(cells.share), DEPTH + 1), np.float32)
    structure = np.empty(len(cells.share), np.float32)
    slack = 2 * mean_slack(cells.largest)
    average_cells(sums, deviation, share, cells.place, cells.share, slack, *basis, features, structure)
    return features.ravel(), structure


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def dot(x: NDArray[np.float32], y: NDArray[np.float32]) -> np.float32:
    """Return the inner product of two vectors, summed in any order (`bound_slack` allows for it)."""
    total = np.float32(0)
    for k in range(len(x)):
        total += x[k] * y[k]
    return total


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def measure_windows(spreads: NDArray[np.float32], deviation: NDArray[np.int16], share: NDArray[np.float32]) -> None:
    """Fill `deviation` with s / STEP and `share` with v / (v + C2/2) of each window; what is no window gets anything."""
    half = C2 / np.float32(2)
    for group in range(spreads.shape[0]):
        for i in range(spreads.shape[1]):
            for f in range(spreads.shape[2]):
                variance = min(max(spreads[group, i, f] - half, np.float32(0)), np.float32(128**2))
                deviation[group, i, f] = np.int16(np.sqrt(variance) * np.float32(1 / STEP) + np.float32(0.5))
                share[group, i, f] = variance / (variance + half)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def average_cells(
    sums: NDArray[np.int16],
    deviation: NDArray[np.int16],
    share: NDArray[np.float32],
    place: NDArray[np.int64],
    cell_share: NDArray[np.float64],
    slack: float,
    of_mean: NDArray[np.float32],
    of_deviation: NDArray[np.float32],
    axes: NDArray[np.float32],
    features: NDArray[np.float32],
    structure: NDArray[np.float32],
) -> None:
    """Fill `features`, (cells, DEPTH + 1), and `structure`, (cells,), the means of `share`.

    Shapes: see windows.py, `Cells` and `Basis`. `slack` raises the square of each residual.
    """
    tensors = np.empty(3 * RANK * RANK, np.float32)
    for cell in range(len(place)):
        group, top, bottom, width = place[cell, 0], place[cell, 1], place[cell, 2], place[cell, 3]
        n = (bottom - top) * width
        total = np.float32(0)
        for channel in range(3):
            left = place[cell, 4 + channel]
            right = left + width
            for i in range(top, bottom):
                for f in range(left, right):
                    total += share[group, i, f]
            at = channel * RANK * RANK
            sum_outer(tensors, at, of_mean, sums[group], of_deviation, deviation[group], (top, bottom), (left, right))
        structure[cell] = total / np.float32(3 * n)
        rest, scale = 1.0, np.sqrt(cell_share[cell])
        for d in range(DEPTH):
            mean = dot(axes[d], tensors) / np.float32(n)
            rest -= np.float64(mean) ** 2
            features[cell, d] = mean * scale
        features[cell, DEPTH] = np.sqrt(max(rest, 0.0) + slack) * scale
