"""The memory layout of a thumbnail's pixels and windows, and the running sums over its windows.

SSIM (Wang, Bovik, Sheikh, Simoncelli 2004, doi:10.1109/TIP.2003.819861) needs sums over all 7 x 7 windows of a
thumbnail. They are computed in two steps. Sums over 7 rows are kept for each column, and slide down: the new row is
added, the old one subtracted. The sum over a window is then the sum of 7 neighbouring column sums: 7 loads of whole
vectors, each one column further to the right.

**Layout.** The windows are divided into *groups* of some 192 columns. Each group is stored as an image of its own,
together with the 6 further columns that its last windows reach (the *halo*). A block of windows, some rows of one
group, can therefore be scored alone, and is contiguous in memory. The three channels of a group lie side by side in one
row. A position whose window would reach into two channels, or beyond the row, holds no window; such positions are
computed like all others, but contribute 0, because their spread (below) is infinite. A grey image, whose three channels
are equal, is also stored with a single channel.

**Stored sums.** Of each window two numbers are kept: its pixel sum Sx (at most 49*255, int16) and its *spread*
q = vx + C2/2 (float32), with scikit-image's sample variance

    vx = (49 Sxx - Sx^2) / (49*48)

`49 Sxx` < 2^28, so everything before the division is exact in int32.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

WINDOW = 7
"""Side of SSIM's square window, in pixels (`win_size` of scikit-image)."""

HALO = WINDOW - 1
"""Columns or rows of pixels that a window reaches beyond the one at which it begins."""

RADIUS = WINDOW // 2
"""Distance from a window's middle row or column to its last one: the weights of a slope are -RADIUS ... RADIUS."""

WINDOW_PIXELS = WINDOW**2
"""Pixels of a window (49); the sum of a window's pixels over this is its mean."""

VARIANCE_SCALE = WINDOW_PIXELS * (WINDOW_PIXELS - 1)
"""49*48: `49 Sxx - Sx^2` over this is the sample variance, and `49 Sxy - Sx Sy` over this the sample covariance."""

LANES = 16
"""Rows are padded to a multiple of this many positions: the compiled loops process so many at once."""

CELLS = 32
"""Cells along one side of a thumbnail, see features.py; fewer where there are less than two windows for each, or an odd number."""

GROUP = 192
"""Columns of windows in a group, about.

Many compared with the halo, while the rows of two images still fit into a core's cache. Measured at 200 pixels: with
48, scoring a pair takes a third longer, and the finer choice of blocks saves nothing."""

C1 = np.float32((0.01 * 255) ** 2)
"""(K1 L)^2 of the SSIM paper, with scikit-image's K1 = 0.01 and L = 255."""

C2 = np.float32((0.03 * 255) ** 2)
"""(K2 L)^2 of the SSIM paper, with scikit-image's K2 = 0.03 and L = 255."""

HALF_C2 = np.float32(C2 / 2)

TO_VARIANCE = np.float32(1 / VARIANCE_SCALE)
"""Factor from `49 Sxx - Sx^2` to the sample variance."""


