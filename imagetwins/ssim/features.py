"""A vector an image whose inner products bound the SSIM of every pair from above.

**What of a window bounds it.** With p~ a window's 49 pixels less their mean, s = sqrt(v) and n = p~ / |p~|, the covariance is
vxy = sx sy <nx, ny>. Let a be the coordinates of n in some orthonormal directions, and rho = sqrt(1 - |a|^2) the length of the rest:
by Cauchy-Schwarz on the rest <nx, ny> <= <ax, ay> + rho_x rho_y. So, with t = (a, rho), a unit vector,

    SSIM_w <= k(ux, uy; C1) [ k1(sx, sy) <tx, ty> + k0(sx, sy) ]
    k(a, b; C) = (2 a b + C) / (a^2 + b^2 + C),   k1(a, b) = 2 a b / (a^2 + b^2 + C2),   k0(a, b) = C2 / (a^2 + b^2 + C2)

The directions are the two slopes of a plane: the weights -3 ... 3 across the window, and down it, each divided by 14. Of a
photograph's windows they hold more than half of the variance. All three are positive-definite kernels, and k(a, a) = k1(a, a) + k0(a, a)
= 1: numerators are inner products plus constants, 1/(a^2 + b^2 + C) = integral exp(-t(a^2 + C/2)) exp(-t(b^2 + C/2)) dt, and sums
and products of such kernels are such kernels. So there are unit vectors phi(u, s, t) whose inner products are the right side.

**Coordinates.** phi_u is projected on the span of the kernel's features at GRID values: with the grid's kernel matrix
G = V diag(w) V', the coordinates k(u, grid) V / sqrt(w) belong to an orthonormal basis; the RANK largest w are kept. Those of
k1 and k0, RANK_DEVIATION each, are found likewise. A window's coordinates are the tensor product of those of u with
(a_1 k1, a_2 k1, rho k1, k0), for three channels 3 * RANK * TURNED. A fixed orthonormal matrix (the principal axes of synthetic
windows) keeps DEPTH of them: any orthonormal matrix gives a valid bound, a good one a tight bound.

**Cells.** The windows are divided into CELLS x CELLS cells. For one cell with a share `a` of all windows, let m(x) be the mean
of the projected phi over its windows and channels, of which |m| <= 1. The mean of the SSIM over the cell is at most
<m(x), m(y)> + r(x) r(y), r = sqrt(1 - |m|^2): the rest of the cell's unit-mean-square vector is orthogonal to the constant, projected
part, and Cauchy-Schwarz bounds its inner product. So

    F = (sqrt(a) m, sqrt(a) r) of all cells:    SSIM(x, y) <= <F(x), F(y)>,    |F| = 1

and sums over some of the cells bound the SSIM of those cells, which is what a block's bound is.

**Slack.** What is computed differs from this by
- s rounded to multiples of STEP: |phi(s) - phi(s')|^2 = 2 - 2k = 2 (s - s')^2 / (s^2 + s'^2 + C2), so one image moves by at most
  (STEP/2) sqrt(2/C2), a hundredth more for the rounding of s itself, and the bound by twice that plus its square;
- a, which is g / (2 sqrt(49 Sxx - Sx^2)) with an exact integer slope g, off by at most e = 4 roundings, 2^-22, since |a| <= 1; and rho^2,
  which is raised by TURN > 2e + e^2 and its own roundings, so that it is not below the true one. It lengthens phi, whose square
  becomes at most 1 + TURN, and moves the bound by at most 2e + e^2 < TURN;
- float32 sums: each coordinate of m is a sum of 3n products of three with coefficients of 3 RANK TURNED axes, so m may be off by
  sqrt(DEPTH) (3n + 3 RANK TURNED + 2) 2^-24 times its length, which is at most 1: `mean_slack(n)`. It moves the bound by that for
  each image; and r^2 is raised by twice that and TURN, so that it is not below the true one. A larger r only raises the bound;
- the inner product of two F, or of two shorter vectors, in float32, in any order: at most (dimensions) 2^-24 |F| |F|.
`bound_slack` adds them; it is added to every bound before it is compared with the floor.
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
from imagetwins.ssim.vector import sum_outer
from imagetwins.ssim.windows import C1, C2, WINDOW, Layout, plan_layout

RANK = 8
"""Coordinates kept of u."""

RANK_DEVIATION = 4
"""Coordinates kept of k1 and k0 each."""

TURNED = 4 * RANK_DEVIATION
"""Coordinates kept of s and t: those of k1, three times, and those of k0; one vector of 16 float32."""

DEPTH = 15
"""Coordinates kept of a cell, without its residual."""

STRIPS = 16
"""Strips of cell rows; a strip of one group of columns (windows.py) is a block, by which a pair is refined."""

STEP = 1 / 64
"""s is rounded to multiples of this, in grey levels."""

TURN = np.float32(1e-6)
"""What rho^2 is raised by."""

MEAN_GRID = np.concatenate([[0.0], np.geomspace(1, 255, 15)])
DEVIATION_GRID = np.geomspace(0.7, 120, 15)


class Basis(NamedTuple):
    """The coordinates of phi. Deterministic, but computed once a workspace, so that all processes agree to the bit.

    Attributes:
        of_mean: (49*255 + 1, RANK) float32, by window sum.
        of_deviation: (n, 2 * RANK_DEVIATION) float32, by s / STEP: those of k1, and those of k0.
        axes: (DEPTH, 3 * RANK * TURNED) float32, orthonormal rows, divided by sqrt(3).
    """

    of_mean: NDArray[np.float32]
    of_deviation: NDArray[np.float32]
    axes: NDArray[np.float32]


def make_basis() -> Basis:
    """Return the coordinates of all window sums and deviations, and the axes that are kept."""
    of_mean = _coordinates(_kernel(C1), np.arange(49 * 255 + 1) / 49, MEAN_GRID, RANK)
    # A variance of uint8 is at most 127.5^2 * 49/48.
    deviation = np.arange(int(129 / STEP)) * STEP
    turned = _coordinates(_kernel(C2, constant=0), deviation, DEVIATION_GRID, RANK_DEVIATION)
    plain = _coordinates(_kernel(C2, product=0), deviation, np.append(0, DEVIATION_GRID), RANK_DEVIATION)
    of_deviation = np.hstack([turned, plain])
    axes = _principal_axes(of_mean, of_deviation)
    return Basis(*(np.ascontiguousarray(part, np.float32) for part in (of_mean, of_deviation, axes / np.sqrt(3))))


Kernel = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]


def _kernel(c: np.float32, *, product: float = 2, constant: float = 1) -> Kernel:
    """Return the kernel (product a b + constant c) / (a^2 + b^2 + c) of all pairs of two arrays' values."""

    def kernel(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
        above = product * np.multiply.outer(a, b) + constant * float(c)
        ratio: NDArray[np.float64] = above / (np.add.outer(a * a, b * b) + float(c))
        return ratio

    return kernel


def _coordinates(kernel: Kernel, values: NDArray[Any], grid: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    w, v = np.linalg.eigh(kernel(grid, grid))
    kept = v[:, : -rank - 1 : -1] / np.sqrt(w[: -rank - 1 : -1])
    coordinates: NDArray[np.float64] = kernel(values, grid) @ kept
    return coordinates


def _principal_axes(of_mean: NDArray[np.float64], of_deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the leading principal axes of synthetic cells: plain, or mixed of two windows; half of them grey."""
    rng = np.random.default_rng(0)
    n = 5_000

    def windows() -> NDArray[np.float64]:
        mean = np.where(rng.random(n) < 0.3, 255.0, rng.uniform(0, 255, n))
        deviation = np.where(rng.random(n) < 0.3, 0.0, np.exp(rng.uniform(np.log(0.5), np.log(80), n)))
        is_colour = (rng.random(n) < 0.5)[:, None]
        means = mean[:, None] + is_colour * rng.normal(0, 30, (n, 3))
        deviations = deviation[:, None] * np.exp(is_colour * rng.normal(0, 0.3, (n, 3)))
        angle, length = rng.uniform(0, 2 * np.pi, n), np.sqrt(rng.random(n))
        slopes = (length * np.array([np.cos(angle), np.sin(angle)])).T[:, None] + np.zeros((n, 3, 2))
        slopes += is_colour[..., None] * rng.normal(0, 0.15, (n, 3, 2))
        slopes /= np.maximum(np.linalg.norm(slopes, axis=-1, keepdims=True), 1)
        rest = np.sqrt(np.maximum(1 - (slopes**2).sum(-1, keepdims=True), 0))
        turns = np.concatenate([slopes, rest], -1)[..., None]
        u = of_mean[np.rint(means.clip(0, 255) * 49).astype(int)]
        turned, plain = np.split(of_deviation[np.rint(deviations.clip(0, 120) / STEP).astype(int)], 2, axis=-1)
        s = np.concatenate([(turns * turned[..., None, :]).reshape(n, 3, -1), plain], -1)
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
    def counts(self) -> NDArray[np.int64]:
        """(cells * cells,) windows of one channel in each cell."""
        counts: NDArray[np.int64] = self.place[:, 3] * (self.place[:, 2] - self.place[:, 1])
        return counts

    @property
    def largest(self) -> int:
        """Windows of one channel in the largest cell."""
        return int(self.counts.max())


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
    return float(np.sqrt(DEPTH) * (3 * n_windows + 3 * RANK * TURNED + 2) * 2.0**-24)


def bound_slack(size: int) -> float:
    """Return what a computed bound of thumbnails of `size` pixels may lie below the true bound; see the module's text."""
    cells = plan_cells(size)
    dimensions = len(cells.share) * (DEPTH + 1)
    moved = 1.01 * STEP / 2 * np.sqrt(2 / float(C2))
    sums = 1.01 * dimensions * 2.0**-24 + 2 * mean_slack(cells.largest)
    return float(2 * moved + moved**2 + float(TURN) + sums)


class Windows(NamedTuple):
    """What is measured of each window of a thumbnail, in the layout of windows.py; what is no window gets anything.

    Attributes:
        sums: (groups, windows, window_width) int16, the sum of its pixels.
        deviation: the same shape, int16, s / STEP.
        share: the same shape, float32, v / (v + C2/2).
        turns: (groups, 3, windows, window_width) float32, a_1, a_2 and rho.
    """

    sums: NDArray[np.int16]
    deviation: NDArray[np.int16]
    share: NDArray[np.float32]
    turns: NDArray[np.float32]


def open_windows(layout: Layout) -> Windows:
    """Return room for the windows of one thumbnail."""
    shape = (layout.n_groups, layout.windows, layout.is_window.shape[1])
    turns = np.empty((layout.n_groups, 3, *shape[1:]), np.float32)
    return Windows(np.empty(shape, np.int16), np.empty(shape, np.int16), np.empty(shape, np.float32), turns)


def measure_cells(windows: Windows, cells: Cells, basis: Basis) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the features, (cells * cells * (DEPTH + 1),), and the structure of each cell, (cells * cells,), float32.

    The structure of a cell is the mean of v / (v + C2/2) over its windows: 0 where it is flat, near 1 where it is not.
    """
    n = len(cells.share)
    tensors, structure = np.empty((n, 3 * RANK * TURNED), np.float32), np.empty(n, np.float32)
    sum_cells(windows, cells.place, basis, tensors, structure)
    means = tensors @ basis.axes.T / cells.counts[:, None].astype(np.float32)
    rest = 1 - np.square(means, dtype=np.float64).sum(1)
    residual = np.sqrt(np.maximum(rest, 0) + 2 * mean_slack(cells.largest) + float(TURN))
    features = np.hstack([means, residual[:, None]]) * np.sqrt(cells.share)[:, None]
    return features.astype(np.float32).ravel(), structure


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def dot(x: NDArray[np.float32], y: NDArray[np.float32]) -> np.float32:
    """Return the inner product of two vectors, summed in any order (`bound_slack` allows for it)."""
    total = np.float32(0)
    for k in range(len(x)):
        total += x[k] * y[k]
    return total


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def measure_windows(pixels: NDArray[np.uint8], is_window: NDArray[np.bool_], windows: Windows) -> bool:
    """Fill `windows` with those of a thumbnail, (groups, size, pixel_width); return whether one of them has structure.

    `is_window`, (groups, window_width), is the layout's.
    """
    largest = np.int32(0)
    columns = pixels.shape[2]
    down, squares, tilted = np.empty(columns, np.int32), np.empty(columns, np.int32), np.empty(columns, np.int32)
    exact = np.empty(windows.sums.shape[2], np.int32)
    for group in range(len(pixels)):
        _begin_columns(pixels[group], down, squares, tilted)
        for i in range(windows.sums.shape[1]):
            _sum_columns(down, squares, windows.sums[group, i], exact)
            for f in range(len(exact)):
                largest = max(largest, exact[f] if is_window[group, f] else np.int32(0))
            _measure_row(exact, windows.deviation[group, i], windows.share[group, i])
            _weigh_columns(down, np.int32(1), windows.turns[group, 0, i])
            _weigh_columns(tilted, np.int32(0), windows.turns[group, 1, i])
            _turn_row(exact, windows.turns[group, 0, i], windows.turns[group, 1, i], windows.turns[group, 2, i])
            if i + WINDOW < len(pixels[group]):
                _slide_columns(pixels[group, i], pixels[group, i + WINDOW], down, squares, tilted)
    return bool(largest >= DETAIL_VARIANCE * 2352)


# The steps of a row, apart: the compiler vectorises a loop over few arrays only, since any two might overlap.
@njit(nogil=True, cache=True)
def _sum_columns(
    down: NDArray[np.int32], squares: NDArray[np.int32], sums: NDArray[np.int16], exact: NDArray[np.int32]
) -> None:
    """Fill `sums`, and `exact` with 49 Sxx - Sx^2, which is 2352 times the variance."""
    for f in range(len(sums)):
        s, q = np.int32(0), np.int32(0)
        for k in range(7):
            s = np.int32(s + down[f + k])
            q = np.int32(q + squares[f + k])
        sums[f] = s
        exact[f] = np.int32(np.int32(np.int32(49) * q) - np.int32(s * s))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _measure_row(exact: NDArray[np.int32], deviation: NDArray[np.int16], share: NDArray[np.float32]) -> None:
    for f in range(len(exact)):
        v = np.float32(exact[f]) * np.float32(1 / 2352)
        deviation[f] = np.int16(np.sqrt(v) * np.float32(1 / STEP) + np.float32(0.5))
        share[f] = v / (v + C2 / np.float32(2))


@njit(nogil=True, cache=True)
def _weigh_columns(columns: NDArray[np.int32], step: np.int32, slope: NDArray[np.float32]) -> None:
    """Fill `slope` with the sum of 7 columns, weighted by -3 ... 3 where `step` is 1, alike where it is 0."""
    for f in range(len(slope)):
        total = np.int32(0)
        for k in range(7):
            weight = np.int32(np.int32(np.int32(k - 3) * step) + (np.int32(1) - step))
            total = np.int32(total + np.int32(weight * columns[f + k]))
        slope[f] = np.float32(total)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _turn_row(
    exact: NDArray[np.int32], first: NDArray[np.float32], second: NDArray[np.float32], rest: NDArray[np.float32]
) -> None:
    """Make slopes the coordinates a_1 and a_2, and fill `rest` with rho."""
    for f in range(len(rest)):
        scale = np.float32(0.5) / np.sqrt(np.float32(max(exact[f], np.int32(1))))
        first[f] *= scale
        second[f] *= scale
    for f in range(len(rest)):
        left = np.float32(1) - first[f] * first[f] - second[f] * second[f]
        rest[f] = np.sqrt(max(left, np.float32(0)) + TURN)


@njit(nogil=True, cache=True)
def _begin_columns(
    pixels: NDArray[np.uint8], down: NDArray[np.int32], squares: NDArray[np.int32], tilted: NDArray[np.int32]
) -> None:
    """Set the sums over the first 7 rows: of the pixels, of their squares, and weighted by -3 ... 3."""
    down[:], squares[:], tilted[:] = 0, 0, 0
    for i in range(7):
        for f in range(len(down)):
            pixel = np.int32(pixels[i, f])
            down[f] += pixel
            squares[f] += np.int32(pixel * pixel)
            tilted[f] += np.int32(np.int32(i - 3) * pixel)


@njit(nogil=True, cache=True)
def _slide_columns(
    old: NDArray[np.uint8],
    new: NDArray[np.uint8],
    down: NDArray[np.int32],
    squares: NDArray[np.int32],
    tilted: NDArray[np.int32],
) -> None:
    """Make the sums those of the rows one further: `old` leaves, `new` is added."""
    for f in range(len(down)):
        left, added = np.int32(old[f]), np.int32(new[f])
        # All weights sink by one, but for those of the row that leaves, -3, and the one that comes, 3.
        tilted[f] += np.int32(np.int32(4) * left + np.int32(3) * added - down[f])
        down[f] += np.int32(added - left)
        squares[f] += np.int32(added * added - left * left)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def sum_cells(
    windows: Windows,
    place: NDArray[np.int64],
    basis: Basis,
    tensors: NDArray[np.float32],
    structure: NDArray[np.float32],
) -> None:
    """Fill `tensors`, (cells, 3 * RANK * TURNED), with sums over windows, and `structure`, (cells,), with means of their shares.

    For `place` see `Cells`.
    """
    part = RANK * TURNED
    for cell in range(len(place)):
        group, top, bottom, width = place[cell, 0], place[cell, 1], place[cell, 2], place[cell, 3]
        total = np.float32(0)
        sums, deviation, turns = windows.sums[group], windows.deviation[group], windows.turns[group]
        for channel in range(3):
            left = place[cell, 4 + channel]
            right = left + width
            for i in range(top, bottom):
                for f in range(left, right):
                    total += windows.share[group, i, f]
            at, span = channel * part, ((top, bottom), (left, right))
            sum_outer(tensors[cell], at, basis.of_mean, sums, basis.of_deviation, deviation, turns, *span)
        structure[cell] = total / np.float32(3 * (bottom - top) * width)
