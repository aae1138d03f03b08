"""The peak difference against plain loops, and what it is for: one place that differs, among differences everywhere."""

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data

from imagetwins.calibration.distortions import plant_copy
from imagetwins.ssim import colour_difference, peak_difference
from imagetwins.ssim.peaks import _largest_deviation, _quantile
from tests.support import thumbnails as pictures

SIZE = 200


def thumbnail(picture, size=SIZE):
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)


def photographs():
    return [getattr(data, name)()[..., ::-1].copy() for name in ("astronaut", "chelsea", "coffee", "rocket")]


def loop_peak_difference(first, second):
    """The definition, with loops over squares and NumPy's own polynomials."""
    x, y = first.astype(float), second.astype(float)
    if min((one.max(-1) - one.min(-1) >= 8).mean() for one in (x, y)) < 0.005:
        x, y = (cv2.cvtColor(one, cv2.COLOR_BGR2GRAY).astype(float)[..., None] for one in (first, second))
    differences = np.zeros(x.shape[:2])
    for channel in range(x.shape[-1]):
        one, other = x[..., channel], y[..., channel]
        fitted = [
            np.clip(np.polyval(np.polyfit(a.ravel()[::7], b.ravel()[::7], 3), a), 0, 255)
            for a, b in ((other, one), (one, other))
        ]
        differences = np.maximum.reduce([differences, abs(one - fitted[0]), abs(other - fitted[1])])
    places = range(len(differences) - 2)
    squares = [differences[i : i + 3, j : j + 3].mean() for i, j in itertools.product(places, places)]
    return max(squares) / (np.percentile(squares, 90) + 2)


@pytest.mark.parametrize("kind", ["jpeg30", "grey", "brightened", "watermarked"])
def test_it_equals_plain_loops(kind):
    for number, picture in enumerate(photographs()):
        pair = thumbnail(picture, 48), thumbnail(plant_copy(picture, kind, np.random.default_rng(number)), 48)
        assert peak_difference(*pair) == pytest.approx(loop_peak_difference(*pair), rel=1e-3)


def loop_colour_difference(first, second):
    """The definition, with loops over squares."""
    if min((one.max(-1).astype(int) - one.min(-1) >= 8).mean() for one in (first, second)) < 0.005:
        return 0.0
    places = range(len(first) - 14)
    x, y = first.astype(float), second.astype(float)
    largest = 0.0
    for channel in (0, 2):
        shifts = [
            ((x - y)[i : i + 15, j : j + 15, channel] - (x - y)[i : i + 15, j : j + 15, 1]).mean()
            for i, j in itertools.product(places, places)
        ]
        largest = max(largest, abs(shifts - np.median(shifts)).max())
    return largest


def array_peak_difference(first, second):
    """The same arithmetic with NumPy's and OpenCV's whole arrays, in float32 where it is."""
    channels = [cv2.split(first), cv2.split(second)]
    if min((np.ptp(one, axis=-1) >= 8).mean() for one in (first, second)) < 0.005:
        channels = [[cv2.cvtColor(one, cv2.COLOR_BGR2GRAY)] for one in (first, second)]
    differences, powers = np.zeros(first.shape[:2], np.float32), np.vander(np.arange(256) / 255, 4)
    for pair in zip(*channels, strict=True):
        for source, target in (pair, pair[::-1]):
            tones, wanted = source.ravel()[::7], target.ravel()[::7]
            weighted = powers.T * np.bincount(tones, minlength=256)
            moments = powers.T @ np.bincount(tones, wanted, minlength=256)
            curve = np.clip(powers @ np.linalg.lstsq(weighted @ powers, moments)[0], 0, 255).astype(np.float32)
            differences = np.maximum(differences, cv2.absdiff(target.astype(np.float32), curve[source]))
    squares = cv2.boxFilter(differences, -1, (3, 3))[1:-1, 1:-1]
    return float(squares.max() / (np.percentile(squares, 90) + 2))


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(pictures.pairs(33))
def test_of_any_pair_it_is_what_whole_arrays_give_to_the_bit(pair):
    assert peak_difference(*pair) == array_peak_difference(*pair)
    assert colour_difference(*pair) == pytest.approx(loop_colour_difference(*pair), abs=1e-4)


