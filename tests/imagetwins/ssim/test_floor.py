"""Pairs whose bounds are as tight as bounds can be, with the floor at their own scores, a hair below and a hair above."""

from dataclasses import replace

import numpy as np
import pytest

from imagetwins import ssim
from imagetwins.ssim import bounds
from imagetwins.ssim.refine import (
    IS_SCORED,
    PRUNED_BY_BLOCKS,
    Scores,
    allocate_buffers,
    make_block_bounds,
    make_window_cache,
    refine_pairs,
    score_slack,
)
from imagetwins.ssim.workspace import open_workspace
from tests.support import oracle
from tests.support import thumbnails as pictures

SIZE = 32

STAGES = {
    "all": bounds.BOUNDS,
    "projection": bounds.BOUNDS[:1],
    "cells and blocks": bounds.BOUNDS[1:],
    "none": (),
}


def tight_pictures():
    """Flat, grey and coloured pictures, whose bounds are their scores; near copies; and others, which bounds prune."""
    rng = np.random.default_rng(0)
    photo, page = pictures.photographs(SIZE)[1], pictures.page(SIZE, 1)
    grey = np.repeat(photo[..., 1:2], 3, axis=-1)
    flats = [pictures.flat(SIZE, level) for level in (40, 44, 60, 70, 199, 200)]
    coloured = np.array([np.full((SIZE, SIZE, 3), colour, np.uint8) for colour in ((10, 200, 90), (14, 200, 90))])
    copies = [np.clip(photo.astype(int) + rng.integers(-d, d + 1, photo.shape), 0, 255) for d in (1, 6)]
    grey_copy = np.clip(grey.astype(int) + rng.integers(-3, 4, (SIZE, SIZE, 1)), 0, 255)
    marked = page.copy()
    marked[:5, :5] = 0
    others = [pictures.page(SIZE, seed) for seed in range(2, 8)]
    noise = rng.integers(0, 256, (2, SIZE, SIZE, 3))
    return np.array([*flats, *coloured, photo, *copies, grey, grey_copy, page, marked, *others, *noise], np.uint8)


@pytest.fixture(scope="module")
def tight():
    thumbnails = tight_pictures()
    return thumbnails, oracle.all_scores(thumbnails)


def prepare(directory, thumbnails):
    ssim.create_workspace(directory, len(thumbnails), SIZE)
    ssim.prepare_images(directory, np.arange(len(thumbnails)), thumbnails)


def join(directory, count, floor):
    """Return {pair: score} of what a join stores, its counts, and the plan."""
    plan = ssim.plan_join(directory, directory / "plan", np.arange(count), threshold=1.0, floor=floor)
    results = [ssim.join_batch(directory / "plan", batch) for batch in plan.batches]
    stored = {(int(i), int(j)): score for r in results for i, j, score in zip(r.image1, r.image2, r.ssim, strict=True)}
    return stored, {name: sum(r.counts[name] for r in results) for name in results[0].counts}, plan


def floors(scores):
    """Return scores of flat pictures and of near copies, and of each the next floats below and above."""
    own = [scores[pair] for pair in [(0, 1), (0, 2), (2, 3), (4, 5), (6, 7), (8, 9), (8, 10), (11, 12), (13, 14)]]
    assert 0.8 < min(own) < max(own) < 1
    return [float(floor) for score in own for floor in (np.nextafter(score, 0), score, np.nextafter(score, 1))]


@pytest.mark.parametrize("stages", STAGES)
def test_a_pair_is_stored_exactly_where_the_floor_is_at_or_below_its_score(stages, tight, tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "BOUNDS", STAGES[stages])
    thumbnails, scores = tight
    prepare(tmp_path, thumbnails)
    pruned = dict.fromkeys((bound.name for bound in STAGES[stages]), 0)
    for floor in floors(scores):
        stored, counts, plan = join(tmp_path, len(thumbnails), floor)
        assert stored.keys() == {pair for pair, score in scores.items() if score >= floor}
        # So close to the floor scores are scikit-image's own.
        near = {pair: score for pair, score in stored.items() if score - floor < 5e-5}
        assert near == {pair: scores[pair] for pair in near}
        assert all(plan.stages.values())
        pruned = {name: pruned[name] + counts[name] for name in pruned}
    # At this size the projection leaves nothing for the cells to prune.
    assert not STAGES[stages] or pruned[STAGES[stages][0].name]


def columns(result):
    """Return the columns of a result as lists, in the order of the pairs; NaN as None."""
    order = np.lexsort((result.image2, result.image1))
    names = ("image1", "image2", "ssim", "max_difference", "verified")
    optional = {
        name: [None if np.isnan(one) else one for one in getattr(result, name)[order]]
        for name in ("detail_ssim", "kernel_ssim")
    }
    return {name: getattr(result, name)[order].tolist() for name in names} | optional


def test_reused_pairs_are_those_that_a_join_stores_at_any_floor(tight, tmp_path):
    """One picture is there twice: the score of identical ones is verified by being 1."""
    thumbnails, scores = np.concatenate([tight[0], tight[0][8:9]]), tight[1]
    prepare(tmp_path, thumbnails)
    rows = np.arange(len(thumbnails))

    def join_all(floor):
        plan = ssim.plan_join(tmp_path, tmp_path / "plan", rows, threshold=1.0, floor=floor)
        return ssim.join_batch(tmp_path / "plan", [tile for batch in plan.batches for tile in batch])

    past = join_all(0.45)
    for floor in floors(scores):
        found = ssim.reuse_pairs(tmp_path, rows, past, threshold=1.0, floor=floor)
        pairs = {*zip(found.image1.tolist(), found.image2.tolist(), strict=True)}
        assert {pair for pair in pairs if pair in scores} == {pair for pair, score in scores.items() if score >= floor}
        assert (8, len(thumbnails) - 1) in pairs
        assert columns(found) == columns(join_all(floor))
        # Older versions did not keep what the kernels computed.
        older = replace(past, kernel_ssim=np.full(len(past.ssim), np.nan))
        assert columns(ssim.reuse_pairs(tmp_path, rows, older, threshold=1.0, floor=floor)) == columns(found)
        assert found.counts["stored"] == len(found.ssim)
        assert found.counts["verified"] == found.verified.sum()


def refine(directory, floor, slack):
    """Refine the pair of the rows 0 and 1, whose bounds are lifted so that they prune nothing: return outcome and score."""
    workspace = open_workspace(directory)
    bounds = make_block_bounds(workspace, floor)
    lifted = bounds._replace(unit=4 * bounds.unit, slack=slack)
    cache = make_window_cache(workspace, np.arange(2), 3, allocate_buffers(SIZE, 2), is_kept=False)
    found = Scores(np.zeros(1, np.uint8), np.zeros(1), np.zeros(1), np.zeros(1))
    refine_pairs(np.array([0]), np.array([1]), cache, lifted, found)
    return int(found.outcome[0]), float(found.score[0])


@pytest.mark.parametrize(("first", "second"), [(8, 9), (8, 10), (13, 14), (0, 2), (21, 22)])
def test_blocks_prune_a_pair_that_is_below_the_floor_and_none_that_is_at_it(first, second, tight, tmp_path):
    thumbnails, scores = tight
    prepare(tmp_path, thumbnails[[first, second]])
    score, slack = scores[first, second], score_slack(SIZE)
    assert refine(tmp_path, score, slack) == (IS_SCORED, pytest.approx(score, abs=slack))
    assert refine(tmp_path, score + 3 * slack, slack)[0] == PRUNED_BY_BLOCKS