@dataclass(frozen=True)
class Layout:
    """Where the pixels and the windows of a thumbnail's rows are stored; see the module's text.

    Attributes:
        size: side of the thumbnail, in pixels.
        channels: 3, or 1 for a grey thumbnail.
        cells: cells along one side.
        edges: (cells + 1,) int64, the row or column of windows at which each cell begins, and the end.
        groups: (groups + 1,) int64, the cell column at which each group begins, and the end.
        column: (groups, pixel_width) int32, `channel * size + column` of the pixel stored at each position, -1 if there
            is none.
        is_window: (groups, window_width) bool, whether a window of one channel begins at each position.
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
    def n_groups(self) -> int:
        """Groups of columns."""
        return len(self.column)

    @cached_property
    def segments(self) -> NDArray[np.int64]:
        """The runs of columns that are stored together.

        (groups * channels, 5) int64: the group, the position in it at which the run begins, its channel, its first
        column, and the end of its columns.
        """
        spans = enumerate(itertools.pairwise(self.edges[self.groups].tolist()))
        found = [
            (group, channel * (stop - start + HALO), channel, start, stop + HALO)
            for group, (start, stop) in spans
            for channel in range(self.channels)
        ]
        return np.array(found)

    def position(self, channel: int, cell: int) -> int:
        """Return the position, in its group, of the first window of a column of cells."""
        group = int(np.searchsorted(self.groups, cell, side="right")) - 1
        start, stop = self.edges[self.groups[group : group + 2]]
        return int(channel * (stop - start + HALO) + self.edges[cell] - start)


def count_cells(windows: int) -> int:
    """Return the number of cells along a side of so many windows: an even number divides no odd one symmetrically."""
    cells = min(CELLS, windows // 2)
    return cells - 1 if windows % 2 == 1 and cells % 2 == 0 else cells


def place_edges(windows: int, cells: int) -> NDArray[np.int64]:
    """Return where each cell begins, and the end, (cells + 1,) int64: the same from either side.

    No cell is wider than another by more than one.
    """
    left = (2 * np.arange(cells // 2 + 1) * windows + cells) // (2 * cells)
    return np.concatenate([left, windows - left[: (cells + 1) // 2][::-1]])


@cache
def plan_layout(size: int, channels: int) -> Layout:
    """Return the layout of thumbnails of `size` pixels in `channels` (1 or 3) channels."""
    windows = size - HALO
    cells = count_cells(windows)
    edges = place_edges(windows, cells)
    n_groups = min(max(1, round(windows / GROUP)), cells)
    groups = np.arange(n_groups + 1) * cells // n_groups
    spans = list(itertools.pairwise(edges[groups].tolist()))
    longest = max(channels * (stop - start + HALO) for start, stop in spans) - HALO
    window_width = -(-longest // LANES) * LANES
    column = np.full((n_groups, window_width + LANES), -1, np.int32)
    for positions, (start, stop) in zip(column, spans, strict=True):
        held = np.add.outer(np.arange(channels) * size, np.arange(start, stop + HALO)).ravel()
        positions[: len(held)] = held
    first = column[:, :window_width]
    last = np.roll(column, -HALO, axis=1)[:, :window_width]
    is_window = (first >= 0) & (last - first == HALO) & (last // size == first // size)
    return Layout(size, channels, cells, edges, groups, column, is_window)


def allocate_pixels(layout: Layout) -> NDArray[np.uint8]:
    """Return memory for the pixels of one thumbnail in a layout, (groups, size, pixel_width), with zeros.

    Positions that hold no pixel stay zero.
    """
    return np.zeros((layout.n_groups, layout.size, layout.column.shape[1]), np.uint8)


def fill_pixels(thumbnail: NDArray[np.uint8], layout: Layout, pixels: NDArray[np.uint8]) -> None:
    """Store a thumbnail, (size, size, 3), in a layout; if that has one channel, the first of the thumbnail is stored.

    `pixels` is memory of `allocate_pixels`; overwritten.
    """
    segments = layout.segments
    for group in range(layout.n_groups):
        of_group = segments[segments[:, 0] == group].tolist()
        (_, _, _, start, stop), *_ = of_group
        parts = [pixels[group, :, position : position + stop - start] for _, position, *_ in of_group]
        # OpenCV writes into arrays that have the shape of its result.
        if layout.channels == 1:
            cv2.extractChannel(thumbnail[:, start:stop], 0, dst=parts[0])
        else:
            cv2.split(thumbnail[:, start:stop], parts)


@njit(nogil=True, cache=True)
def is_grey(pixels: NDArray[np.uint8], segments: NDArray[np.int64]) -> bool:
    """Return whether the three channels of a thumbnail are equal.

    Args:
        pixels: (groups, size, pixel_width) uint8, in the layout of three channels.
        segments: the layout's.
    """
    unequal = np.uint8(0)
    for group in range(pixels.shape[0]):
        first, second, third = segments[3 * group, 1], segments[3 * group + 1, 1], segments[3 * group + 2, 1]
        for i in range(pixels.shape[1]):
            b, g, r = pixels[group, i, first:second], pixels[group, i, second:third], pixels[group, i, third:]
            for f in range(len(b)):
                unequal |= (b[f] ^ g[f]) | (g[f] ^ r[f])
    return bool(unequal == 0)


def restore_thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (size, size, 3) uint8 thumbnail that `fill_pixels` stored in `pixels`, (groups, size, pixel_width)."""
    return merge_channels(restore_channels(pixels))


