"""Short vectors whose inner products bound the SSIM too: the coordinates of the features that matter most.

**Truncation.** Let B have orthonormal rows, p = B F the projection of an image's features (features.py), and
t = sqrt(|F|^2 - |p|^2) the length of what it leaves. Then <F(x), F(y)> <= <p(x), p(y)> + t(x) t(y), by Cauchy-Schwarz on the rest.
So (p, t) is a shorter vector whose inner products still bound the SSIM, and all bounds of a tile of pairs are one
matrix product. Some coordinates of p, and the length of all others and t, are a shorter vector still.

**Coordinates.** Neighbouring cells of a picture are alike, so the orthonormal two-dimensional cosine transform (DCT-II) over the
grid of cells, of each of their DEPTH + 1 coordinates, gathers most of the length of F in few of its coordinates. PROJECTED of
them are kept, the same for every folder, so that an image is projected once: those where a rough formula (`expect_energy`)
expects most. Of these a join takes the SHORTEST that are the longest, in the mean over a sample of its own images: photographs
and charts differ in this more than one choice could serve.

**Slack.** The transform is computed in float64, where its errors are below 10^-12, and rounded to float32: |p| changes by
at most 2^-24 |p|, and so does each inner product by twice that. RESIDUAL raises t^2 by more than both. The shorter vectors hold
the same numbers, and the length of what they leave is raised by ROUNDING. The inner product itself adds what `bound_slack` derives.
"""

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.features import DEPTH, RANK, RANK_DEVIATION, Basis, plan_cells

PROJECTED = 4095
"""Coordinates kept of an image, without the residual."""

SHORTEST = 1023
"""Those of them that a join multiplies for all pairs."""

RESIDUAL = 1e-6

ROUNDING = 1e-6
"""What the length of what a shorter vector leaves is raised by: more than its roundings."""


def projected_length(size: int) -> int:
    """Return the number of coordinates of a projection, with its residual."""
    return min(PROJECTED, len(plan_cells(size).grid) * (DEPTH + 1)) + 1


@cache
def cosines(side: int) -> NDArray[np.float64]:
    """Return the orthonormal DCT-II of `side` values: (side, side)."""
    k, j = np.arange(side), np.arange(side)
    rows: NDArray[np.float64] = np.cos(np.pi * np.multiply.outer(k, 2 * j + 1) / (2 * side)) * np.sqrt(2 / side)
    rows[0] /= np.sqrt(2)
    return rows


def expect_energy(axes: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """Return roughly how long each coordinate of the transform is, (side, side, DEPTH + 1), relative to the others.

    Fitted to photographs and charts: axes matter as their variance in the synthetic cells, about (d + 1)^-1.65; means and
    deviations change slowly from cell to cell, slopes have either sign and change quickly; straight lines put both on the
    frequencies that are low in one direction. The residual lies between.
    """
    product = np.multiply.outer(np.arange(1.0, side + 1), np.arange(1.0, side + 1))[..., None]
    of_slopes = axes.reshape(DEPTH, 3, RANK, -1)[..., : 2 * RANK_DEVIATION]
    is_slope = np.append(3 * (of_slopes**2).sum((1, 2, 3)) > 0.5, False)
    of_axis = np.append(np.arange(1.0, DEPTH + 1) ** -1.65, np.exp(-2.5))
    energy: NDArray[np.float64] = of_axis * np.where(is_slope, np.exp(-2.5) * product**-0.5, product**-1.5)
    return energy


def choose_coordinates(basis: Basis, size: int) -> NDArray[np.int64]:
    """Return which coordinates of the transform are kept, in order: (projected_length - 1,)."""
    energy = expect_energy(basis.axes, plan_cells(size).side).ravel()
    return np.sort(np.argsort(-energy, kind="stable")[: projected_length(size) - 1])


def project_features(features: NDArray[np.float32], size: int, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the projection of one image's features, (cells * cells * (DEPTH + 1),): (len(chosen) + 1,) float32."""
    cells = plan_cells(size)
    grid = np.empty((len(cells.grid), DEPTH + 1))
    grid[cells.grid] = features.reshape(grid.shape)
    rows = cosines(cells.side)
    down = (rows @ grid.reshape(cells.side, -1)).reshape(cells.side, cells.side, -1)
    kept = (rows @ down).ravel()[chosen]
    rest = np.square(grid).sum() - np.square(kept).sum()
    return np.append(kept, np.sqrt(max(rest, 0) + RESIDUAL)).astype(np.float32)


def choose_shortest(sample: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the coordinates that are the longest in a sample of projections, (n, projected_length): at most SHORTEST."""
    energy = (sample[:, :-1].astype(np.float64) ** 2).sum(0)
    return np.sort(np.argsort(-energy, kind="stable")[:SHORTEST])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def shorten(
    projection: NDArray[np.float32], rows: NDArray[np.int64], chosen: NDArray[np.int64], short: NDArray[np.float32]
) -> None:
    """Fill `short`, (n, len(chosen) + 1), with the `chosen` coordinates of `rows`, and the length of all that they leave.

    `projection` is (images, projected_length).
    """
    for i in range(len(rows)):
        row, rest = projection[rows[i]], 0.0
        for k in range(len(row)):
            rest += np.float64(row[k]) * np.float64(row[k])
        for k in range(len(chosen)):
            short[i, k] = row[chosen[k]]
            rest -= np.float64(short[i, k]) * np.float64(short[i, k])
        # Sums of some thousand float64, the largest 1, are off by less than the square of this.
        short[i, len(chosen)] = np.float32(np.sqrt(max(rest, 0.0)) + ROUNDING)
