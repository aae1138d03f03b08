"""Where a thumbnail's pixels and windows lie, so that any block of windows is contiguous and fills a vector unit.

SSIM needs sums over 7 x 7 windows. Down the columns such a sum slides: add the new row, subtract the old. Along a row it
is the sum of 7 neighbouring columns: 7 loads, each a column further, of whole vectors.

The windows are divided into *groups* of some 192 columns, and each group is stored as an image of its own, with the 6
columns more that its last windows reach (the *halo*). So a block of windows, some rows of one group, can be scored
alone, and lies together. The three channels of a group lie side by side in one row; the positions between two channels,
where a window would hold pixels of both, and those beyond the row count nothing, because their spread is infinite
(below). An image of three equal channels has a second, single-channel layout.

What is kept of a window is its pixel sum Sx (at most 49*255, int16) and its *spread* q = vx + C2/2 (float32), with

    vx = (49 Sxx - Sx^2) / (49*48)

the sample variance of scikit-image; `49 Sxx` < 2^28, so all before the division is exact in int32.
"""

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

WINDOW = 7
"""Side of SSIM's square window, in pixels (`win_size`)."""

HALO = WINDOW - 1
LANES = 16
"""Rows are padded to a multiple of this many positions, which the compiled loops take at once."""

CELLS = 32
"""Cells along one side of a thumbnail (fewer where it has not two windows for each), see features.py."""

GROUP = 192
"""Windows along the side of a group, about: long beside its halo, and the rows of two images still fit into a core's cache.

Measured at 200 pixels: with 48 a pair takes a third longer, and the blocks, though better chosen, save nothing."""

C1 = np.float32((0.01 * 255) ** 2)
C2 = np.float32((0.03 * 255) ** 2)
"""(K1 L)^2 and (K2 L)^2 of the SSIM paper, with scikit-image's K1 = 0.01, K2 = 0.03 and L = 255."""


@dataclass(frozen=True)
class Layout:
    """The places of one row of pixels, see the module's text.

    Attributes:
        size, channels: side of the thumbnail in pixels; 3 or 1.
        cells: cells along one side.
        edges: (cells + 1,) int64, the windows where cells begin, along either side, and the end.
        groups: (groups + 1,) int64, the cell columns where groups begin, and the end.
        column: (groups, pixel_width) int32, `channel * size + column` of the pixel at each position, -1 where there is none.
        is_window: (groups, window_width) bool, whether a window of one channel starts at each position.
    """

    size: int
    channels: int
    cells: int
    edges: NDArray[np.int64]
    groups: NDArray[np.int64]
    column: NDArray[np.int32]
    is_window: NDArray[np.bool_]

    @property
    def windows(self) -> int:
        """Windows along one side of the thumbnail."""
        return self.size - HALO

    @property
    def segments(self) -> NDArray[np.int64]:
        """(groups * channels, 5) int64: a group, a position in it, the channel that begins there, its columns and their end."""
        spans = enumerate(itertools.pairwise(self.edges[self.groups].tolist()))
        found = [
            (group, channel * (stop - start + HALO), channel, start, stop + HALO)
            for group, (start, stop) in spans
            for channel in range(self.channels)
        ]
        return np.array(found)

    @property
    def n_groups(self) -> int:
        return len(self.column)

    def position(self, channel: int, cell: int) -> int:
        """Return the position, in its group, of the first window of a cell column."""
        group = int(np.searchsorted(self.groups, cell, side="right")) - 1
        start, stop = self.edges[self.groups[group : group + 2]]
        return int(channel * (stop - start + HALO) + self.edges[cell] - start)


@cache
def plan_layout(size: int, channels: int) -> Layout:
    """Return the layout of thumbnails of `size` pixels in `channels` (1 or 3) channels."""
    windows = size - HALO
    cells = min(CELLS, windows // 2)
    edges = -(-np.arange(cells + 1) * windows // cells)
    n_groups = min(max(1, round(windows / GROUP)), cells)
    groups = np.arange(n_groups + 1) * cells // n_groups
    spans = list(itertools.pairwise(edges[groups].tolist()))
    longest = max(channels * (stop - start + HALO) for start, stop in spans) - HALO
    window_width = -(-longest // LANES) * LANES
    column = np.full((n_groups, window_width + LANES), -1, np.int32)
    for places, (start, stop) in zip(column, spans, strict=True):
        held = np.add.outer(np.arange(channels) * size, np.arange(start, stop + HALO)).ravel()
        places[: len(held)] = held
    first = column[:, :window_width]
    last = np.roll(column, -HALO, axis=1)[:, :window_width]
    is_window = (first >= 0) & (last - first == HALO) & (last // size == first // size)
    return Layout(size, channels, cells, edges, groups, column, is_window)


@njit(nogil=True, cache=True)
def fill_pixels(thumbnail: NDArray[np.uint8], segments: NDArray[np.int64], pixels: NDArray[np.uint8]) -> bool:
    """Lay a (size, size, 3) thumbnail out in `pixels`, (groups, size, pixel_width) uint8; return whether it is grey.

    `segments` are those of the layout; one of a single channel takes the first.
    """
    size = len(thumbnail)
    rows = np.empty((3, size), np.uint8)
    unequal = np.uint8(0)
    pixels[:] = 0
    for i in range(size):
        for j in range(size):
            b, g, r = thumbnail[i, j, 0], thumbnail[i, j, 1], thumbnail[i, j, 2]
            unequal |= (b ^ g) | (g ^ r)
            rows[0, j], rows[1, j], rows[2, j] = b, g, r
        for k in range(len(segments)):
            group, place, channel, start, stop = segments[k]
            pixels[group, i, place : place + stop - start] = rows[channel, start:stop]
    return bool(unequal == 0)


def restore_thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (size, size, 3) thumbnail that `fill_pixels` laid out."""
    size = pixels.shape[1]
    row = np.zeros((size, 3 * size), np.uint8)
    for places, part in zip(plan_layout(size, 3).column, pixels, strict=True):
        row[:, places[places >= 0]] = part[:, places >= 0]
    return np.ascontiguousarray(row.reshape(size, 3, size).transpose(0, 2, 1))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def fill_windows(
    pixels: NDArray[np.uint8], is_window: NDArray[np.bool_], sums: NDArray[np.int16], spreads: NDArray[np.float32]
) -> None:
    """Fill the window sums and spreads of some rows of one group of a thumbnail.

    Shapes: `pixels` (n + 6, pixel_width), `is_window` (window_width,), `sums` and `spreads` (n, window_width).
    """
    columns, width = pixels.shape[1], len(is_window)
    down, squares = np.zeros(columns, np.int32), np.zeros(columns, np.int32)
    for i in range(6):
        for f in range(columns):
            down[f] += np.int32(pixels[i, f])
            squares[f] += np.int32(np.int32(pixels[i, f]) * np.int32(pixels[i, f]))
    for i in range(len(sums)):
        for f in range(columns):
            new = np.int32(pixels[i + 6, f])
            down[f] += new
            squares[f] += np.int32(new * new)
        for f in range(width):
            s, q = np.int32(0), np.int32(0)
            for k in range(7):
                s = np.int32(s + down[f + k])
                q = np.int32(q + squares[f + k])
            sums[i, f] = s
            variance = np.int32(np.int32(np.int32(49) * q) - np.int32(s * s))
            spread = np.float32(variance) * np.float32(1 / 2352) + C2 / np.float32(2)
            spreads[i, f] = spread if is_window[f] else np.inf
        for f in range(columns):
            old = np.int32(pixels[i, f])
            down[f] -= old
            squares[f] -= np.int32(old * old)
