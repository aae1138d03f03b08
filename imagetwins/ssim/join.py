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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagetwins.orientation import ORIENTATIONS, Orientations
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
from imagetwins.ssim.turned import (
    TurnedPairs,
    choose_best,
    join_turned,
    put_in_order,
    score_turned,
    turn_every_way,
    turn_pixels,
)
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
        orientation: (m,) uint8, that of image2 in which the pair scores highest, see orientation.py: `ssim` is
            SSIM(image1, turn(image2, orientation)), and so are the other numbers. 1 where only that is compared.
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
    orientation: NDArray[np.uint8]
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
        elif plan.orientations == "all":
            results.append(_join_turned(workspace, tile, plan, buffers, load))
        else:
            results.append(_join_pairs(workspace, tile, plan, buffers, load))
    return _merge_results(results)


def _join_pairs(
    workspace: Workspace, tile: Tile, plan: OpenPlan, buffers: Windows, load: PixelSource | None
) -> JoinResult:
    """Pass the pairs of one tile through the stages."""
    weights, counts = plan.weights, zero_counts()
    counts[PAIRS], counts[KNOWN] = _count_pairs(tile, weights.images), _count_pairs(tile, weights.known)
    pairs = TilePairs(tile, plan.groups.rows, weights, workspace.size)
    for bound, planned in plan.bounds:
        lowest = plan.floor - bound.slack(workspace.size)
        counts[bound.name] = bound.prune(workspace.arrays, planned, pairs, lowest)
    restore_pixels(workspace, np.concatenate(pairs.listed_rows), load)
    part = divide_pairs(*pairs.listed, len(plan.groups.rows), len(buffers.rows))
    scores = score_or_prune(workspace, pairs.listed_rows, part, buffers, _floor_of_blocks(plan))
    for outcome, name in ((PRUNED_BY_BLOCKS, BLOCKS), (IS_SCORED, SCORED)):
        counts[name] = weights.count_pairs(pairs.listed, scores.outcome == outcome)
    untouched = np.ones(len(pairs), np.int64)
    return _store_pairs(workspace, plan, TurnedPairs(*pairs.listed, untouched), scores, counts)


def _join_turned(
    workspace: Workspace, tile: Tile, plan: OpenPlan, buffers: Windows, load: PixelSource | None
) -> JoinResult:
    """Pass the pairs of one tile through the stages, the second picture in each orientation.

    A pair is counted in the last stage that it reaches in any orientation.
    """
    weights, counts = plan.weights, zero_counts()
    counts[PAIRS], counts[KNOWN] = _count_pairs(tile, weights.images), _count_pairs(tile, weights.known)
    every = [TilePairs(tile, plan.groups.rows, weights, workspace.size, orientation) for orientation in ORIENTATIONS]
    left = counts[PAIRS] - counts[KNOWN]
    for bound, planned in plan.bounds:
        lowest = plan.floor - bound.slack(workspace.size)
        bound.prune_turned(workspace.arrays, planned, every, lowest)
        still = join_turned([TurnedPairs.of(pairs) for pairs in every]).count_pairs(weights)
        counts[bound.name], left = left - still, still
    turned = put_in_order(join_turned([TurnedPairs.of(pairs) for pairs in every]), plan.groups)
    restore_pixels(workspace, plan.groups.rows[np.concatenate([turned.first, turned.second])], load)
    scores = score_turned(workspace, plan.groups.rows, turned, buffers, _floor_of_blocks(plan))
    counts[SCORED] = turned.take(scores.outcome == IS_SCORED).count_pairs(weights)
    counts[BLOCKS] = left - counts[SCORED]
    return _store_pairs(workspace, plan, turned, scores, counts)


def _floor_of_blocks(plan: OpenPlan) -> float | None:
    """Return the floor below which blocks prune pairs; None where they are not worth their cost.

    Blocks refine the bound by cells, which is used wherever that is worth its cost.
    """
    return plan.floor if any(isinstance(bound, CellBound) for bound, _ in plan.bounds) else None


