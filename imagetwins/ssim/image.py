"""One thumbnail with what is measured of it, which all bounds share."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from imagetwins.ssim.features import Basis, MeasuredCells, measure_cells, plan_cells
from imagetwins.ssim.windows import Layout, allocate_pixels, fill_pixels, is_grey, plan_layout


class Scratch:
    """Memory for the pixels of one thumbnail after the other, in the layouts of three channels and of one.

    Attributes:
        layouts: by the number of channels.
        pixels: (groups, size, pixel_width) uint8, by the number of channels.
    """

    def __init__(self, size: int) -> None:
        self.layouts: dict[int, Layout] = {channels: plan_layout(size, channels) for channels in (1, 3)}
        self.pixels = {channels: allocate_pixels(layout) for channels, layout in self.layouts.items()}


class MeasuredImage:
    """A thumbnail and what is measured of it: each part when it is first asked for, and only once.

    `pixels` and `grey_pixels` lie in the scratch memory: they hold until another image is made with the same memory.

    Attributes:
        thumbnail: (size, size, 3) uint8, contiguous.
        basis: the workspace's, for the features.
        pixels: (groups, size, pixel_width) uint8, the thumbnail in the layout of three channels.
        grey_pixels: (groups, size, pixel_width) uint8, it in the layout of one channel; None if it is in colour.
    """

    def __init__(self, thumbnail: NDArray[np.uint8], basis: Basis, scratch: Scratch) -> None:
        self.thumbnail = np.ascontiguousarray(thumbnail)
        self.basis = basis
        self.pixels = scratch.pixels[3]
        self.grey_pixels: NDArray[np.uint8] | None = None
        self._layouts = scratch.layouts
        fill_pixels(self.thumbnail, scratch.layouts[3], self.pixels)
        if is_grey(self.pixels, scratch.layouts[3].segments):
            self.grey_pixels = scratch.pixels[1]
            fill_pixels(self.thumbnail, scratch.layouts[1], self.grey_pixels)

    @property
    def is_grey(self) -> bool:
        """Whether the three channels are equal."""
        return self.grey_pixels is not None

    @property
    def is_structured(self) -> bool:
        """Whether at least one window is structured."""
        return self._cells.is_structured

    @property
    def features(self) -> NDArray[np.float32]:
        """(cells * cells * (CELL_RANK + 1),) float32, see features.py."""
        return self._cells.features

    @cached_property
    def _cells(self) -> MeasuredCells:
        pixels, channels = (self.pixels, 3) if self.grey_pixels is None else (self.grey_pixels, 1)
        return measure_cells(pixels, self._layouts[channels], plan_cells(len(self.thumbnail)), self.basis)
