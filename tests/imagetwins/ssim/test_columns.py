import itertools

import numpy as np
import pytest

from imagetwins import ssim
from imagetwins.ssim.columns import plan_columns
from imagetwins.ssim.features import CELL_RANK, plan_cells
from imagetwins.ssim.kernels import take_apart
from imagetwins.ssim.refine import allocate_buffers, fill_images, make_window_cache
from imagetwins.ssim.windows import C2, LANES, plan_layout
from imagetwins.ssim.workspace import open_workspace
from tests.support import oracle
from tests.support import thumbnails as pictures

SIZES = [16, 17, 50, 75, 129, 200, 400, 800]


def lanes(columns, size):
    """Return, of each lane of each column, `channel * size + column` of the first pixel of its window; -1 where there is none."""
    layout = plan_layout(size, columns.channels)
    found = np.full((len(columns.held), LANES), -1)
    for k, (group, position, held) in enumerate(zip(columns.group, columns.position, columns.held, strict=True)):
        for lane in (lane for lane in range(LANES) if held >> lane & 1):
            found[k, lane] = layout.column[group, position + lane]
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_window_is_in_one_lane_of_the_band_of_its_cell(size, channels):
    columns = plan_columns(size, channels)
    found = lanes(columns, size)
    expected = [c * size + j for c in range(channels) for j in range(size - 6)]
    assert sorted(found[found >= 0].tolist()) == expected
    for band, (start, stop) in enumerate(itertools.pairwise(columns.first)):
        left, right = columns.edges[columns.bands[band : band + 2]]
        of_channels = np.split(found[start:stop], channels)
        for channel, part in enumerate(of_channels):
            assert part[part >= 0].tolist() == [channel * size + j for j in range(left, right)]
        # A lane is the same place in all channels.
        first = columns.lane[start:stop].reshape(channels, -1)
        assert (first == np.arange(first.shape[1]) * LANES).all()


@pytest.mark.parametrize("size", SIZES)
def test_a_block_has_the_cells_of_its_strip_and_band(size):
    columns, cells = plan_columns(size, 3), plan_cells(size)
    assert CELL_RANK + 1 == LANES
    for block, (start, stop) in enumerate(itertools.pairwise(columns.blocks)):
        strip, band = divmod(block, len(columns.bands) - 1)
        rows, across = range(*columns.strips[strip : strip + 2]), range(*columns.bands[band : band + 2])
        expected = {row * cells.side + column for row in rows for column in across}
        found = [cell for first, end in columns.runs[start:stop] for cell in cells.grid_index[first:end].tolist()]
        assert len(found) == len(expected)
        assert set(found) == expected


def test_two_hundred_pixels_take_thirteen_columns_a_channel():
    columns = plan_columns(200, 3)
    assert len(columns.held) == 39
    assert columns.bands.tolist() == [0, 5, 10, 15, 20, 25, 30, 32]


@pytest.mark.parametrize("size", [16, 50, 129, 400])
@pytest.mark.parametrize("channels", [1, 3])
def test_sums_spreads_and_structure_are_those_of_the_windows(size, channels, tmp_path):
    """The last image ends where the workspace's array ends."""
    thumbnails = pictures.photographs(size)[:2]
    if channels == 1:
        thumbnails = np.repeat(thumbnails[..., :1], 3, axis=-1)
    ssim.create_workspace(tmp_path, 2, size)
    ssim.prepare_images(tmp_path, np.arange(2), thumbnails)
    cache = make_window_cache(open_workspace(tmp_path), np.arange(2), channels, allocate_buffers(size, 2))
    fill_images(np.arange(2), cache)
    places = lanes(cache.columns, size)
    for image, thumbnail in enumerate(thumbnails):
        views = np.lib.stride_tricks.sliding_window_view(thumbnail.astype(int), (7, 7), axis=(0, 1))
        sums, variances = views.sum((3, 4)), np.stack([oracle.variances(thumbnail[..., c]) for c in range(3)], -1)
        for k, place in enumerate(places):
            held = place >= 0
            channel, column = divmod(place[held], size)
            pixels, found, spreads = take_apart(cache.windows.rows[image, k])
            assert (
                thumbnail[:, column[0] :, channel[0]].T[: held.sum() + 6]
                == pixels[:, : LANES + 6][:, : held.sum() + 6].T
            ).all()
            assert (found[: size - 6, held] == sums[:, column, channel]).all()
            np.testing.assert_allclose(
                spreads[: size - 6, held] - float(C2) / 2, variances[:, column, channel], rtol=1e-5, atol=1e-5
            )
            assert np.isinf(spreads[: size - 6, ~held]).all()
            bits = cache.windows.structured[image, k][:, np.newaxis] >> np.arange(LANES) & 1
            assert (bits[:, held] == (variances[:, column, channel] >= 20 - 1e-9)).all()
            assert not bits[:, ~held].any()
