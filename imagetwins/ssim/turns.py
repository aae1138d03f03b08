"""What turning a picture does to what is kept of it: its cells, its features and its projection are exchanged, some change signs.

See features.py for why that is exact, and orientation.py for the eight orientations. Both tables say, for the turned picture, where
each number is found in that of the picture itself, and with which sign.

The orthonormal DCT-II of values in reverse order is that of the values themselves, with the sign of every second coordinate
changed; and the transform of a transposed grid is the transposed transform.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.features import CELL_RANK, SLOPE_AXES, plan_cells
from imagetwins.ssim.orientation import take_steps, turn

WIDTH = CELL_RANK + 1

ACROSS, DOWN = (np.array(axes) for axes in zip(*SLOPE_AXES, strict=True))


class FeatureTurn(NamedTuple):
    """Where the features of a turned picture are found.

    Attributes:
        cells: (cells * cells,) int64, the cell that is in the place of each.
        is_transposed: whether the coordinates of slopes across and down are exchanged.
        signs: (CELL_RANK + 1,) float32, of each coordinate.
    """

    cells: NDArray[np.int64]
    is_transposed: bool
    signs: NDArray[np.float32]


@cache
def plan_feature_turn(size: int, orientation: int) -> FeatureTurn:
    """Return the table for features of thumbnails of `size` pixels."""
    cells, steps = plan_cells(size), take_steps(orientation)
    side = cells.side
    place = np.empty(side**2, np.int64)
    place[cells.grid_index] = np.arange(side**2)
    found = place[turn(np.arange(side**2).reshape(side, side), orientation).ravel()[cells.grid_index]]
    signs = np.ones(WIDTH, np.float32)
    signs[ACROSS] = -1 if steps.reverses_columns else 1
    signs[DOWN] = -1 if steps.reverses_rows else 1
    return FeatureTurn(found, steps.is_transposed, signs)


@njit(nogil=True, cache=True)
def turn_features(features: NDArray[Any], row: int, table: FeatureTurn, turned: NDArray[Any]) -> None:
    """Set `turned`, (cells * cells * (CELL_RANK + 1),) float32 or integers, to the features of one row of `features` when it is turned."""
    cells, is_transposed, signs = table
    for cell in range(len(cells)):
        begin, source = cell * WIDTH, cells[cell] * WIDTH
        for d in range(WIDTH):
            turned[begin + d] = features[row, source + d] * signs[d]
        if is_transposed:
            for one, other in SLOPE_AXES:
                sign = signs[one] * signs[other]
                turned[begin + one], turned[begin + other] = turned[begin + other] * sign, turned[begin + one] * sign


@njit(nogil=True, cache=True)
def turn_rows(features: NDArray[Any], rows: NDArray[np.int64], table: FeatureTurn) -> NDArray[np.float32]:
    """Return the features of some rows, (n,), turned: (n, cells * cells * (CELL_RANK + 1)) float32."""
    turned = np.empty((len(rows), features.shape[1]), np.float32)
    for k in range(len(rows)):
        turn_features(features, rows[k], table, turned[k])
    return turned


class Symmetry(NamedTuple):
    """How the coordinates of the transform belong together.

    Attributes:
        other: (n,) int64, the coordinate that takes the place of each when a picture is transposed.
        changes_down: (n,) bool, whether it changes its sign when rows are in reverse order.
        changes_across: (n,) bool, the same for columns.
    """

    other: NDArray[np.int64]
    changes_down: NDArray[np.bool_]
    changes_across: NDArray[np.bool_]

    def turn_signs(self, orientation: int) -> NDArray[np.int64]:
        """Return the sign of each coordinate of a turned picture, (n,) int64."""
        _, reverses_rows, reverses_columns = take_steps(orientation)
        changed = (self.changes_down & reverses_rows) ^ (self.changes_across & reverses_columns)
        signs: NDArray[np.int64] = np.where(changed, -1, 1)
        return signs


def find_symmetry(side: int) -> Symmetry:
    """Return the symmetry of the coordinates of the transform, of `side` cells along a side."""
    row, column, axis = (each.ravel() for each in np.indices((side, side, WIDTH)))
    is_across, is_down = np.isin(axis, ACROSS), np.isin(axis, DOWN)
    return Symmetry(transpose_coordinates(side), (row % 2 == 1) ^ is_down, (column % 2 == 1) ^ is_across)


def transpose_coordinates(side: int) -> NDArray[np.int64]:
    """Return, of each coordinate of the transform, the one it takes the place of when a picture is transposed: (n,) int64."""
    axes = np.arange(WIDTH)
    axes[ACROSS], axes[DOWN] = DOWN, ACROSS
    grid = np.arange(side**2).reshape(side, side).T
    indices: NDArray[np.int64] = (grid[..., None] * WIDTH + axes).ravel()
    return indices
