"""The bound by projection: inner products of shorter vectors, the coordinates of the features that matter most.

It rests on the bound by the features (features.py), on the Cauchy-Schwarz inequality, and on the energy compaction of
the discrete cosine transform (DCT).

**Truncation.** Let F be an image's features, B a matrix with orthonormal rows, p = B F the projection, and
t = sqrt(|F|^2 - |p|^2) the length of the rest. By Cauchy-Schwarz on the rest, <F(x), F(y)> <= <p(x), p(y)> + t(x) t(y).
So (p, t) is a shorter vector whose inner products bound the SSIM too.

**Coordinates.** Neighbouring cells of a picture are alike. So the orthonormal two-dimensional DCT-II over the grid of
cells, applied to each of their CELL_RANK + 1 coordinates, concentrates most of the length of F in few coordinates.
N_PROJECTED of them are kept, the same ones for every folder, so that an image is projected only once: those for which a
rough formula (`estimate_energy`) predicts the most.

**Join.** A join quantises these vectors to integers of 8 bits (codes.py), as suits a sample of its own images, and
computes the bounds of all pairs of a tile from the coordinates that vary most, then those that are left from all.

**Turned pictures.** The projection of a turned picture is that of the picture itself, with coordinates exchanged and some signs
changed (turns.py), because with each coordinate the one is kept that takes its place. The length of the rest is the same.

**Slack.** The transform is computed in float64, with errors below 10^-12, and rounded to float32. This changes |p| by
at most 2^-24 |p|, and so each inner product by at most twice that; REST_MARGIN raises t^2 by more than both. For the
inner product itself, `feature_slack` allows more than these shorter vectors need, and CODES_SLACK what the integers do.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.bounds.base import Arrays, ArraySpec, VectorBound
from imagetwins.ssim.codes import (
    CODES_SLACK,
    Codes,
    choose_scale,
    open_codes,
    prune_tile,
    prune_turned_tile,
    reach_by_codes,
    shape_of,
    write_codes,
)
from imagetwins.ssim.features import CELL_RANK, SLOPE_AXES, Basis, count_features, feature_slack, plan_cells
from imagetwins.ssim.image import MeasuredImage
from imagetwins.ssim.orientation import Orientations
from imagetwins.ssim.processor import choose_kernels
from imagetwins.ssim.tiles import TilePairs
from imagetwins.ssim.turns import find_symmetry, transpose_coordinates
from imagetwins.ssim.vector import complete_panels, multiply

N_PROJECTED = 4095
"""Coordinates kept of an image, without the length of the rest."""

REST_MARGIN = 1e-6
"""What the square of the length of the rest of a projection is raised by."""

SAMPLED_IMAGES = 256
"""How many images of a join decide how its vectors are quantised."""


class ProjectionBound(VectorBound):
    """The inner product of the projections, quantised; see the module's text."""

    name = "projection"
    label = "proven below the floor by projection"
    vectors = "projection"

    def arrays(self, size: int) -> Mapping[str, ArraySpec]:
        """Return the projection of the features."""
        return {"projection": ArraySpec(np.float32, (count_coordinates(size) + 1,))}

    def make_preparer(self, size: int, basis: Basis) -> Callable[[MeasuredImage], Arrays]:  # noqa: ARG002
        """Return a function to the projection of an image's features."""
        chosen = choose_coordinates(size)
        return lambda image: {"projection": project_features(image.features, size, chosen)}

    def slack(self, size: int) -> float:
        """Return the slack of the features, and what the integers need; see the module's text."""
        return feature_slack(size) + CODES_SLACK

    def plan(
        self, arrays: Arrays, rows: NDArray[np.int64], directory: Path, size: int, orientations: Orientations
    ) -> None:
        """Write the quantised vectors, some 4 kB each."""
        projection = arrays["projection"]
        sample = np.linspace(0, len(rows) - 1, min(SAMPLED_IMAGES, len(rows))).astype(np.int64)
        symmetry = find_symmetry(choose_coordinates(size), plan_cells(size).side) if orientations == "all" else None
        write_codes(directory, projection, rows, choose_scale(projection[rows[sample]], symmetry))

    def open_plan(self, directory: Path) -> Codes:
        """Map the quantised vectors."""
        return open_codes(directory)

    def prune(self, arrays: Arrays, planned: Codes, pairs: TilePairs, lowest: float) -> int:  # noqa: ARG002
        """Drop the pairs that the quantised vectors prove to be below `lowest`."""
        kernels = choose_kernels()
        if pairs.is_whole and pairs.orientation == 1:
            tile = int(kernels), shape_of(kernels), planned, *pairs.spans
            return pairs.replace_all(*prune_tile(*tile, lowest, pairs.weights))
        turn = np.full(len(pairs.listed[0]), pairs.orientation - 1)
        return pairs.prune_listed(reach_by_codes(int(kernels), planned, *pairs.listed, turn, lowest))

    def prune_turned(self, arrays: Arrays, planned: Codes, every: list[TilePairs], lowest: float) -> None:
        """Drop the pairs that the quantised vectors prove to be below `lowest`, of all orientations at once."""
        if not all(pairs.is_whole for pairs in every):
            super().prune_turned(arrays, planned, every, lowest)
            return
        kernels, spans = choose_kernels(), every[0].spans
        found = prune_turned_tile(int(kernels), shape_of(kernels), planned, *spans, lowest)
        for pairs in every:
            is_its = found.turn == pairs.orientation - 1
            pairs.replace_all(found.first[is_its], found.second[is_its], 0)


