"""The score that decides is scikit-image's to the last bit: it is compared with `==`, and never with a tolerance."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from imagetwins.ssim import reference_ssim
from tests.support import oracle
from tests.support import thumbnails as pictures


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(pictures.pairs(40))
def test_the_score_of_any_pair_is_scikit_images_to_the_bit(pair):
    assert reference_ssim(*pair) == oracle.score(*pair)


@pytest.mark.parametrize("size", [7, 8, 9, 10, 16, 31, 133, 134, 135, 200, 201, 400])
def test_it_is_at_any_size(size):
    """Also where NumPy's mean halves a row, at 128 windows."""
    rng = np.random.default_rng(size)
    first = pictures.photographs(size)[0]
    for spread in (0, 1, 9, 90):
        second = np.clip(first + rng.integers(-spread, spread + 1, first.shape), 0, 255).astype(np.uint8)
        assert reference_ssim(first, second) == oracle.score(first, second)
        assert reference_ssim(second, first[::-1].copy()) == oracle.score(second, first[::-1].copy())


def test_it_is_for_every_two_of_many_kinds():
    every = pictures.collection(64)
    for first in every[::3]:
        for second in every:
            assert reference_ssim(first, second) == oracle.score(first, second)


def test_what_is_rounded_at_the_left_edge_is_handed_on_to_the_right_one():
    """Sums run along a row: bright columns at its beginning change the last bits of dark windows at its end."""
    rng = np.random.default_rng(0)
    dark = rng.integers(0, 3, (2, 200, 200, 3)).astype(np.uint8)
    bright = dark.copy()
    bright[:, :, :3] = rng.integers(250, 256, (2, 200, 3, 3))
    apart = dark.copy()
    apart[:, :, :3] = 0
    for first, second in (dark, bright, apart):
        assert reference_ssim(first, second) == oracle.score(first, second)
        assert reference_ssim(first[:, ::-1].copy(), second[:, ::-1].copy()) == oracle.score(
            first[:, ::-1], second[:, ::-1]
        )


def test_identical_pictures_score_exactly_one():
    for thumbnail in pictures.collection(32):
        assert reference_ssim(thumbnail, thumbnail.copy()) == 1.0 == oracle.score(thumbnail, thumbnail)


def test_neither_scikit_image_nor_its_filters_are_imported_for_it():
    code = "import sys, imagetwins.ssim; print([name for name in ('skimage', 'scipy.ndimage') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
