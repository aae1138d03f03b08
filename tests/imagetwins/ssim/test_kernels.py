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
def test_score_detail_local_and_difference_are_those_of_the_oracle(score, pair):
    first, second = pair
    result = score(first, second)
    assert result.ssim[0] == pytest.approx(oracle.score(first, second), abs=1e-6)
    expected = oracle.detail_score(first, second)
    assert result.detail_ssim[0] == pytest.approx(expected, abs=2e-6, nan_ok=True)
    assert result.local_ssim[0] == pytest.approx(oracle.local_score(first, second, oracle.squares(26)), abs=2e-6)
    if np.isnan(expected):
        assert result.max_difference[0] == np.abs(first.astype(int) - second).max()


@pytest.mark.parametrize("size", [16, 50, 100, 201, 400])
def test_the_scores_are_scikit_images_at_any_size(score, size):
    base, squares = pictures.photographs(size), oracle.squares(size - 6)
    noisy = np.clip(base[0] + np.random.default_rng(0).normal(0, 10, base[0].shape), 0, 255).astype(np.uint8)
    for other in (base[1], noisy, np.repeat(base[0][..., :1], 3, axis=-1)):
        result = score(base[0], other)
        assert result.ssim[0] == pytest.approx(oracle.score(base[0], other), abs=1e-6)
        assert result.local_ssim[0] == pytest.approx(oracle.local_score(base[0], other, squares), abs=2e-6)


def test_grey_pairs_score_the_same_in_one_channel(score):
    grey = np.repeat(pictures.photographs(64)[..., :1], 3, axis=-1)
    result = score(grey[0], grey[1])
    assert result.ssim[0] == pytest.approx(oracle.score(grey[0], grey[1]), abs=1e-6)
    assert result.local_ssim[0] == pytest.approx(oracle.local_score(*grey[:2], oracle.squares(58)), abs=2e-6)


@pytest.mark.parametrize("floor", [-1.0, 0.5])
@pytest.mark.parametrize("corner", [(0, 0), (0, 200), (93, 118), (194, 194)])
def test_a_small_patch_lowers_the_local_ssim_wherever_it_lies(tmp_path, corner, floor):
    base = pictures.photographs(400)[0]
    y, x = corner
    edited = base.copy()
    edited[y : y + 20, x : x + 20] = np.random.default_rng(0).integers(0, 256, (20, 20, 3))
    ssim.create_workspace(tmp_path, 2, 400)
    ssim.prepare_images(tmp_path, np.arange(2), np.array([base, edited]))
    plan = ssim.plan_join(tmp_path, tmp_path, np.arange(2), threshold=1.0, floor=floor)
    found = next(r for r in (ssim.join_batch(tmp_path, batch) for batch in plan.batches) if len(r.ssim))
    assert found.ssim[0] > 0.98
    assert found.local_ssim[0] < 0.6
    assert found.local_ssim[0] == pytest.approx(oracle.local_score(base, edited, oracle.squares(394)), abs=2e-6)


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
    found = {(i, j): scores for b in plan.batches for r in [ssim.join_batch(directory, b)]
             for i, j, *scores in zip(r.image1.tolist(), r.image2.tolist(), r.ssim, r.detail_ssim, r.local_ssim)}
    expected = {pair: s for pair, s in oracle.all_scores(images).items() if s >= floor}
    assert found.keys() == expected.keys(), (found, expected)
    for (i, j), s in expected.items():
        first, second = images[i], images[j]
        detail, local = oracle.detail_score(first, second), oracle.local_score(first, second, oracle.squares(10))
        assert np.allclose(found[i, j], [s, detail, local], atol=2e-6), (found[i, j], s, detail, local)
"""


@pytest.mark.slow
def test_the_kernels_say_the_same_interpreted():
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
