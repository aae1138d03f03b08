import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numba.core.registry import cpu_target

from imagetwins import ssim
from imagetwins.ssim import local, refine
from imagetwins.ssim.kernels import block_slack, has_byte_products
from imagetwins.ssim.workspace import open_workspace
from tests.support import oracle
from tests.support import thumbnails as pictures
from tests.support.kernels import kernels_within


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


def score_all(directory, pairs, score):
    """Return the scores of pairs of workspace rows in colour, (3, n), by `score_pairs` or by `score_sparse_pairs`."""
    workspace = open_workspace(directory)
    images = np.arange(workspace.n_rows)
    cache = refine.make_window_cache(workspace, images, 3, refine.allocate_buffers(workspace.size, len(images)))
    found = np.empty((3, len(pairs)))
    refine.fill_images(images, cache)
    score(*np.ascontiguousarray(pairs.T), cache, refine.allocate_scratch(cache.columns, 5), found)
    return found


@pytest.mark.parametrize("size", [16, 50, 129, 200])
def test_scores_are_the_same_to_the_bit_from_pixels_in_any_order_and_both_ways(size, tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, size, size, 3))
    thumbnails = np.concatenate([pictures.photographs(size), noise, [pictures.page(size, 1), pictures.flat(size, 255)]])
    ssim.create_workspace(tmp_path, len(thumbnails), size)
    ssim.prepare_images(tmp_path, np.arange(len(thumbnails)), thumbnails.astype(np.uint8))
    pairs = np.array([*itertools.permutations(range(len(thumbnails)), 2)])
    expected = score_all(tmp_path, pairs, refine.score_pairs)
    np.testing.assert_array_equal(score_all(tmp_path, pairs, refine.score_sparse_pairs), expected)
    np.testing.assert_array_equal(score_all(tmp_path, pairs[:, ::-1], refine.score_pairs), expected)
    order = rng.permutation(len(pairs))
    assert np.array_equal(expected[:, order], score_all(tmp_path, pairs[order], refine.score_pairs), equal_nan=True)


def test_nothing_that_a_score_is_made_of_may_be_computed_in_another_order():
    # Which order that is would depend on what was compiled in the process and what was loaded.
    kernels = kernels_within(refine.score_pairs) | kernels_within(refine.score_sparse_pairs)
    assert {refine.set_scores, refine.sum_matrix, local.lowest_square} < kernels
    assert not [one for one in kernels if {"reassoc", "contract"} & set(one.targetoptions.get("fastmath", ()))]


SCORED = """
import sys, numpy as np
from pathlib import Path
from imagetwins.ssim import refine
from tests.imagetwins.ssim.test_kernels import score_all
directory, pairs = Path(sys.argv[1]), np.load(sys.argv[1] + "/pairs.npy")
found = [score_all(directory, pairs, score) for score in (refine.score_pairs, refine.score_sparse_pairs)]
np.save(directory / sys.argv[2], found)
print(*(sum(score.stats.cache_hits.values()) for score in (refine.score_pairs, refine.score_sparse_pairs)))
"""


