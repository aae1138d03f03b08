"""The bound by projection: inner products of shorter vectors, the coordinates of the features that matter most.

It rests on the bound by the features (features.py), on the Cauchy-Schwarz inequality, and on the energy compaction of
the discrete cosine transform (DCT).

**Truncation.** Let F be an image's features, B a matrix with orthonormal rows, p = B F the projection, and
t = sqrt(|F|^2 - |p|^2) the length of the rest. By Cauchy-Schwarz on the rest, <F(x), F(y)> <= <p(x), p(y)> + t(x) t(y).
So (p, t) is a shorter vector whose inner products bound the SSIM too.

**Coordinates.** Neighbouring cells of a picture are alike. So the orthonormal two-dimensional DCT-II over the grid of
cells, applied to each of their CELL_RANK + 1 coordinates, concentrates most of the length of F in few coordinates.
Some 4,100 of them are kept, those for which a formula (`estimate_energy`) predicts the most, about in the order in which it
predicts it.

**Integers.** These vectors are quantised to integers of 8 bits (codes.py), in this order and with steps that follow from
the same formula. So order and steps are the same for every folder: an image is projected and quantised once, and a join
maps what is stored. It computes the bounds of all pairs of a tile from the first coordinates, then those that are left
from all.

**Turned pictures.** The projection of a turned picture is that of the picture itself, with coordinates exchanged and some signs
changed (turns.py), because with each coordinate the one is kept that takes its place. The length of the rest is the same.

**Slack.** The transform is computed in float64, with errors below 10^-12. REST_MARGIN raises t^2 by more than they change
|p|^2 and |F|^2, so no inner product is too low by them. `feature_slack` allows for the features, CODES_SLACK for what is
rounded after that.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.bounds.base import Arrays, ArraySpec, Bound
from imagetwins.ssim.codes import (
    CODES_SLACK,
    Codes,
    Quantised,
    Scale,
    allocate_quantised,
    bound_pairs,
    choose_scale,
    find_codes,
    prune_tile,
    prune_turned_tile,
    quantise,
    reach_by_codes,
    shape_of,
)
from imagetwins.ssim.features import CELL_RANK, SLOPE_AXES, Basis, feature_slack, plan_cells
from imagetwins.ssim.image import MeasuredImage
from imagetwins.ssim.processor import choose_kernels
from imagetwins.ssim.tiles import TilePairs
from imagetwins.ssim.turns import find_symmetry
from imagetwins.ssim.vector import complete_panels, multiply

N_GROUPS = 64
"""Groups of codes that are kept of an image, at most."""

REST_MARGIN = 1e-6
"""What the square of the length of the rest of a projection is raised by."""


class ProjectionBound(Bound):
    """The inner product of the projections, quantised; see the module's text."""

    name = "projection"
    label = "proven below the floor by projection"

    def arrays(self, size: int) -> Mapping[str, ArraySpec]:
        """Return the quantised projection of the features, see `Quantised`: some 4 kB."""
        stored = allocate_quantised(1, plan_scale(plan_cells(size).side))
        return {f"code_{name}": ArraySpec(array.dtype, array.shape[1:]) for name, array in stored._asdict().items()}

    def make_preparer(self, size: int, basis: Basis) -> Callable[[MeasuredImage], Arrays]:  # noqa: ARG002
        """Return a function to the quantised projection of an image's features."""
        scale = plan_scale(plan_cells(size).side)
        transform = plan_transform(size, scale.order)

        return lambda image: quantise_projection(project_features(image.features, transform), scale)

    def upper_bounds(self, arrays: Arrays, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the lowest of the bounds by codes, (n,) float64; see `Bound.upper_bounds`."""
        rows, place = np.unique([first, second], return_inverse=True)
        return bound_pairs(_find_codes(arrays, rows), *place.reshape(2, -1))

    def slack(self, size: int) -> float:
        """Return the slack of the features, and what the integers need; see the module's text."""
        return feature_slack(size) + CODES_SLACK

    def open_plan(self, arrays: Arrays, rows: NDArray[np.int64]) -> Codes:
        """Return the quantised vectors, which are mapped as long as the plan is open."""
        return _find_codes(arrays, rows)

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


def quantise_projection(vector: NDArray[np.float64], scale: Scale) -> Arrays:
    """Return what is stored of a projection, (n + 1,) float64."""
    quantised = allocate_quantised(1, scale)
    quantise(vector, scale, quantised, 0)
    return {f"code_{name}": array[0] for name, array in quantised._asdict().items()}


def _find_codes(arrays: Arrays, rows: NDArray[np.int64]) -> Codes:
    size = arrays["pixels"].shape[-2]
    stored = Quantised(*(arrays[f"code_{name}"] for name in Quantised._fields))
    return find_codes(stored, rows, plan_scale(plan_cells(size).side))


@cache
def cosines(side: int) -> NDArray[np.float64]:
    """Return the matrix, (side, side), of the orthonormal DCT-II of `side` values."""
    k, j = np.arange(side), np.arange(side)
    rows: NDArray[np.float64] = np.cos(np.pi * np.multiply.outer(k, 2 * j + 1) / (2 * side)) * np.sqrt(2 / side)
    rows[0] /= np.sqrt(2)
    return rows


def estimate_energy(side: int) -> NDArray[np.float64]:
    """Estimate the mean square of each coordinate of the transform.

    Fitted to photographs, and less to charts: with k, l the frequencies down and across, and d the number of the axis,
    by powers of (k + 1)(l + 1), of 1 + (k^2 + l^2)^0.5, and of d. Axes of means and deviations vary slowly from cell to
    cell; those of slopes have either sign and vary quickly; straight lines concentrate both on frequencies that are low in
    one direction. The residual is like the second axis. Means over the whole picture are large where nothing else is: for
    blank pictures, they are first.

    Args:
        side: cells along one side.

    Returns:
        (side, side, CELL_RANK + 1) float64.
    """
    frequency = np.arange(float(side))
    product = np.multiply.outer(frequency + 1, frequency + 1)[..., None]
    radius = 1 + np.hypot.outer(frequency, frequency)[..., None]
    number, is_slope = np.append(np.arange(1.0, CELL_RANK + 1), 2.0), np.zeros(CELL_RANK + 1, np.bool_)
    for one, other in SLOPE_AXES:
        number[other], is_slope[[one, other]] = number[one], True
    of_even = np.exp(-4.7) * product**-0.6 * radius**-1.1 * number**-0.7
    of_slopes = np.exp(-5.45) * product**-0.45 * radius**-0.4 * number**-1.2
    of_even[0, 0] *= np.exp(3)
    energy: NDArray[np.float64] = np.where(is_slope, of_slopes, of_even)
    return energy


@cache
def plan_scale(side: int) -> Scale:
    """Return how projections are quantised: of thumbnails with `side` cells along a side."""
    return choose_scale(estimate_energy(side).ravel(), find_symmetry(side), N_GROUPS)


class Transform(NamedTuple):
    """How features are projected: on some coordinates of the transform.

    Attributes:
        rows: (side or more, side) float64, the cosines, completed to a multiple of PANEL_ROWS with zeros.
        grid_index: (side * side,) int64, see `CellGrid`.
        chosen: (n,) int64, ascending, the coordinates that are kept.
        place: (n,) int64, the place of each of them in the projection.
        length: of the projection, without the length of the rest.
    """

    rows: NDArray[np.float64]
    grid_index: NDArray[np.int64]
    chosen: NDArray[np.int64]
    place: NDArray[np.int64]
    length: int


def plan_transform(size: int, order: NDArray[np.int64]) -> Transform:
    """Return how features of thumbnails of `size` pixels are projected on the coordinates `order`, -1 where there is none."""
    cells, place = plan_cells(size), np.argsort(order)[(order < 0).sum() :]
    # Complete panels of rows: those beyond the last cosine are 0, and so are their products.
    rows = np.zeros((complete_panels(cells.side), cells.side))
    rows[: cells.side] = cosines(cells.side)
    return Transform(rows, cells.grid_index, order[place], place, len(order))


def project_features(features: NDArray[np.float32], transform: Transform) -> NDArray[np.float64]:
    """Return the projection of one image's features.

    Args:
        features: (cells * cells * (CELL_RANK + 1),) float32.
        transform: how they are projected.

    Returns:
        (length + 1,) float64: the chosen coordinates in the order in which they were given, 0 where there is none, and the
        length of the rest.
    """
    projection = np.zeros(transform.length + 1)
    fill_projection(features.reshape(len(transform.grid_index), -1), transform, projection)
    return projection


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def fill_projection(features: NDArray[np.float32], transform: Transform, projection: NDArray[np.float64]) -> None:
    """Compute the projection of one image's features.

    Args:
        features: (side * side, CELL_RANK + 1) float32.
        transform: how.
        projection: (length + 1,) float64, the chosen coordinates, and the length of the rest; overwritten but where there is none.
    """
    rows, grid_index, chosen, place, length = transform
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
            projection[place[k]] = kept
            rest -= kept * kept
        begin = end
    projection[length] = np.sqrt(max(rest, 0.0) + REST_MARGIN)
