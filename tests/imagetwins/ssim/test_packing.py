import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from imagetwins import ssim
from imagetwins.errors import StoreError
from imagetwins.ssim import refine
from imagetwins.ssim.packing import (
    CONTEXTS,
    STATES,
    VALUES,
    count_used,
    count_words,
    make_code,
    pack,
    plan_bands,
    predict_band,
    unpack,
    unpack_band,
)
from imagetwins.ssim.windows import allocate_pixels, fill_pixels, plan_layout
from imagetwins.ssim.workspace import open_workspace
from tests.support import thumbnails as pictures

quick = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def packed(thumbnail):
    size = len(thumbnail)
    words = np.full(count_words(size), 0xFFFFFFFF, np.uint32)
    is_grey = bool((thumbnail == thumbnail[..., :1]).all())
    n = pack(thumbnail, is_grey, plan_bands(size), make_code(), words)
    assert n == count_used(words)
    return words[:n].copy()


def unpacked(words, size):
    channels = np.empty((3, size, size), np.uint8)
    is_whole = unpack(words, plan_bands(size), make_code(), channels)
    return channels.transpose(1, 2, 0), is_whole


@pytest.mark.parametrize("size", [16, 17, 50, 200, 300])
def test_every_thumbnail_is_the_same_once_it_is_unpacked(size):
    for thumbnail in pictures.collection(size):
        found, is_whole = unpacked(packed(thumbnail), size)
        assert is_whole
        assert (found == thumbnail).all()


@quick
@given(pair=pictures.pairs(24))
def test_so_is_each_that_is_hard_to_predict(pair):
    for thumbnail in pair:
        found, is_whole = unpacked(packed(thumbnail), 24)
        assert is_whole
        assert (found == thumbnail).all()


@pytest.mark.parametrize("size", [16, 64, 200])
def test_no_thumbnail_takes_more_words_than_there_is_room_for(size):
    rng = np.random.default_rng(0)
    # Flat, so that all is expected to be alike, but for single pixels that differ as much as can be.
    sparse = np.where(rng.random((size, size, 3)) < 0.1, rng.integers(0, 256, (size, size, 3)), 128).astype(np.uint8)
    noise = rng.integers(0, 256, (size, size, 3)).astype(np.uint8)
    for thumbnail in (sparse, noise):
        assert len(packed(thumbnail)) <= count_words(size)
    # Noise cannot be made smaller, and is hardly made larger.
    assert 4 * len(packed(noise)) < 1.2 * size * size * 3 + 500


def test_photographs_take_half_of_their_bytes_and_flat_pictures_next_to_nothing():
    photographs = [4 * len(packed(thumbnail)) for thumbnail in pictures.photographs(200)]
    assert np.mean(photographs) < 0.5 * 200 * 200 * 3
    assert 4 * len(packed(pictures.flat(200, 255))) < 1000


def test_a_grey_thumbnail_has_one_plane():
    photograph = pictures.photographs(100)[0]
    grey = np.repeat(photograph[..., 1:2], 3, axis=-1)
    assert len(packed(grey)) < 0.5 * len(packed(photograph))


def median_residuals(planes, above):
    """Return the residuals of a plane, one at a time, by the definition of JPEG-LS."""
    found = np.empty(planes.shape, int)
    for i, j in np.ndindex(planes.shape):
        top = planes[i - 1] if i else np.full(planes.shape[1], above)
        left = planes[i, j - 1] if j else top[0]
        corner = top[j - 1] if j else top[0]
        found[i, j] = (planes[i, j] - sorted([left, top[j], left + top[j] - corner])[1] + 128) % 256 - 128
    return found


def test_residuals_are_those_of_the_median_predictor():
    band = pictures.photographs(32)[0][5:12]
    residuals = np.empty((7, 3, 32), np.int32)
    predict_band(band, make_code().context, residuals, np.empty_like(residuals))
    blue, green, red = band.astype(int).transpose(2, 0, 1)
    assert (residuals[:, 0] == median_residuals(green, 128)).all()
    for plane, other in ((1, blue), (2, red)):
        assert (residuals[:, plane] == median_residuals((other - green + 128) % 256 - 128, 0)).all()