def count_coordinates(size: int) -> int:
    """Return the number of coordinates of a projection, without the length of the rest."""
    return min(N_PROJECTED, count_features(size))


@cache
def cosines(side: int) -> NDArray[np.float64]:
    """Return the matrix, (side, side), of the orthonormal DCT-II of `side` values."""
    k, j = np.arange(side), np.arange(side)
    rows: NDArray[np.float64] = np.cos(np.pi * np.multiply.outer(k, 2 * j + 1) / (2 * side)) * np.sqrt(2 / side)
    rows[0] /= np.sqrt(2)
    return rows


def estimate_energy(side: int) -> NDArray[np.float64]:
    """Estimate the mean square of each coordinate of the transform, up to a common factor.

    Fitted to photographs and charts. The variance of axis d in the synthetic cells decays as (d + 1)^-1.65. Axes of
    means and deviations vary slowly from cell to cell; those of slopes have either sign and vary quickly; straight
    lines concentrate both on frequencies that are low in one direction. The residual is between the two.

    Args:
        side: cells along one side.

    Returns:
        (side, side, CELL_RANK + 1) float64.
    """
    product = np.multiply.outer(np.arange(1.0, side + 1), np.arange(1.0, side + 1))[..., None]
    number, is_slope = np.arange(1.0, CELL_RANK + 2), np.zeros(CELL_RANK + 1, np.bool_)
    for one, other in SLOPE_AXES:
        number[other], is_slope[[one, other]] = number[one], True
    of_axis = np.append(number[:-1] ** -1.65, np.exp(-2.5))
    energy: NDArray[np.float64] = of_axis * np.where(is_slope, np.exp(-2.5) * product**-0.5, product**-1.5)
    return energy


def choose_coordinates(size: int) -> NDArray[np.int64]:
    """Return the indices, ascending, of the coordinates of the transform that are kept: (n,) int64.

    With each coordinate there is the one that takes its place when a picture is transposed.
    """
    side = plan_cells(size).side
    energy, other, n = estimate_energy(side).ravel(), transpose_coordinates(side), count_coordinates(size)
    # Those that belong together follow each other: they have the same energy.
    own = np.arange(len(other))
    order = np.lexsort((own, np.minimum(own, other), -energy))
    kept = order[:n]
    if other[kept[-1]] not in kept:
        kept[-1] = next(one for one in order[n:] if other[one] == one)
    return np.sort(kept)


def project_features(features: NDArray[np.float32], size: int, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the projection of one image's features.

    Args:
        features: (cells * cells * (CELL_RANK + 1),) float32.
        size: side of the thumbnail, in pixels.
        chosen: (n,) int64, ascending, the coordinates of the transform that are kept.

    Returns:
        (n + 1,) float32: these coordinates, and the length of the rest.
    """
    cells = plan_cells(size)
    # Complete panels of rows: those beyond the last cosine are 0, and so are their products.
    rows = np.zeros((complete_panels(cells.side), cells.side))
    rows[: cells.side] = cosines(cells.side)
    projection = np.empty(len(chosen) + 1, np.float32)
    fill_projection(features.reshape(len(cells.grid_index), -1), cells.grid_index, rows, chosen, projection)
    return projection


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def fill_projection(
    features: NDArray[np.float32],
    grid_index: NDArray[np.int64],
    rows: NDArray[np.float64],
    chosen: NDArray[np.int64],
    projection: NDArray[np.float32],
) -> None:
    """Compute the projection of one image's features.

    Args:
        features: (side * side, CELL_RANK + 1) float32.
        grid_index: (side * side,) int64, see `CellGrid`.
        rows: (side or more, side) float64, the cosines, completed to a multiple of PANEL_ROWS with zeros.
        chosen: (n,) int64, ascending, the coordinates of the transform that are kept.
        projection: (n + 1,) float32, these coordinates, and the length of the rest; overwritten.
    """
    side, width = rows.shape[1], features.shape[1]
    grid, down = np.empty((side, side, width)), np.empty((side, len(rows), width))
    rest = 0.0
    for cell in range(len(features)):
        row, column = grid_index[cell] // side, grid_index[cell] % side
        for d in range(width):
            value = np.float64(features[cell, d])
            grid[column, row, d] = value
            rest += value * value
    for column in range(side):
        multiply(down[column], rows, grid[column])
    of_row, begin = np.empty((len(rows), width)), 0
    for row in range(side):
        multiply(of_row, rows, down[:, row])
        flat, end = of_row.reshape(-1), begin
        while end < len(chosen) and chosen[end] < (row + 1) * side * width:
            end += 1
        for k in range(begin, end):
            kept = flat[chosen[k] - row * side * width]
            projection[k] = np.float32(kept)
            rest -= kept * kept
        begin = end
    projection[len(chosen)] = np.float32(np.sqrt(max(rest, 0.0) + REST_MARGIN))
