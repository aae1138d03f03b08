"""One thumbnail with what is measured of it, which all bounds share."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagetwins.ssim.features import Basis, measure_cells, plan_cells
from imagetwins.ssim.measurements import MeasuredWindows, allocate_windows, measure_windows
from imagetwins.ssim.windows import Layout, fill_pixels, plan_layout


class Scratch(NamedTuple):
    """Memory that one thumbnail after the other uses.

    Attributes:
        pixels: (groups, size, pixel_width) uint8.
        windows: of one thumbnail.
    """

    pixels: NDArray[np.uint8]
    windows: MeasuredWindows


def allocate_scratch(size: int) -> Scratch:
    """Return uninitialised memory for thumbnails of `size` pixels."""
    layout = plan_layout(size, 3)
    return Scratch(np.empty((layout.n_groups, size, layout.column.shape[1]), np.uint8), allocate_windows(layout))


class MeasuredImage:
    """A thumbnail and what is measured of it: each part when it is first asked for, and only once.

    `pixels` and `windows` lie in the scratch memory: they hold until another image is made with the same memory.

    Attributes:
        thumbnail: (size, size, 3) uint8, contiguous.
        basis: the workspace's, for the features.
        layout: the layout of three channels.
        pixels: (groups, size, pixel_width) uint8, the thumbnail in that layout.
        is_grey: whether the three channels are equal.
    """

    def __init__(self, thumbnail: NDArray[np.uint8], basis: Basis, scratch: Scratch) -> None:
        self.thumbnail = np.ascontiguousarray(thumbnail)
        self.basis = basis
        self.layout: Layout = plan_layout(len(thumbnail), 3)
        self.pixels = scratch.pixels
        self.is_grey: bool = fill_pixels(self.thumbnail, self.layout.segments, self.pixels)
        self._memory = scratch.windows

    @property
    def windows(self) -> MeasuredWindows:
        """What is measured of each window."""
        return self._measured[0]

    @property
    def is_structured(self) -> bool:
        """Whether at least one window is structured."""
        return self._measured[1]

    @property
    def features(self) -> NDArray[np.float32]:
        """(cells * cells * (CELL_RANK + 1),) float32, see features.py."""
        return self._cells[0]

    @property
    def structure(self) -> NDArray[np.float32]:
        """(cells * cells,) float32, how much of each cell is structured, 0 to 1."""
        return self._cells[1]

    @cached_property
    def _measured(self) -> tuple[MeasuredWindows, bool]:
        return self._memory, measure_windows(self.pixels, self.layout.is_window, self._memory)

    @cached_property
    def _cells(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return measure_cells(self.windows, plan_cells(self.layout.size), self.basis)