def _count_pairs(tile: Tile, images: NDArray[np.int64]) -> int:
    """Return the number of pairs of images of a tile of the pair matrix, where group g has `images[g]`."""
    rows, columns = images[tile.row_start : tile.row_stop], images[tile.column_start : tile.column_stop]
    if tile.row_start == tile.column_start:
        return int((rows.sum() ** 2 - (rows**2).sum()) // 2)
    return int(rows.sum() * columns.sum())


def _store_pairs(
    workspace: Workspace, plan: OpenPlan, pairs: TurnedPairs, scores: Scores, counts: dict[str, int]
) -> JoinResult:
    """Verify the scores that are close to a limit, and return the pairs of images at or above the floor."""
    groups, limits = plan.groups, (plan.threshold, plan.floor)
    left = np.flatnonzero((scores.outcome == IS_SCORED) & (scores.score >= plan.floor - VERIFY_MARGIN))
    pairs = pairs.take(left)
    pairs, columns = _choose_turned(workspace, groups.rows, pairs, [column[left] for column in scores[1:]], limits)
    counts[VERIFIED] = int((~np.isnan(columns[-1])).sum())
    stored = np.flatnonzero(columns[0] >= plan.floor)
    pairs, columns = pairs.take(stored), [column[stored] for column in columns]
    image1, image2, origin = (groups.expand_in_order if plan.orientations == "all" else groups.expand)(pairs.groups)
    counts[STORED] = len(origin)
    result = _make_result(image1, image2, [column[origin] for column in columns], pairs.orientation[origin])
    return replace(result, counts=counts)


def _make_result(
    image1: NDArray[np.int32], image2: NDArray[np.int32], columns: list[NDArray[Any]], orientation: NDArray[np.int64]
) -> JoinResult:
    """Return a result with the columns of `_verify`, and counts of 0."""
    rest: Any = (*columns, orientation.astype(np.uint8), zero_counts())
    return JoinResult(image1, image2, *rest)


def _choose_turned(
    workspace: Workspace,
    rows: NDArray[np.int64],
    pairs: TurnedPairs,
    scores: list[NDArray[np.float64]],
    limits: tuple[float, float],
) -> tuple[TurnedPairs, list[NDArray[Any]]]:
    """Verify turned pairs, and return the best of each pair, with the columns of `_verify`; `rows` are those of all groups."""
    columns = _verify(workspace, (rows[pairs.first], rows[pairs.second]), pairs.orientation, scores, limits)
    best = choose_best(pairs, columns[0], limits)
    return pairs.take(best), [column[best] for column in columns]


def _verify(
    workspace: Workspace,
    rows: Pairs,
    orientation: NDArray[np.int64],
    scores: list[NDArray[np.float64]],
    limits: tuple[float, float],
) -> list[NDArray[Any]]:
    """Replace scores that are close to one of two limits, and measure differences where there is no detail.

    Args:
        workspace: that of the images.
        rows: the workspace rows of the pairs, two (n,) int64.
        orientation: (n,) int64, that of the second image of each.
        scores: SSIM, detail SSIM and local SSIM, (n,) float64 each.
        limits: the threshold and the floor.

    Returns:
        The columns of `JoinResult` from `ssim` to `kernel_ssim`.
    """
    score, detail, local = scores
    verified = _is_close(score, *limits)
    kernel = np.where(verified, score, np.nan)
    difference = np.zeros(len(score), np.uint8)
    for k in np.flatnonzero(verified | np.isnan(detail)):
        first, second = (workspace.pixels[side[k]] for side in rows)
        if orientation[k] > 1:
            second = turn_pixels(second, int(orientation[k]))
        if verified[k]:
            score[k] = reference_ssim(restore_thumbnail(first), restore_thumbnail(second))
        if np.isnan(detail[k]):
            difference[k] = largest_difference(first, second)
    return [score, detail, local, difference, verified, kernel]


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
    orientations: Orientations = "same",
    load: PixelSource | None = None,
) -> JoinResult:
    """Return what a join would store of pairs that an earlier one stored at the same or a lower floor, to the bit.

    Scores that are now close to the threshold or to the floor are verified; those that only the earlier join had to
    verify are the kernels' again.

    Args:
        directory: the workspace.
        rows: (n,) integers, the workspace row of each image.
        past: these pairs, sorted, with the numbers that images have now.
        threshold, floor, orientations: as for `plan_join`; the earlier join's orientations must have been the same.
        load: as for `join_batch`.

    Returns:
        The pairs at or above the floor; of the counts, only those of stored and verified pairs are not 0.

    Raises:
        StoreError: `directory` holds no intact workspace.
    """
    workspace = open_workspace(directory)
    first, second, restore = rows[past.image1], rows[past.image2], partial(restore_pixels, workspace, load=load)
    is_identical = (workspace.digests[first] == workspace.digests[second]).all(axis=1)
    if orientations == "all":
        return _reuse_turned(workspace, rows, past, is_identical, (threshold, floor), restore)
    score, was_verified = past.ssim.copy(), past.verified & ~is_identical
    side = tile_side(workspace.size)
    is_kept = was_verified & ~np.isnan(past.kernel_ssim)
    score[is_kept] = past.kernel_ssim[is_kept]
    # Older versions did not keep them.
    replaced = np.flatnonzero(was_verified & ~is_kept)
    restore(np.concatenate([first[replaced], second[replaced]]))
    for start in range(0, len(replaced), side):
        some = replaced[start : start + side]
        score[some] = _score_rows(workspace, first[some], second[some])
    is_close = ~is_identical & _is_close(score, threshold, floor)
    kernel = np.where(is_close, score, np.nan)
    score[is_close & was_verified] = past.ssim[is_close & was_verified]
    unverified = np.flatnonzero(is_close & ~was_verified)
    restore(np.concatenate([first[unverified], second[unverified]]))
    for k in unverified:
        x, y = (restore_thumbnail(workspace.pixels[row]) for row in (first[k], second[k]))
        score[k] = reference_ssim(x, y)
    verified = is_close | is_identical
    found = replace(past, ssim=score, verified=verified, kernel_ssim=kernel, counts=zero_counts())
    return _count_stored(_take(found, score >= floor))


