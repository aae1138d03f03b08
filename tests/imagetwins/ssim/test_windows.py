import itertools

import numpy as np
import pytest

from imagetwins.ssim.windows import (
    allocate_pixels,
    fill_pixels,
    is_grey,
    plan_layout,
    restore_thumbnail,
)
from tests.support import oracle
from tests.support import thumbnails as pictures


@pytest.mark.parametrize("size", [16, 17, 50, 75, 129, 200, 400])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_window_of_each_channel_has_exactly_one_position_and_its_columns_follow(size, channels):
    layout = plan_layout(size, channels)
    width = layout.is_window.shape[1]
    expected = [c * size + j for c in range(channels) for j in range(size - 6)]
    assert sorted(layout.column[:, :width][layout.is_window].tolist()) == expected
    for group, position in np.argwhere(layout.is_window):
        held = layout.column[group, position : position + 7]
        assert held.tolist() == list(range(held[0], held[0] + 7))


@pytest.mark.parametrize("size", [16, 50, 129, 200])
def test_the_first_window_of_each_cell_is_where_the_layout_says(size):
    layout = plan_layout(size, 3)
    for channel, cell in itertools.product(range(3), range(layout.cells)):
        group = np.searchsorted(layout.groups, cell, side="right") - 1
        position = layout.position(channel, cell)
        assert layout.column[group, position] == channel * size + layout.edges[cell]
        assert layout.is_window[group, position]


@pytest.mark.parametrize("size", [16, 50, 64, 129, 400])
def test_a_thumbnail_in_colour_comes_back_from_its_layout(size):
    thumbnail = pictures.photographs(size)[0]
    layout = plan_layout(size, 3)
    pixels = allocate_pixels(layout)
    fill_pixels(thumbnail, layout, pixels)
    assert not is_grey(pixels, layout.segments)
    assert (restore_thumbnail(pixels) == thumbnail).all()


def test_a_grey_thumbnail_is_known_and_laid_out_in_one_channel():
    thumbnail = np.repeat(pictures.photographs(120)[0][..., :1], 3, axis=-1)
    colour, grey = plan_layout(120, 3), plan_layout(120, 1)
    pixels = allocate_pixels(colour)
    fill_pixels(thumbnail, colour, pixels)
    assert is_grey(pixels, colour.segments)
    pixels = allocate_pixels(grey)
    fill_pixels(thumbnail, grey, pixels)
    for column, part in zip(grey.column, pixels, strict=True):
        assert (part[:, column >= 0] == thumbnail[:, column[column >= 0], 0]).all()


@pytest.mark.parametrize("windows", [*range(2, 70), 193, 194, 294, 393])
def test_cells_are_the_same_from_either_side_and_of_nearly_the_same_width(windows):
    edges = plan_layout(windows + 6, 3).edges
    widths = np.diff(edges)
    assert (edges[0], edges[-1]) == (0, windows)
    assert (widths == widths[::-1]).all()
    assert widths.max() - widths.min() <= 1
    assert widths.min() >= 2
    assert edges.tolist() == oracle.edges(windows)
