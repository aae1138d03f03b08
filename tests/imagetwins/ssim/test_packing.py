import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from imagetwins.ssim.packing import largest_packed, pack, predict_planes, unpack
from tests.support import thumbnails as pictures

quick = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def packed(thumbnail):
    is_grey = bool((thumbnail == thumbnail[..., :1]).all())
    return np.frombuffer(pack(np.ascontiguousarray(thumbnail.transpose(2, 0, 1)), is_grey=is_grey), np.uint8)


def unpacked(content, size):
    return unpack(content, size).transpose(1, 2, 0)


@pytest.mark.parametrize("size", [16, 17, 50, 200, 300])
def test_every_thumbnail_is_the_same_once_it_is_unpacked(size):
    for thumbnail in pictures.collection(size):
        assert (unpacked(packed(thumbnail), size) == thumbnail).all()


@quick
@given(pair=pictures.pairs(24))
def test_so_is_each_that_is_hard_to_predict(pair):
    for thumbnail in pair:
        assert (unpacked(packed(thumbnail), 24) == thumbnail).all()


@pytest.mark.parametrize("size", [16, 64, 200])
def test_no_thumbnail_takes_more_than_there_is_room_for(size):
    rng = np.random.default_rng(0)
    # Flat, but for single pixels that differ as much as can be.
    sparse = np.where(rng.random((size, size, 3)) < 0.1, rng.integers(0, 256, (size, size, 3)), 128).astype(np.uint8)
    noise = rng.integers(0, 256, (size, size, 3)).astype(np.uint8)
    for thumbnail in (sparse, noise):
        assert len(packed(thumbnail)) <= largest_packed(size)
        assert (unpacked(packed(thumbnail), size) == thumbnail).all()


def test_photographs_take_half_of_their_bytes_and_flat_pictures_next_to_nothing():
    photographs = [len(packed(thumbnail)) for thumbnail in pictures.photographs(200)]
    assert np.mean(photographs) < 0.5 * 200 * 200 * 3
    assert len(packed(pictures.flat(200, 255))) < 300


def test_a_grey_thumbnail_has_one_plane():
    photograph = pictures.photographs(100)[0]
    grey = np.repeat(photograph[..., 1:2], 3, axis=-1)
    assert len(packed(grey)) < 0.5 * len(packed(photograph))


def median_residuals(plane):
    """Return the residuals of a plane, one at a time, by the definition of JPEG-LS."""
    around = np.zeros((len(plane) + 1, len(plane) + 1), int)
    around[1:, 1:] = plane
    found = np.empty(plane.shape, int)
    for i, j in np.ndindex(plane.shape):
        left, above, corner = around[i + 1, j], around[i, j + 1], around[i, j]
        found[i, j] = (plane[i, j] - sorted([left, above, left + above - corner])[1]) % 256
    return found


def test_residuals_are_those_of_the_median_predictor():
    channels = np.ascontiguousarray(pictures.photographs(32)[0].transpose(2, 0, 1))
    residuals = np.empty((3, 32, 32), np.uint8)
    predict_planes(channels, residuals)
    blue, green, red = channels.astype(int)
    assert (residuals[0] == median_residuals(green)).all()
    for plane, other in ((1, blue), (2, red)):
        assert (residuals[plane] == median_residuals((other - green + 128) % 256)).all()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:5],
        np.zeros_like,
        lambda content: np.concatenate([content[:12], np.roll(content[12:], 3)]),
        lambda content: np.concatenate([content[:4], np.zeros(4, np.uint8), content[8:]]),
    ],
)
def test_one_that_is_damaged_is_told(damage):
    with pytest.raises(OSError, match=r".+"):
        unpack(damage(packed(pictures.photographs(50)[0])), 50)
