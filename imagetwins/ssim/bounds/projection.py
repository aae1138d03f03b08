"""The bound by projection: inner products of shorter vectors, the coordinates of the features that matter most.

It rests on the bound by the features (features.py), on the Cauchy-Schwarz inequality, and on the energy compaction of
the discrete cosine transform (DCT).

**Truncation.** Let F be an image's features, B a matrix with orthonormal rows, p = B F the projection, and
t = sqrt(|F|^2 - |p|^2) the length of the rest. By Cauchy-Schwarz on the rest, <F(x), F(y)> <= <p(x), p(y)> + t(x) t(y).
So (p, t) is a shorter vector whose inner products bound the SSIM too.

**Coordinates.** Neighbouring cells of a picture are alike. So the orthonormal two-dimensional DCT-II over the grid of
cells, applied to each of their CELL_RANK + 1 coordinates, concentrates most of the length of F in few coordinates.
N_PROJECTED of them are kept, those for which a formula (`estimate_energy`) predicts the most, in the order in which it
predicts it.

**Integers.** These vectors are quantised to integers of 8 bits (codes.py), in this order and with steps that follow from
the same formula. So order and steps are the same for every folder: an image is projected and quantised once, and a join
maps what is stored. It computes the bounds of all pairs of a tile from the first coordinates, then those that are left
from all.

**Slack.** The transform is computed in float64, with errors below 10^-12. REST_MARGIN raises t^2 by more than they change
|p|^2 and |F|^2, so no inner product is too low by them. `feature_slack` allows for the features, CODES_SLACK for what is
rounded after that.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.bounds.base import Arrays, ArraySpec, Bound
from imagetwins.ssim.codes import (
    CODES_SLACK,
    HEAD,
    STAGES,
    Codes,
    Quantised,
    Scale,
    allocate_quantised,
    bound_pairs,
    choose_scale,
    find_codes,
    prune_tile,
    quantise,
    reach_by_codes,
    shape_of,
)
from imagetwins.ssim.features import CELL_RANK, SLOPE_AXES, Basis, count_features, feature_slack, plan_cells
from imagetwins.ssim.image import MeasuredImage
from imagetwins.ssim.integers import GROUP, TERMS
from imagetwins.ssim.processor import choose_kernels
from imagetwins.ssim.tiles import TilePairs
from imagetwins.ssim.vector import complete_panels, multiply
from imagetwins.ssim.windows import CELLS

N_PROJECTED = HEAD + 64 * GROUP
"""Coordinates kept of an image, without the length of the rest."""

REST_MARGIN = 1e-6
"""What the square of the length of the rest of a projection is raised by."""


class ProjectionBound(Bound):
    """The inner product of the projections, quantised; see the module's text."""

    name = "projection"
    label = "proven below the floor by projection"

    def arrays(self, size: int) -> Mapping[str, ArraySpec]:
        """Return the quantised projection of the features, see `Quantised`: some 4 kB."""
        width = count_groups(size) * GROUP
        return {
            "codes": ArraySpec(np.int8, (width,)),
            "code_terms": ArraySpec(np.float32, (STAGES, TERMS)),
            "code_bias": ArraySpec(np.int32, (STAGES,)),
        }

    def make_preparer(self, size: int, basis: Basis) -> Callable[[MeasuredImage], Arrays]:  # noqa: ARG002
        """Return a function to the quantised projection of an image's features."""
        transform, scale = plan_transform(size, choose_coordinates(size)), plan_scale(count_groups(size))

        return lambda image: quantise_projection(project_features(image.features, transform), scale)

    def upper_bounds(self, arrays: Arrays, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the lowest of the bounds by codes, (n,) float64; see `Bound.upper_bounds`."""
        rows, place = np.unique([first, second], return_inverse=True)
        return bound_pairs(_find_codes(arrays, rows), *place.reshape(2, -1))

    def slack(self, size: int) -> float:
        """Return the slack of the features, and what the integers need; see the module's text."""
        return feature_slack(size) + CODES_SLACK

    def open_plan(self, directory: Path, arrays: Arrays, rows: NDArray[np.int64]) -> Codes:  # noqa: ARG002
        """Return the quantised vectors, which are mapped as long as the plan is open."""
        return _find_codes(arrays, rows)

    def prune(self, arrays: Arrays, planned: Codes, pairs: TilePairs, lowest: float) -> int:  # noqa: ARG002
        """Drop the pairs that the quantised vectors prove to be below `lowest`."""
        kernels = choose_kernels()
        if pairs.is_whole:
            spans = (pairs.row_span.start, pairs.row_span.stop), (pairs.column_span.start, pairs.column_span.stop)
            return pairs.replace_all(
                *prune_tile(int(kernels), shape_of(kernels), planned, *spans, lowest, pairs.weights)
            )
        return pairs.prune_listed(reach_by_codes(int(kernels), planned, *pairs.listed, lowest))


def quantise_projection(vector: NDArray[np.float64], scale: Scale) -> Arrays:
    """Return what is stored of a projection, (n + 1,) float64."""
    quantised = allocate_quantised(1, scale)
    quantise(vector, scale, quantised, 0)
    return {"codes": quantised.codes[0], "code_terms": quantised.terms[0], "code_bias": quantised.bias[0]}


def _find_codes(arrays: Arrays, rows: NDArray[np.int64]) -> Codes:
    stored = Quantised(arrays["codes"], arrays["code_terms"], arrays["code_bias"])
    return find_codes(stored, rows, plan_scale(stored.codes.shape[1] // GROUP))


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
def choose_coordinates(size: int) -> NDArray[np.int64]:
    """Return the indices of the coordinates of the transform that are kept, by energy: (n,) int64.

    With each coordinate there is the one that takes its place when a picture is transposed, in the same group of codes, or
    with it in the head: so what is kept of a transposed picture is the same, exchanged.
    """
    side = plan_cells(size).side
    energy, other, n = estimate_energy(side).ravel(), transpose_coordinates(side), count_coordinates(size)
    # Those that belong together follow each other: they have the same energy.
    own = np.arange(len(other))
    order = np.lexsort((own, np.minimum(own, other), -energy))
    is_alone = (other == own)[order]
    alone, paired = list(order[is_alone][::-1]), list(order[~is_alone][::-1])
    ends, kept = {*range(HEAD, n, GROUP), n}, list[int]()
    while len(kept) < n:
        first = max((some for some in (alone, paired) if some), key=lambda some: energy[some[-1]])
        # Of two that belong together, the second would be in the next group. (Of the smallest thumbnails it may be.)
        some = alone if alone and len(kept) + 1 in ends else first
        kept += [some.pop() for _ in range(1 + (some is paired))]
    return np.array(kept)


def count_groups(size: int) -> int:
    """Return the groups of codes of a projection; there is always one."""
    return max(1, -(-(count_coordinates(size) - HEAD) // GROUP))


@cache
def plan_scale(groups: int) -> Scale:
    """Return how projections with so many groups of codes are quantised: as those of CELLS cells along a side begin."""
    energy = -np.sort(-estimate_energy(CELLS).ravel())
    return choose_scale(energy[HEAD::GROUP][:groups])


def transpose_coordinates(side: int) -> NDArray[np.int64]:
    """Return, of each coordinate of the transform, the one it takes the place of when a picture is transposed: (n,) int64."""
    axes = np.arange(CELL_RANK + 1)
    for one, other in SLOPE_AXES:
        axes[[one, other]] = other, one
    grid = np.arange(side**2).reshape(side, side).T
    indices: NDArray[np.int64] = (grid[..., None] * len(axes) + axes).ravel()
    return indices


class Transform(NamedTuple):
    """How features are projected: on some coordinates of the transform.

    Attributes:
        rows: (side or more, side) float64, the cosines, completed to a multiple of PANEL_ROWS with zeros.
        grid_index: (side * side,) int64, see `CellGrid`.
        chosen: (n,) int64, ascending, the coordinates that are kept.
        place: (n,) int64, the place of each of them in the projection.
    """

    rows: NDArray[np.float64]
    grid_index: NDArray[np.int64]
    chosen: NDArray[np.int64]
    place: NDArray[np.int64]


def plan_transform(size: int, chosen: NDArray[np.int64]) -> Transform:
    """Return how features of thumbnails of `size` pixels are projected on the coordinates `chosen`, no two the same."""
    cells, place = plan_cells(size), np.argsort(chosen)
    # Complete panels of rows: those beyond the last cosine are 0, and so are their products.
    rows = np.zeros((complete_panels(cells.side), cells.side))
    rows[: cells.side] = cosines(cells.side)
    return Transform(rows, cells.grid_index, chosen[place], place)


def project_features(features: NDArray[np.float32], transform: Transform) -> NDArray[np.float64]:
    """Return the projection of one image's features.

    Args:
        features: (cells * cells * (CELL_RANK + 1),) float32.
        transform: how they are projected.

    Returns:
        (n + 1,) float64: the chosen coordinates in the order in which they were given, and the length of the rest.
    """
    projection = np.empty(len(transform.chosen) + 1)
    fill_projection(features.reshape(len(transform.grid_index), -1), transform, projection)
    return projection


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def fill_projection(features: NDArray[np.float32], transform: Transform, projection: NDArray[np.float64]) -> None:
    """Compute the projection of one image's features.

    Args:
        features: (side * side, CELL_RANK + 1) float32.
        transform: how.
        projection: (n + 1,) float64, the chosen coordinates, and the length of the rest; overwritten.
    """
    rows, grid_index, chosen, place = transform
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
    projection[len(chosen)] = np.sqrt(max(rest, 0.0) + REST_MARGIN)