@pytest.mark.slow
def test_scores_are_the_same_to_the_bit_just_compiled_and_loaded_and_partly_so(tmp_path):
    # At 200 pixels, since the weights of its squares are no powers of two.
    noise = np.random.default_rng(0).integers(0, 256, (2, 200, 200, 3))
    thumbnails = np.concatenate([pictures.photographs(200), noise, [pictures.page(200, 1)]]).astype(np.uint8)
    ssim.create_workspace(tmp_path, len(thumbnails), 200)
    ssim.prepare_images(tmp_path, np.arange(len(thumbnails)), thumbnails)
    np.save(tmp_path / "pairs.npy", [*itertools.combinations(range(len(thumbnails)), 2)])

    def run(name):
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
        command = [sys.executable, "-c", SCORED, str(tmp_path), name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split(), np.load(tmp_path / name)

    compiled, loaded = run("compiled.npy"), run("loaded.npy")
    for kernel in ("score_sparse_pairs", "set_scores"):
        for file in (tmp_path / "kernels").rglob(f"refine.{kernel}-*"):
            file.unlink()
    mixed = run("mixed.npy")
    assert [hits for hits, _ in (compiled, loaded, mixed)] == [["0", "0"], ["1", "1"], ["1", "0"]]
    for _, found in (compiled, loaded, mixed):
        np.testing.assert_array_equal(found, [compiled[1][0]] * 2)


def extremes(size):
    """Pictures whose windows have the largest and the smallest means, variances and covariances."""
    rng = np.random.default_rng(0)
    black_and_white = rng.integers(0, 2, (3, size, size, 3)) * 255
    stripes = np.broadcast_to((np.arange(size) % 2 * 255)[:, np.newaxis, np.newaxis], (size, size, 3))
    levels = [pictures.flat(size, level) for level in (0, 1, 2, 254, 255)]
    faint = [pictures.flat(size, level) + rng.integers(0, 2, (size, size, 3)) for level in (0, 127, 254)]
    return np.array([*black_and_white, 255 - black_and_white[0], stripes, 255 - stripes, *levels, *faint], np.uint8)


@pytest.mark.parametrize("size", [32, 200])
def test_no_score_is_off_by_more_than_the_stated_error(size, tmp_path):
    thumbnails = extremes(size)
    ssim.create_workspace(tmp_path, len(thumbnails), size)
    ssim.prepare_images(tmp_path, np.arange(len(thumbnails)), thumbnails)
    pairs = np.array([*itertools.combinations(range(len(thumbnails)), 2)])
    found = score_all(tmp_path, pairs, refine.score_pairs)[0]
    expected = [oracle.score(thumbnails[i], thumbnails[j]) for i, j in pairs]
    slack = block_slack(size, min(32, (size - 6) // 2))
    assert slack < 3e-6
    assert np.abs(found - expected).max() < slack


NARROWER = """
import sys, numpy as np
from pathlib import Path
from numba.core.registry import cpu_target
from imagetwins.ssim import kernels, refine
from tests.imagetwins.ssim.test_kernels import score_all
assert not kernels.has_byte_products(cpu_target.target_context.codegen().magic_tuple()[2])
directory, pairs = Path(sys.argv[1]), np.load(sys.argv[1] + "/pairs.npy")
for score in (refine.score_pairs, refine.score_sparse_pairs):
    np.save(f"{directory}/{score.__name__}.npy", score_all(directory, pairs, score))
"""


@pytest.mark.slow
@pytest.mark.parametrize("without", ["avx512vnni", "avx512", "avx512 avx fma"])
def test_a_processor_without_products_of_bytes_gives_the_same_scores(without, tmp_path):
    name, features = cpu_target.target_context.codegen().magic_tuple()[1:]
    if not has_byte_products(features):
        pytest.skip("this processor has no other path")
    thumbnails = np.concatenate([pictures.photographs(200)[:2], extremes(200)[::4], [pictures.page(200, 1)]])
    ssim.create_workspace(tmp_path, len(thumbnails), 200)
    ssim.prepare_images(tmp_path, np.arange(len(thumbnails)), thumbnails)
    pairs = np.array([*itertools.combinations(range(len(thumbnails)), 2)])
    np.save(tmp_path / "pairs.npy", pairs)
    lacking = tuple(f"+{feature}" for feature in without.split())
    kept = [f"-{one[1:]}" if one.startswith(lacking) else one for one in features.split(",")]
    forced = {"NUMBA_CPU_NAME": name if without == "avx512vnni" else "x86-64", "NUMBA_CPU_FEATURES": ",".join(kept)}
    subprocess.run([sys.executable, "-c", NARROWER, str(tmp_path)], env=os.environ | forced, check=True)
    expected, slack = score_all(tmp_path, pairs, refine.score_pairs), block_slack(200, 32)
    for score in ("score_pairs", "score_sparse_pairs"):
        found = np.load(tmp_path / f"{score}.npy")
        np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=2 * slack)
        np.testing.assert_allclose(found[1:], expected[1:], rtol=0, atol=4e-6)


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