def merge_channels(channels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (size, size, 3) uint8 thumbnail of (3, size, size) channels: in a tenth of the time of NumPy's copy."""
    return np.asarray(cv2.merge(tuple(channels)), np.uint8)


def restore_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the channels of that thumbnail one after the other: (3, size, size), contiguous."""
    size = pixels.shape[1]
    channels = np.empty((3, size, size), np.uint8)
    for group, position, channel, start, stop in plan_layout(size, 3).segments.tolist():
        channels[channel, :, start:stop] = pixels[group, :, position : position + stop - start]
    return channels


def fill_channels(
    channels: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], layout: Layout, pixels: NDArray[np.uint8]
) -> None:
    """Do as `fill_pixels`, with the channels of a thumbnail one after the other, three times (size, size) uint8."""
    for group, position, channel, start, stop in layout.segments.tolist():
        pixels[group, :, position : position + stop - start] = channels[channel][:, start:stop]


def split_channels(thumbnail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the channels of a (size, size, 3) uint8 thumbnail one after the other: (3, size, size), contiguous.

    Where they lie so in memory already, nothing is copied.
    """
    channels = thumbnail.transpose(2, 0, 1)
    return channels if channels.flags.c_contiguous else np.asarray(cv2.split(thumbnail), np.uint8)


# -- running sums ----------------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def begin_columns(pixels: NDArray[np.uint8], columns: NDArray[np.int16], squares: NDArray[np.int32]) -> None:
    """Set the column sums to those over the first 7 rows of `pixels`.

    Args:
        pixels: (7 or more, pixel_width) uint8.
        columns: (pixel_width,) int16, the sums of the pixels; overwritten.
        squares: (pixel_width,) int32, the sums of their squares; overwritten.
    """
    columns[:], squares[:] = 0, 0
    for i in range(WINDOW):
        for f in range(len(columns)):
            pixel = np.int32(pixels[i, f])
            columns[f] += np.int16(pixel)
            squares[f] += np.int32(pixel * pixel)


@njit(nogil=True, cache=True)
def slide_columns(pixels: NDArray[np.uint8], row: int, columns: NDArray[np.int16], squares: NDArray[np.int32]) -> None:
    """Move the sums of `begin_columns` from the 7 rows at `row` of `pixels` to those at `row + 1`."""
    for f in range(len(columns)):
        columns[f] = np.int16(columns[f] + np.int16(np.int16(pixels[row + WINDOW, f]) - np.int16(pixels[row, f])))
    for f in range(len(squares)):
        old, new = np.int32(pixels[row, f]), np.int32(pixels[row + WINDOW, f])
        squares[f] += np.int32(new * new - old * old)


@njit(nogil=True, cache=True)
def begin_slopes(pixels: NDArray[np.uint8], slopes: NDArray[np.int16]) -> None:
    """Set `slopes`, (pixel_width,) int16, to the sums over the first 7 rows of `pixels`, weighted by -3 ... 3."""
    slopes[:] = 0
    for i in range(WINDOW):
        for f in range(len(slopes)):
            slopes[f] += np.int16(np.int16(i - RADIUS) * np.int16(pixels[i, f]))


@njit(nogil=True, cache=True)
def slide_slopes(pixels: NDArray[np.uint8], row: int, columns: NDArray[np.int16], slopes: NDArray[np.int16]) -> None:
    """Move the sums of `begin_slopes` from the 7 rows at `row` of `pixels` to those at `row + 1`.

    The weight of every row becomes one less, except that of the old row, -3, and of the new one, 3. `columns` are the
    sums of `begin_columns` at `row`, before they are moved.
    """
    for f in range(len(slopes)):
        old, new = np.int16(pixels[row, f]), np.int16(pixels[row + WINDOW, f])
        moved = np.int16(np.int16(np.int16(RADIUS + 1) * old) + np.int16(np.int16(RADIUS) * new))
        slopes[f] = np.int16(slopes[f] + np.int16(moved - columns[f]))


# A function takes a whole array and the row of it that it fills: numba counts the references to each row that is passed.
@njit(nogil=True, cache=True)
def sum_windows(columns: NDArray[np.int16], row: int, sums: NDArray[np.int16]) -> None:
    """Set a row of `sums`, (n, window_width) int16, to the sums of 7 neighbouring columns, at most 49*255 = 12,495.

    `columns`, (pixel_width,) int16, are the sums of `begin_columns` or of `begin_slopes`.
    """
    for f in range(sums.shape[1]):
        total = np.int16(0)
        for k in range(WINDOW):
            total = np.int16(total + columns[f + k])
        sums[row, f] = total


@njit(nogil=True, cache=True)
def scale_variances(
    squares: NDArray[np.int32], sums: NDArray[np.int16], row: int, scaled_variances: NDArray[np.int32]
) -> None:
    """Compute `49 Sxx - Sx^2`, VARIANCE_SCALE times the sample variance, of one row of windows.

    Args:
        squares: (pixel_width,) int32, see `begin_columns`.
        sums: (n, window_width) int16, Sx of each window.
        row: of `sums`.
        scaled_variances: (window_width,) int32; overwritten.
    """
    for f in range(len(scaled_variances)):
        total, of_pixels = np.int32(0), np.int32(sums[row, f])
        for k in range(WINDOW):
            total = np.int32(total + squares[f + k])
        scaled_variances[f] = np.int32(np.int32(WINDOW_PIXELS) * total) - np.int32(of_pixels * of_pixels)
