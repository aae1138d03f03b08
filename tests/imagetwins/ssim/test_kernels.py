import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from imagetwins import ssim
from tests.support import oracle
from tests.support import thumbnails as pictures


@pytest.fixture(scope="module")
def score(tmp_path_factory):
    directories = {}

    def score(first, second):
        size = len(first)
        if size not in directories:
            directories[size] = tmp_path_factory.mktemp("kernels")
            ssim.create_workspace(directories[size], 2, size)
        directory = directories[size]
        ssim.prepare_images(directory, np.arange(2), np.array([first, second]))
        # A threshold of 1 and a floor of -1 keep the kernel's own number of all but the extreme pairs.
        plan = ssim.plan_join(directory, directory, np.arange(2), threshold=1.0, floor=-1.0)
        return next(r for r in (ssim.join_batch(directory, batch) for batch in plan.batches) if len(r.ssim))

    return score


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(pictures.pairs(32))
def test_score_detail_and_difference_are_those_of_the_oracle(score, pair):
    first, second = pair
    result = score(first, second)
    assert result.ssim[0] == pytest.approx(oracle.score(first, second), abs=1e-6)
    expected = oracle.detail_score(first, second)
    assert result.detail_ssim[0] == pytest.approx(expected, abs=2e-6, nan_ok=True)
    if np.isnan(expected):
        assert result.max_difference[0] == np.abs(first.astype(int) - second).max()


@pytest.mark.parametrize("size", [16, 50, 100, 201, 400])
def test_the_score_is_scikit_images_at_any_size(score, size):
    base = pictures.photographs(size)
    noisy = np.clip(base[0] + np.random.default_rng(0).normal(0, 10, base[0].shape), 0, 255).astype(np.uint8)
    for other in (base[1], noisy, np.repeat(base[0][..., :1], 3, axis=-1)):
        assert score(base[0], other).ssim[0] == pytest.approx(oracle.score(base[0], other), abs=1e-6)


def test_grey_pairs_score_the_same_in_one_channel(score):
    grey = np.repeat(pictures.photographs(64)[..., :1], 3, axis=-1)
    assert score(grey[0], grey[1]).ssim[0] == pytest.approx(oracle.score(grey[0], grey[1]), abs=1e-6)


def test_identical_pictures_score_exactly_one_in_scikit_image():
    for thumbnail in pictures.collection(32):
        assert ssim.reference_ssim(thumbnail, thumbnail.copy()) == 1.0


INTERPRETED = """
import sys, tempfile, numpy as np
from pathlib import Path
from imagetwins import ssim
from tests.support import oracle
from tests.support import thumbnails as pictures
images = pictures.photographs(16)
images = np.array([images[0], images[1], np.clip(images[0].astype(int) + 9, 0, 255).astype(np.uint8)])
directory = Path(tempfile.mkdtemp())
ssim.create_workspace(directory, 3, 16)
ssim.prepare_images(directory, np.arange(3), images)
for floor in (-1.0, 0.5):
    plan = ssim.plan_join(directory, directory, np.arange(3), threshold=0.99, floor=floor)
    found = {(i, j): s for b in plan.batches for r in [ssim.join_batch(directory, b)]
             for i, j, s in zip(r.image1.tolist(), r.image2.tolist(), r.ssim)}
    expected = {pair: s for pair, s in oracle.all_scores(images).items() if s >= floor}
    assert found.keys() == expected.keys(), (found, expected)
    assert all(abs(found[pair] - expected[pair]) < 1e-6 for pair in expected)
"""


@pytest.mark.slow
def test_the_kernels_say_the_same_interpreted():
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
