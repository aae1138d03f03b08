"""Pictures are averaged down to thumbnails as OpenCV does it: every byte of every shape is the same."""

import itertools
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from imagetwins.decoding.shared import plan_bands
from imagetwins.ssim.area import shrink_area

SIZES = [16, 17, 31, 64, 100, 200, 256]
CHANNELS = [1, 3]


def by_opencv(pixels, size):
    small = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)
    return np.repeat(small[..., None], 3, axis=2) if small.ndim == 2 else small


def shrunk(pixels, size):
    thumbnail = np.empty((size, size, 3), np.uint8)
    shrink_area(pixels, thumbnail)
    return thumbnail


def draw(rng, height, width, channels):
    """Return noise of all levels, of the darkest and brightest, or of two neighbouring levels."""
    low, high = [(0, 256), (0, 2), (254, 256), (100, 102)][rng.integers(4)]
    values = rng.integers(low, high, (height, width, channels), np.uint8)
    return values if channels == 3 else values[..., 0]


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("size", SIZES)
def test_of_hundreds_of_shapes_every_byte_is_that_of_opencv(size, channels, soak_factor):
    rng = np.random.default_rng([size, channels])
    different = []
    for _ in range(200 * soak_factor):
        # As often little more than the thumbnail as several times its side.
        height, width = (size * (1 + 6 * rng.random(2) ** 2)).astype(int)
        if plan_bands((height, width), size):
            pixels = draw(rng, height, width, channels)
            if not np.array_equal(shrunk(pixels, size), by_opencv(pixels, size)):
                different.append((height, width))
    assert not different


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(
    ("numerator", "denominator"), [(12, 5), (8, 5), (6, 5), (16, 5), (10, 3), (7, 4), (5, 2), (61, 60)]
)
def test_means_midway_between_two_levels_are_rounded_as_opencv_does(numerator, denominator, channels):
    rng = np.random.default_rng([numerator, denominator, channels])
    # Whole periods of the weights, in both directions, or beside a whole number in one.
    size = denominator * (240 // denominator)
    for sides in [(numerator, numerator), (numerator, 2 * denominator), (denominator, numerator)]:
        height, width = (side * size // denominator for side in sides)
        pixels = draw(rng, height, width, channels)
        assert np.array_equal(shrunk(pixels, size), by_opencv(pixels, size)), sides


@pytest.mark.parametrize("height", [16, 17, 31, 32, 33, 48, 49])
@pytest.mark.parametrize("width", [17, 21, 22, 33, 47, 53])
def test_whatever_is_left_of_the_last_tile_is_resized_too(height, width):
    rng = np.random.default_rng([height, width])
    for channels in CHANNELS:
        pixels = draw(rng, height, width, channels)
        assert np.array_equal(shrunk(pixels, 16), by_opencv(pixels, 16)), channels


@pytest.mark.parametrize(
    ("shape", "size"),
    [((3024, 4032, 3), 200), ((1200, 9001, 3), 200), ((16, 3000), 16), ((49 * 20, 1001), 20), ((1000, 1499, 3), 999)],
)
def test_large_and_long_pictures(shape, size):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert np.array_equal(shrunk(pixels, size), by_opencv(pixels, size))


def test_in_bands_it_is_the_same():
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(100, 700, 2)
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        thumbnail, cuts = np.empty((100, 100, 3), np.uint8), [0, *sorted(rng.integers(0, 101, 3)), 100]
        for first, last in itertools.pairwise(cuts):
            bottom = min(max(int(last * height / 100) + 2, 16), height)
            top = max(min(int(first * height / 100) - 1, bottom - 16), 0)
            shrink_area(pixels[top:bottom], thumbnail, height, top, (first, last))
        assert np.array_equal(thumbnail, shrunk(pixels, 100)), (height, width, cuts)


@pytest.mark.parametrize("shape", [(15, 40, 3), (40, 15), (30, 29, 3)])
def test_too_few_pixels_are_refused(shape):
    thumbnail = np.empty((10, 30, 3), np.uint8)
    with pytest.raises(ValueError, match=f"{shape[0]} x {shape[1]} pixels"):
        shrink_area(np.zeros(shape, np.uint8), thumbnail)


INTERPRETED = """
import numpy as np, cv2
from imagetwins.ssim.area import shrink_area
for shape in [(38, 35, 3), (21, 40), (17, 33, 3)]:
    pixels, thumbnail = np.random.default_rng(0).integers(0, 256, shape, np.uint8), np.empty((16, 16, 3), np.uint8)
    shrink_area(pixels, thumbnail)
    expected = cv2.resize(pixels, (16, 16), interpolation=cv2.INTER_AREA).reshape(16, 16, -1)
    assert (thumbnail == expected).all(), shape
"""


def test_interpreted_it_says_the_same():
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
