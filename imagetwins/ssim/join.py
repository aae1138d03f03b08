"""The join: the batches of tiles of a plan (plan.py), each computed on its own.

The pairs of a tile pass through the stages in order. Each stage proves some of them to be below the floor, and counts
those:

    the bounds, each by its name (bounds/)                    ->  "projection", "cells"
    bounds of blocks, replaced by exact values (refine.py)    ->  "blocks"
    the exact score                                           ->  "scored"

Pairs of identical thumbnails ("identical") need none of this, and pairs of images whose pairs are known from an earlier
join ("known") are left out. Pairs that are left and score at or above the floor are stored. A score within
VERIFY_MARGIN of the threshold or of the floor is replaced by scikit-image's own before it is compared. Scores do not
depend on the tiles, because the columns and blocks of a pair are always the same.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagetwins.ssim.bounds.cells import CellBound
from imagetwins.ssim.groups import Groups
from imagetwins.ssim.kernels import Windows
from imagetwins.ssim.pixels import PixelSource, restore_pixels
from imagetwins.ssim.plan import OpenPlan, open_plan, tile_side
from imagetwins.ssim.reference import reference_ssim
from imagetwins.ssim.refine import (
    IS_SCORED,
    PRUNED_BY_BLOCKS,
    Scores,
    allocate_buffers,
    largest_difference,
    score_or_prune,
)
from imagetwins.ssim.stages import BLOCKS, IDENTICAL, KNOWN, PAIRS, SCORED, STORED, VERIFIED, zero_counts
from imagetwins.ssim.tiles import Pairs, Tile, TilePairs, divide_pairs
from imagetwins.ssim.windows import restore_thumbnail
from imagetwins.ssim.workspace import Workspace, keep_blas_single_threaded, open_workspace

VERIFY_MARGIN = 1e-4
"""Scores this close to the threshold or to the floor are replaced by scikit-image's own."""


@dataclass(frozen=True)
class JoinResult:
    """The stored pairs of one batch, sorted, and how many pairs each stage accounts for.

    Attributes:
        image1, image2: (m,) int32, the images, image1 < image2.
        ssim: (m,) float64.
        detail_ssim: (m,) float64, NaN where no window of either image is structured.
        local_ssim: (m,) float64, see local.py.
        max_difference: (m,) uint8, the largest difference of two pixels; only meaningful where `detail_ssim` is NaN.
        verified: (m,) bool, whether `ssim` is scikit-image's own number, see reference.py.
        kernel_ssim: (m,) float64, what the kernels computed where that was replaced in `ssim`, NaN elsewhere: a later join
            that need not verify a pair has its score without computing it again.
        counts: numbers of pairs, see stages.py; to be added up over batches.
    """

    image1: NDArray[np.int32]
    image2: NDArray[np.int32]
    ssim: NDArray[np.float64]
    detail_ssim: NDArray[np.float64]
    local_ssim: NDArray[np.float64]
    max_difference: NDArray[np.uint8]
    verified: NDArray[np.bool_]
    kernel_ssim: NDArray[np.float64]
    counts: dict[str, int]


def join_batch(plan_directory: Path, batch: Sequence[Sequence[Any]], load: PixelSource | None = None) -> JoinResult:
    """Return the stored pairs of some tiles. The kernels release the GIL; safe in any number of threads and processes.

    Args:
        plan_directory: where `plan_join` wrote the plan.
        batch: one of the plan's batches; its tiles may have become plain sequences on the way.
        load: where pixels come from that the workspace does not keep.

    Raises:
        StoreError: the workspace is missing or damaged.
    """
    plan = open_plan(plan_directory)
    workspace = open_workspace(plan.workspace)
    buffers = _thread_buffers(workspace.size)
    keep_blas_single_threaded()
    results = []
    for tile in (Tile(*given) for given in batch):
        if tile.kind == "identical":
            results.append(_join_identical(workspace, tile, plan.groups))
        elif tile.kind == "known":
            results.append(_count_known(tile, plan))
        else:
            results.append(_join_pairs(workspace, tile, plan, buffers, load))
    return _merge_results(results)


