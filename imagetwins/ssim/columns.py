"""How the windows of a thumbnail are divided for scoring: into columns of LANES windows, bands, strips and blocks.

The kernels (kernels.py) take LANES neighbouring windows of one channel at once, a *column*, and go down it row by row. The
cells of features.py, some six windows wide, do not fit into LANES, but five of them fit into twice as many. So the columns
of cells are divided into *bands* of a few, and the windows of a band, in each channel, into as many columns as they need:
at 200 pixels 13 a channel, where 194 windows fill 12.1. The rows of cells are divided into *strips* of two (features.py).
What a strip and a band have in common is a *block*: the unit that is bounded, and whose SSIM is added up.

    band 0         band 1         ...
    5 cells        5 cells
    2 columns      2 columns      of each channel, 16 windows wide

What the kernels read of a column lies together in memory, row by row; see `Windows`.
"""

import itertools
import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagetwins.ssim.features import plan_cells
from imagetwins.ssim.kernels import ROW_BYTES, Windows, allocate_aligned
from imagetwins.ssim.windows import HALO, LANES, plan_layout

WIDEST = 8
"""Cells in a band, at most: in wider bands, blocks would be too large to refine a bound by."""

ROWS_AT_ONCE = 50
"""Rows of windows of a column that are scored one after the other, about: those of some images fit into a core's cache."""


class Columns(NamedTuple):
    """The columns, bands and blocks of thumbnails of one size and one number of channels.

    Attributes:
        edges: (cells + 1,) int64, the row or column of windows at which each cell begins, and the end.
        strips: (strips + 1,) int64, the first row of cells of each strip, and the end.
        bands: (bands + 1,) int64, the first column of cells of each band, and the end.
        first: (bands + 1,) int64, the first column of each band, and the end. Those of a channel follow each other.
        group: (columns,) int64, the group of the layout (windows.py) that the column is a part of.
        position: (columns,) int64, the position in the rows of that group at which the column begins.
        lane: (columns,) int64, how many windows of the band and the channel precede the column.
        held: (columns,) int64, which of its lanes hold windows: bit k is lane k.
        runs: (runs, 2) int64, the first cell, in the order of the features, of the cells of a block that follow each
            other there, and the end.
        blocks: (blocks + 1,) int64, the first run of each block, and the end. Block b is in strip `b // bands` and in
            band `b % bands`.
        channels: 1 or 3.
        together: strips that are scored one after the other.
    """

    edges: NDArray[np.int64]
    strips: NDArray[np.int64]
    bands: NDArray[np.int64]
    first: NDArray[np.int64]
    group: NDArray[np.int64]
    position: NDArray[np.int64]
    lane: NDArray[np.int64]
    held: NDArray[np.int64]
    runs: NDArray[np.int64]
    blocks: NDArray[np.int64]
    channels: int
    together: int


@cache
def plan_columns(size: int, channels: int) -> Columns:
    """Return the columns of thumbnails of `size` pixels in `channels` (1 or 3) channels."""
    layout, cells = plan_layout(size, channels), plan_cells(size)
    bands = _plan_bands(layout.edges, layout.groups)
    strips = np.searchsorted(layout.edges, cells.strips)
    first, columns = [0], []
    for left, right in itertools.pairwise(bands.tolist()):
        group = int(np.searchsorted(layout.groups, left, side="right")) - 1
        width = int(layout.edges[right] - layout.edges[left])
        for channel, lane in itertools.product(range(channels), range(0, width, LANES)):
            held = (1 << min(LANES, width - lane)) - 1
            columns.append((group, layout.position(channel, left) + lane, lane, held))
        first.append(len(columns))
    runs, blocks = _plan_blocks(strips, bands, cells.grid_index)
    together = max(1, round(ROWS_AT_ONCE * (len(strips) - 1) / layout.windows))
    group, position, lane, held = np.ascontiguousarray(np.array(columns, np.int64).T)
    return Columns(
        layout.edges, strips, bands, np.array(first), group, position, lane, held, runs, blocks, channels, together
    )


def _plan_bands(edges: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first column of cells of each band, and the end: of as many cells as make the fewest columns.

    No band is in two groups.
    """

    def divide(cells: int) -> NDArray[np.int64]:
        starts = [k for left, right in itertools.pairwise(groups.tolist()) for k in range(left, right, cells)]
        return np.array([*starts, groups[-1]])

    def count_columns(bands: NDArray[np.int64]) -> int:
        return int((-(-np.diff(edges[bands]) // LANES)).sum())

    return min((divide(cells) for cells in range(1, WIDEST + 1)), key=count_columns)


def _plan_blocks(
    strips: NDArray[np.int64], bands: NDArray[np.int64], grid_index: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return `runs` and `blocks`; `grid_index` is that of the `CellGrid`."""
    side = int(strips[-1])
    place = np.empty((side, side), np.int64)
    place.ravel()[grid_index] = np.arange(side**2)
    runs, blocks = [], [0]
    for (top, bottom), (left, right) in itertools.product(
        itertools.pairwise(strips.tolist()), itertools.pairwise(bands.tolist())
    ):
        runs += [(place[row, left], place[row, right - 1] + 1) for row in range(top, bottom)]
        blocks.append(len(runs))
    return np.array(runs), np.array(blocks)


def allocate_windows(size: int, images: int) -> Windows:
    """Return memory for the windows of `images` images, in any number of channels; the system provides it when written."""
    columns = len(plan_columns(size, 3).group)
    shape = (images, columns, size, ROW_BYTES)
    rows = allocate_aligned(math.prod(shape)).reshape(shape)
    return Windows(rows, np.empty((images, columns, size - HALO), np.uint16))


def shape_windows(memory: Windows, images: int, columns: int) -> Windows:
    """Return a part of that memory as the windows of `images` images of `columns` columns."""
    rows, structured = memory.rows.reshape(-1), memory.structured.reshape(-1)
    of_rows, of_structured = ((images, columns, *array.shape[2:]) for array in memory)
    return Windows(
        rows[: math.prod(of_rows)].reshape(of_rows), structured[: math.prod(of_structured)].reshape(of_structured)
    )