def _reuse_turned(
    workspace: Workspace,
    rows: NDArray[np.int64],
    past: JoinResult,
    is_identical: NDArray[np.bool_],
    limits: tuple[float, float],
    restore: Callable[[NDArray[np.int64]], None],
) -> JoinResult:
    """Do as `reuse_pairs` where the second pictures are turned; (m,) bool says which pairs are of identical thumbnails.

    A limit decides between orientations whose scores are nearly equal. So where one is or was close, all are scored anew.
    """
    is_redone = ~is_identical & (past.verified | _is_close(past.ssim, *limits))
    kept = _take(past, ~is_redone & (past.ssim >= limits[1]))
    kept = replace(kept, kernel_ssim=np.full(len(kept.ssim), np.nan), counts=zero_counts())
    restore(rows[np.concatenate([past.image1[is_redone], past.image2[is_redone]])])
    pairs = turn_every_way(past.image1[is_redone].astype(np.int64), past.image2[is_redone].astype(np.int64))
    scores = score_turned(workspace, rows.astype(np.int64), pairs, _thread_buffers(workspace.size), None)
    left = np.flatnonzero(scores.score >= limits[1] - VERIFY_MARGIN)
    pairs, columns = _choose_turned(workspace, rows, pairs.take(left), [column[left] for column in scores[1:]], limits)
    stored = np.flatnonzero(columns[0] >= limits[1])
    pairs, columns = pairs.take(stored), [column[stored] for column in columns]
    again = _make_result(pairs.first.astype(np.int32), pairs.second.astype(np.int32), columns, pairs.orientation)
    return _count_stored(_merge_results([kept, again]))


def _take(result: JoinResult, which: NDArray[np.bool_]) -> JoinResult:
    """Return some pairs of a result, with its counts."""
    columns = {name: value[which] for name, value in vars(result).items() if name != "counts"}
    return JoinResult(**columns, counts=result.counts)


def _count_stored(result: JoinResult) -> JoinResult:
    """Return a result whose counts are those of its stored and verified pairs alone."""
    counts = {STORED: len(result.ssim), VERIFIED: int(result.verified.sum())}
    return replace(result, counts=zero_counts() | counts)


def _score_rows(workspace: Workspace, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the kernels' scores of pairs of workspace rows: no more pairs than a tile has rows."""
    buffers = _thread_buffers(workspace.size)
    rows = first.astype(np.int64), second.astype(np.int64)
    _, position = np.unique(rows, return_inverse=True)
    a, b = position.reshape(2, -1)
    part = divide_pairs(a, b, int(position.max(initial=-1)) + 1, len(buffers.rows))
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
    return JoinResult(image1[wanted], image2[wanted], *rest, np.ones(n, np.uint8), counts)


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
    names = scores | {
        "max_difference": np.uint8,
        "verified": np.bool_,
        "kernel_ssim": np.float64,
        "orientation": np.uint8,
    }
    rest: Any = {
        name: np.concatenate([np.empty(0, kind), *(getattr(r, name) for r in results)])[order]
        for name, kind in names.items()
    }
    return JoinResult(image1[order], image2[order], **rest, counts=counts)
