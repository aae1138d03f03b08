"""In which depth pixels are kept, and on which page transparent ones are laid."""

import numpy as np
import pytest

from imagetwins.decoding.model import UndecodableError
from imagetwins.decoding.pixels import find_depth, lay_on_page, to_8_bits

RNG = np.random.default_rng(6)


@pytest.mark.parametrize(
    ("largest", "depth"),
    [
        (0, 8),
        (255, 8),
        (256, 10),
        (1023, 10),
        (1024, 12),
        (4095, 12),
        (4096, 14),
        (16383, 14),
        (16384, 16),
        (65535, 16),
    ],
)
def test_the_depth_is_the_smallest_one_that_holds_the_values(largest, depth):
    assert find_depth(np.full((30, 40), largest, np.uint16)) == depth


@pytest.mark.parametrize(("hot", "depth"), [(1, 12), (10, 12), (11, 16)])
def test_one_value_in_ten_thousand_may_be_larger(hot, depth):
    values = RNG.integers(3000, 4096, (250, 400), np.uint16)
    values.ravel()[RNG.choice(values.size, hot, replace=False)] = 65535

    assert find_depth(values) == depth


def test_two_copies_of_a_scene_are_scaled_alike_though_one_has_hot_pixels():
    scene = RNG.integers(0, 4096, (250, 400, 3), np.uint16)
    copy = scene.copy()
    copy[17, 30] = 60000

    one, other = to_8_bits(scene), to_8_bits(copy)

    assert (one != other).any(axis=2).sum() == 1
    assert np.abs(one - scene / 4095 * 255).max() <= 0.5


@pytest.mark.parametrize(("largest", "factor"), [(1.0, 255), (0.2, 255), (255.0, 1), (200.0, 1)])
def test_floating_point_numbers_go_to_1_or_to_255(largest, factor):
    values = np.linspace(0, largest, 1000, dtype=np.float32).reshape(20, 50)

    assert np.abs(to_8_bits(values) - values.astype(float) * factor).max() <= 0.501


@pytest.mark.parametrize("values", [[-0.01, 1], [0, 256], [0, np.nan], [0, np.inf]])
def test_floating_point_numbers_of_another_range_are_refused(values):
    with pytest.raises(UndecodableError, match="0 to 1 or 255"):
        to_8_bits(np.array([values], np.float32))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint32])
def test_other_integers_are_refused(dtype):
    with pytest.raises(UndecodableError, match=np.dtype(dtype).name):
        to_8_bits(np.ones((4, 5), dtype))


def page(drawn, *, premultiplied=False):
    """Return the colour of the page behind a strip of 100 drawn pixels and as many transparent ones."""
    pixels = np.zeros((1, 200, 4), np.uint8)
    pixels[0, :100, 3] = 255
    pixels[0, :100, :3] = drawn
    return int(lay_on_page(pixels, premultiplied=premultiplied)[0, 150, 0])


@pytest.mark.parametrize("premultiplied", [False, True])
@pytest.mark.parametrize(("seen", "expected"), [(0, 0), (9, 0), (10, 255), (100, 255)])
def test_the_page_is_black_if_less_than_a_tenth_would_be_seen_on_white(seen, expected, premultiplied):
    drawn = np.full((100, 3), 255, np.uint8)
    drawn[:seen, 1] = 0

    assert page(drawn, premultiplied=premultiplied) == expected


@pytest.mark.parametrize(("level", "expected"), [(224, 0), (223, 255)])
def test_what_is_nearly_white_is_not_seen(level, expected):
    assert page(np.full((100, 3), level, np.uint8)) == expected


def test_of_nothing_the_page_is_white():
    assert (lay_on_page(np.zeros((3, 4, 4), np.uint8), premultiplied=False) == 255).all()


def test_the_page_is_one_for_all_of_a_large_picture():
    """It is laid on in pieces."""
    pixels = np.full((3000, 300, 4), 255, np.uint8)
    pixels[::2, :, 3] = 0
    assert (lay_on_page(pixels, premultiplied=False)[::2] == 0).all()
    pixels[-400:, :, :3] = 0
    assert (lay_on_page(pixels, premultiplied=False)[::2] == 255).all()