def _join_pairs(
    workspace: Workspace, tile: Tile, plan: OpenPlan, buffers: Windows, load: PixelSource | None
) -> JoinResult:
    """Pass the pairs of one tile through the stages."""
    weights, counts = plan.weights, zero_counts()
    counts[PAIRS], counts[KNOWN] = _count_pairs(tile, weights.images), _count_pairs(tile, weights.known)
    pairs = TilePairs(tile, plan.groups.rows, weights)
    for bound, planned in plan.bounds:
        lowest = plan.floor - bound.slack(workspace.size)
        counts[bound.name] = bound.prune(workspace.arrays, planned, pairs, lowest)
    # Blocks refine the bound by cells, which is used wherever that is worth its cost.
    is_refined = any(isinstance(bound, CellBound) for bound, _ in plan.bounds)
    restore_pixels(plan.workspace, np.concatenate(pairs.listed_rows), load)
    part = divide_pairs(*pairs.listed, len(plan.groups.rows), len(buffers.rows) // 2)
    scores = score_or_prune(workspace, pairs.listed_rows, part, buffers, plan.floor if is_refined else None)
    for outcome, name in ((PRUNED_BY_BLOCKS, BLOCKS), (IS_SCORED, SCORED)):
        counts[name] = weights.count_pairs(pairs.listed, scores.outcome == outcome)
    return _store_pairs(workspace, plan, pairs.listed, scores, counts)


def _count_pairs(tile: Tile, images: NDArray[np.int64]) -> int:
    """Return the number of pairs of images of a tile of the pair matrix, where group g has `images[g]`."""
    rows, columns = images[tile.row_start : tile.row_stop], images[tile.column_start : tile.column_stop]
    if tile.row_start == tile.column_start:
        return int((rows.sum() ** 2 - (rows**2).sum()) // 2)
    return int(rows.sum() * columns.sum())


def _store_pairs(
    workspace: Workspace, plan: OpenPlan, pairs: Pairs, scores: Scores, counts: dict[str, int]
) -> JoinResult:
    """Verify the scores that are close to a limit, and return the pairs of images at or above the floor."""
    groups, floor = plan.groups, plan.floor
    left = np.flatnonzero((scores.outcome == IS_SCORED) & (scores.score >= floor - VERIFY_MARGIN))
    first, second = (side[left] for side in pairs)
    score, detail, local = (column[left] for column in scores[1:])
    verified = _is_close(score, plan.threshold, floor)
    kernel = np.where(verified, score, np.nan)
    difference = np.zeros(len(left), np.uint8)
    for k in np.flatnonzero(verified | np.isnan(detail)):
        x, y = workspace.pixels[groups.rows[first[k]]], workspace.pixels[groups.rows[second[k]]]
        if verified[k]:
            score[k] = reference_ssim(restore_thumbnail(x), restore_thumbnail(y))
        if np.isnan(detail[k]):
            difference[k] = largest_difference(x, y)
    stored = score >= floor
    image1, image2, origin = groups.expand((first[stored], second[stored]))
    columns: Any = (score, detail, local, difference, verified, kernel)
    score, detail, local, difference, verified, kernel = (column[stored][origin] for column in columns)
    counts[STORED], counts[VERIFIED] = len(origin), int(verified.sum())
    return JoinResult(image1, image2, score, detail, local, difference, verified, kernel, counts)


def _is_close(score: NDArray[np.float64], threshold: float, floor: float) -> NDArray[np.bool_]:
    """Return which scores are so close to the threshold or to the floor that they must be verified."""
    is_close: NDArray[np.bool_] = np.minimum(abs(score - threshold), abs(score - floor)) <= VERIFY_MARGIN
    return is_close


def reuse_pairs(
    directory: Path,
    rows: NDArray[np.int64],
    past: JoinResult,
    *,
    threshold: float,
    floor: float,
    load: PixelSource | None = None,
) -> JoinResult:
    """Return what a join would store of pairs that an earlier one stored at the same or a lower floor, to the bit.

    Scores that are now close to the threshold or to the floor are verified; those that only the earlier join had to
    verify are the kernels' again.

    Args:
        directory: the workspace.
        rows: (n,) integers, the workspace row of each image.
        past: these pairs, sorted, with the numbers that images have now.
        threshold, floor: as for `plan_join`.
        load: as for `join_batch`.

    Returns:
        The pairs at or above the floor; of the counts, only those of stored and verified pairs are not 0.

    Raises:
        StoreError: `directory` holds no intact workspace.
    """
    workspace = open_workspace(directory)
    first, second = rows[past.image1], rows[past.image2]
    is_identical = (workspace.digests[first] == workspace.digests[second]).all(axis=1)
    score, was_verified = past.ssim.copy(), past.verified & ~is_identical
    side = tile_side(workspace.size)
    is_kept = was_verified & ~np.isnan(past.kernel_ssim)
    score[is_kept] = past.kernel_ssim[is_kept]
    # Older versions did not keep them.
    replaced = np.flatnonzero(was_verified & ~is_kept)
    restore_pixels(directory, np.concatenate([first[replaced], second[replaced]]), load)
    for start in range(0, len(replaced), side):
        some = replaced[start : start + side]
        score[some] = _score_rows(workspace, first[some], second[some])
    is_close = ~is_identical & _is_close(score, threshold, floor)
    kernel = np.where(is_close, score, np.nan)
    score[is_close & was_verified] = past.ssim[is_close & was_verified]
    unverified = np.flatnonzero(is_close & ~was_verified)
    restore_pixels(directory, np.concatenate([first[unverified], second[unverified]]), load)
    for k in unverified:
        x, y = (restore_thumbnail(workspace.pixels[row]) for row in (first[k], second[k]))
        score[k] = reference_ssim(x, y)
    stored, verified = score >= floor, is_close | is_identical
    return JoinResult(
        past.image1[stored],
        past.image2[stored],
        score[stored],
        past.detail_ssim[stored],
        past.local_ssim[stored],
        past.max_difference[stored],
        verified[stored],
        kernel[stored],
        zero_counts() | {STORED: int(stored.sum()), VERIFIED: int(verified[stored].sum())},
    )


def _score_rows(workspace: Workspace, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the kernels' scores of pairs of workspace rows: no more pairs than a tile has rows."""
    buffers = _thread_buffers(workspace.size)
    rows = first.astype(np.int64), second.astype(np.int64)
    _, position = np.unique(rows, return_inverse=True)
    a, b = position.reshape(2, -1)
    part = divide_pairs(a, b, int(position.max(initial=-1)) + 1, len(buffers.rows) // 2)
    return score_or_prune(workspace, rows, part, buffers, None).score


def _count_known(tile: Tile, plan: OpenPlan) -> JoinResult:
    """Return no pairs, but the number of those between groups of known images only."""
    n_pairs = _count_pairs(tile, plan.weights.images)
    result = _merge_results([])
    result.counts.update({PAIRS: n_pairs, KNOWN: n_pairs})
    return result


def _join_identical(workspace: Workspace, tile: Tile, groups: Groups) -> JoinResult:
    """Return the pairs of identical thumbnails that begin with the tile's members; they score 1, see reference.py."""
    begin = np.arange(tile.row_start, tile.row_stop)
    group = np.searchsorted(groups.offsets, begin, side="right") - 1
    following = groups.offsets[group + 1] - begin - 1
    first = np.repeat(np.arange(len(begin)), following)
    within = np.arange(len(first)) - np.repeat(np.cumsum(following) - following, following)
    image1, image2 = groups.members[begin[first]], groups.members[begin[first] + 1 + within]
    is_known = groups.is_known[image1] & groups.is_known[image2]
    wanted = ~is_known
    n = int(wanted.sum())
    detail = np.where(workspace.structured[groups.rows[group[first[wanted]]]] == 1, 1.0, np.nan)
    counts = zero_counts() | {PAIRS: int(following.sum()), KNOWN: int(is_known.sum())}
    counts |= dict.fromkeys((IDENTICAL, STORED, VERIFIED), n)
    rest = np.ones(n), detail, np.ones(n), np.zeros(n, np.uint8), np.ones(n, np.bool_), np.full(n, np.nan)
    return JoinResult(image1[wanted], image2[wanted], *rest, counts)


_thread = threading.local()


def _thread_buffers(size: int) -> Windows:
    """Return this thread's buffers for one tile: fresh memory for every batch would cost more than filling it."""
    if getattr(_thread, "size", None) != size:
        _thread.size, _thread.buffers = size, allocate_buffers(size, tile_side(size))
    buffers: Windows = _thread.buffers
    return buffers


def _merge_results(results: list[JoinResult]) -> JoinResult:
    counts = {name: sum(result.counts[name] for result in results) for name in zero_counts()}
    image1, image2 = (
        np.concatenate([np.empty(0, np.int32), *(getattr(r, name) for r in results)]) for name in ("image1", "image2")
    )
    order = np.lexsort((image2, image1))
    scores = dict.fromkeys(("ssim", "detail_ssim", "local_ssim"), np.float64)
    names = scores | {"max_difference": np.uint8, "verified": np.bool_, "kernel_ssim": np.float64}
    rest: Any = {
        name: np.concatenate([np.empty(0, kind), *(getattr(r, name) for r in results)])[order]
        for name, kind in names.items()
    }
    return JoinResult(image1[order], image2[order], **rest, counts=counts)