@pytest.mark.parametrize("kind", ["jpeg30", "watermarked", "brightened"])
def test_so_it_is_of_photographs(kind):
    for number, picture in enumerate(photographs()):
        pair = thumbnail(picture), thumbnail(plant_copy(picture, kind, np.random.default_rng(number)))
        assert peak_difference(*pair) == array_peak_difference(*pair)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(arrays(np.float32, st.integers(2, 90), elements=st.floats(-1000, 1000, width=32) | st.sampled_from([0, 1, 2])))
def test_quantile_and_median_are_numpys(values):
    assert _quantile(values, 0.9) == np.quantile(values, 0.9)
    assert _largest_deviation(values) == abs(values - np.median(values)).max()


def test_a_little_colour_on_white_is_compared_as_colour():
    first, second = (np.full((SIZE, SIZE, 3), 255, np.uint8) for _ in range(2))
    first[100:130, 90:110] = second[100:130, 90:110] = (60, 40, 40)
    second[110:114, 98:102] = (40, 50, 60)
    assert peak_difference(first, second) > 4
    grey = cv2.cvtColor(cv2.cvtColor(first, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    assert peak_difference(first, grey) < 1


def test_it_is_symmetric_and_zero_of_identical_thumbnails():
    first, second, *_ = map(thumbnail, photographs())
    assert peak_difference(first, second) == peak_difference(second, first)
    assert peak_difference(first, first) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("level", [0, 17, 255])
def test_thumbnails_of_one_tone_have_a_difference_too(level):
    flat = np.full((32, 32, 3), level, np.uint8)
    dotted = flat.copy()
    dotted[5:8, 5:8] = 255 - level
    assert peak_difference(flat, flat) < 0.1
    assert peak_difference(flat, dotted) > 20


def coloured(colour, side=SIZE):
    """A product of one colour on white."""
    picture = np.full((side, side, 3), 255, np.uint8)
    picture[60:140, 70:130] = colour
    return picture


def test_a_product_in_another_colour_differs_in_colour_alone():
    navy, brown = coloured((60, 42, 40)), coloured((40, 42, 62))
    assert peak_difference(navy, brown) < 1
    assert colour_difference(navy, brown) == colour_difference(brown, navy) == pytest.approx(22, abs=1e-3)
    assert colour_difference(navy, coloured((60, 42, 40))) == 0


def test_colours_that_are_shifted_all_over_or_missing_are_no_difference():
    for picture in map(thumbnail, photographs()):
        warmer = np.clip(picture.astype(int) // 2 + (40, 50, 62), 0, 255).astype(np.uint8)
        assert colour_difference(picture // 2, warmer) < 15
        grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        assert colour_difference(picture, grey) == 0


@pytest.mark.parametrize("kind", ["halved", "doubled", "jpeg30", "jpeg60", "grey", "brightened"])
def test_copies_differ_everywhere_alike(kind):
    for number, picture in enumerate(photographs()):
        copy = plant_copy(picture, kind, np.random.default_rng(number))
        assert peak_difference(thumbnail(picture), thumbnail(copy)) < 7
        assert colour_difference(thumbnail(picture), thumbnail(copy)) < 22


def test_a_date_differs_in_one_place_also_where_all_was_compressed():
    for number, picture in enumerate(photographs()):
        stamped = picture.copy()
        height, width = stamped.shape[:2]
        place = (int(0.6 * width), int(0.95 * height))
        cv2.putText(stamped, "12 05 2019", place, cv2.FONT_HERSHEY_SIMPLEX, width / 800, (40, 180, 255), 2, cv2.LINE_AA)
        for kind in ("jpeg60", "brightened"):
            copy = plant_copy(stamped, kind, np.random.default_rng(number))
            assert peak_difference(thumbnail(picture), thumbnail(copy)) > 7
