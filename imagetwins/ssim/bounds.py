"""Short vectors whose inner products bound the SSIM too: the lowest spatial frequencies of the features.

**Truncation.** Let B have orthonormal rows, p = B F the projection of an image's features (features.py), and
t = sqrt(|F|^2 - |p|^2) the length of what it leaves. Then <F(x), F(y)> <= <p(x), p(y)> + t(x) t(y), by Cauchy-Schwarz on the rest.
So (p, t) is a shorter vector whose inner products still bound the SSIM, and all bounds of a tile of pairs are one
matrix product.

**Frequencies.** Neighbouring cells of a picture are alike, so most of the length of F lies in the low frequencies of its
coordinates over the grid of cells. B is the orthonormal two-dimensional cosine transform (DCT-II) of each of the DEPTH + 1
coordinates, of which the lowest n x n frequencies are kept. No sample of the folder is needed: an image has the same
vector in every folder.

**Slack.** The projection is computed in float64, where its errors are below 10^-12, and rounded to float32: |p| changes by
at most 2^-24 |p|, and so does each inner product by twice that. RESIDUAL raises t^2 by more than both. The inner product itself
adds what `bound_slack` derives for its length.
"""

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.features import DEPTH, plan_cells

COARSE, MEDIUM = 8, 16
"""Frequencies kept along each side: COARSE for the matrix product of all pairs, MEDIUM for those that it leaves."""

RESIDUAL = 1e-6


def projected_length(size: int, frequencies: int) -> int:
    """Return the number of coordinates of a projection, with its residual."""
    return min(frequencies, plan_cells(size).side) ** 2 * (DEPTH + 1) + 1


@cache
def cosines(side: int, frequencies: int) -> NDArray[np.float64]:
    """Return the first rows, at most `frequencies`, of the orthonormal DCT-II of `side` values: (frequencies, side)."""
    k, j = np.arange(min(frequencies, side)), np.arange(side)
    rows: NDArray[np.float64] = np.cos(np.pi * np.multiply.outer(k, 2 * j + 1) / (2 * side)) * np.sqrt(2 / side)
    rows[0] /= np.sqrt(2)
    return rows


def project_features(features: NDArray[np.float32], size: int, frequencies: int) -> NDArray[np.float32]:
    """Return the projection of one image's features, (cells * cells * (DEPTH + 1),): (projected_length,) float32."""
    cells = plan_cells(size)
    projected = np.empty(projected_length(size, frequencies), np.float32)
    transform_cells(features.reshape(-1, DEPTH + 1), cells.grid, cosines(cells.side, frequencies), projected)
    return projected


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def transform_cells(
    features: NDArray[np.float32], grid: NDArray[np.int64], rows: NDArray[np.float64], projected: NDArray[np.float32]
) -> None:
    """Fill `projected` with the transform of `features`, (cells * cells, DEPTH + 1), by `rows`, and what it leaves.

    `grid`, (cells * cells,), is `cell row * cells + cell column` of each of the features' rows.
    """
    kept, side = rows.shape
    depth = features.shape[1]
    down = np.zeros((kept, side, depth))
    length = 0.0
    for cell in range(len(grid)):
        i, j = divmod(grid[cell], side)
        for d in range(depth):
            length += np.float64(features[cell, d]) ** 2
        for k in range(kept):
            for d in range(depth):
                down[k, j, d] += rows[k, i] * features[cell, d]
    both = np.zeros((kept, kept, depth))
    for k in range(kept):
        for m in range(kept):
            for j in range(side):
                for d in range(depth):
                    both[k, m, d] += rows[m, j] * down[k, j, d]
    flat = both.reshape(-1)
    for n in range(len(flat)):
        length -= flat[n] ** 2
        projected[n] = flat[n]
    projected[len(flat)] = np.sqrt(max(length, 0.0) + RESIDUAL)