def test_each_table_has_every_state_once_and_each_residual_is_found_again():
    code = make_code()
    for k in range(len(CONTEXTS)):
        assert sorted(code.encode[k * STATES : (k + 1) * STATES].tolist()) == [*range(STATES)]
        # The likelier a residual, the more states it has; each sign has as many.
        symbols = (code.decode[k * STATES : (k + 1) * STATES] >> 16).astype(int)
        counts = np.bincount(symbols, minlength=VALUES)[1:]
        assert (counts == counts[::-1]).all()
        assert (np.diff(counts[VALUES // 2 :]) <= 0).all()


def test_a_part_of_a_band_is_unpacked_alone():
    thumbnail, bands = pictures.photographs(200)[1], plan_bands(200)
    words, channels = packed(thumbnail), np.zeros((3, 20, 200), np.uint8)
    for band, rows in ((0, 3), (7, 6), (15, bands[-1] - bands[-2])):
        assert unpack_band(words, band, rows, make_code(), channels, 2) == (band == 15)
        top = bands[band]
        assert (channels[:, 2 : 2 + rows].transpose(1, 2, 0) == thumbnail[top : top + rows]).all()


def test_whatever_is_read_nothing_beyond_is_and_damage_is_told():
    rng, words = np.random.default_rng(0), packed(pictures.photographs(64)[0])
    assert not unpacked(np.zeros_like(words), 64)[1]
    for _ in range(50):
        assert not unpacked(rng.integers(0, 1 << 32, len(words)).astype(np.uint32), 64)[1]
        cut = words.copy()
        cut[rng.integers(len(words) // 2, len(words) - 10) :] = 0
        assert not unpacked(cut, 64)[1]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 100, 400])
def test_the_blocks_of_a_tile_have_the_pixels_of_the_layout(size, channels, tmp_path):
    thumbnail = pictures.photographs(size)[2]
    if channels == 1:
        thumbnail = np.repeat(thumbnail[..., 1:2], 3, axis=-1)
    ssim.create_workspace(tmp_path, 1, size)
    ssim.prepare_images(tmp_path, np.zeros(1, np.int64), thumbnail[None])
    layout = plan_layout(size, channels)
    expected = allocate_pixels(layout)
    fill_pixels(thumbnail, layout, expected)
    cache = refine.make_window_cache(
        open_workspace(tmp_path), np.zeros(1, np.int64), channels, refine.allocate_buffers(size, 2), is_kept=True
    )
    for block in np.random.default_rng(0).permutation(cache.is_filled.shape[1]):
        refine.fill_block(cache, 0, block, 0, refine.allocate_scratch(cache).channels)
        strip, group = divmod(block, layout.n_groups)
        rows = slice(cache.strips[strip], cache.strips[strip + 1] + 6)
        held = layout.column[group] >= 0
        assert (cache.pixels[cache.slot[0], group, rows][:, held] == expected[group, rows][:, held]).all()
    assert not cache.packed.is_damaged[0]


def test_pixels_that_were_not_written_whole_end_the_join(tmp_path):
    thumbnails = pictures.photographs(64)[:2]
    ssim.create_workspace(tmp_path, 2, 64)
    ssim.prepare_images(tmp_path, np.arange(2), thumbnails)
    length = (tmp_path / "packed.bin").stat().st_size
    os.truncate(tmp_path / "packed.bin", 4096)
    os.truncate(tmp_path / "packed.bin", length)
    with pytest.raises(StoreError, match="damaged"):
        open_workspace(tmp_path).unpack_thumbnail(1)
    plan = ssim.plan_join(tmp_path, tmp_path / "plan", np.arange(2), threshold=0.9, floor=-1.0)
    with pytest.raises(StoreError, match="damaged"):
        ssim.join_batch(tmp_path / "plan", plan.batches[0])


def test_a_row_takes_the_pages_that_it_needs(tmp_path):
    if os.statvfs(tmp_path).f_bsize > 4096:
        pytest.skip("the file system has larger blocks")
    ssim.create_workspace(tmp_path, 4, 200)
    ssim.prepare_images(tmp_path, np.array([0, 3]), np.array([pictures.flat(200, 9), pictures.photographs(200)[0]]))
    ssim.flush_workspace(tmp_path)
    used = open_workspace(tmp_path).packed[[0, 3], 0].astype(int) >> 1
    pages = -(-4 * used // 4096)
    assert (tmp_path / "packed.bin").stat().st_blocks * 512 <= 4096 * (pages.sum() + 4)
    assert (ssim.load_thumbnail(tmp_path, 3) == pictures.photographs(200)[0]).all()
