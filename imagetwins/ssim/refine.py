"""From a bound to a score: for the pairs that no bound could prune.

The features (features.py) bound what each block of windows (columns.py) contributes to the SSIM of a pair, and the sum U of
these bounds is at least the SSIM. It is *refined*: the bound of one block after the other is replaced by the exact value
(kernels.py), until U is below the floor. The block that may lower U most comes first: that is the one with the largest
product of the two images' residuals, which the bound counts as if they agreed. What the first blocks lowered U by, compared
with these products, predicts how far all would; where that is not below the floor, the pair is *scored* instead. Order and
prediction affect only the cost: a pair is dropped only if U is below the floor, and any other is scored whole, by one kernel.
So a score does not depend on what was refined before.

`WindowCache` holds what the kernels read of the images of one tile, computed where many pairs need it; where few do, they are
refined and scored from pixels alone, with the same results. Two grey images
are compared in one channel; their score is the same, because their three channels are equal.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.columns import Columns, allocate_windows, plan_columns, shape_windows
from imagetwins.ssim.features import feature_unit, stored_slack
from imagetwins.ssim.kernels import (
    Windows,
    block_slack,
    bound_block,
    collect_losses,
    fill_column,
    score_column,
    score_pixels,
)
from imagetwins.ssim.local import lowest_square
from imagetwins.ssim.tiles import Pairs
from imagetwins.ssim.windows import LANES
from imagetwins.ssim.workspace import Workspace

AT_ONCE = 512
"""Pairs that are scored column by column together, so that what neighbouring pairs share stays in the core's cache."""

SIDE = 32
"""Images along each side of the squares of pairs that are scored one after the other. Measured: with 8, it takes a third longer
where a fifth of the pairs are to be scored."""

PAIRS_TO_KEEP = 6
"""How many of the pairs to be scored an image must be in, on average, for its windows to be computed once for all of them, and
not for each pair anew. Measured: scoring a pair then takes half as long, and that as long as scoring one."""

PAIRS_TO_REFINE = 12
"""The same for the pairs whose bounds are refined. Measured on charts, where it is 50: a block then takes half as long with AVX2,
and with AVX-512 two thirds."""

REFINED_AT_ONCE = 2048
"""Pairs whose bounds are refined together, block by block: so many that an image's block is read for more than one of them."""

TRIED = 6
"""Blocks that are refined before the rest is predicted. Measured on charts: of those that a prediction leaves to be
scored, some 3 in 100 would have been pruned; of those that would not have been, 2 in 100 are refined in vain."""

UNDECIDED, PRUNED_BY_BLOCKS, IS_SCORED = 0, 1, 2
"""The outcomes of a pair; none is left undecided."""


class WindowCache(NamedTuple):
    """The images of one tile, and their windows in one layout, computed where many pairs need them.

    Attributes:
        source: (n_images, groups, size, pixel_width) uint8, the workspace's pixels.
        row: (n,) int64, the rows of the images in `source`.
        columns: of the layout.
        windows: of the images.
        is_filled: (n,) bool, which images are computed.
        weight: 1 / (number of windows and channels).
    """

    source: NDArray[np.uint8]
    row: NDArray[np.int64]
    columns: Columns
    windows: Windows
    is_filled: NDArray[np.bool_]
    weight: float


class Scratch(NamedTuple):
    """Memory for some pairs at once, which are scored column by column.

    Attributes:
        totals: (pairs, strips, bands) float64, the sums of the SSIM over each block.
        losses: (pairs, cell rows, lanes) float32, see `score_column`.
        sums: (lanes,) float32, see `collect_losses`.
        cells: (pairs, cells, cells) float32, the losses of each cell.
        counts: (pairs,) int64, the structured windows.
    """

    totals: NDArray[np.float64]
    losses: NDArray[np.float32]
    sums: NDArray[np.float32]
    cells: NDArray[np.float32]
    counts: NDArray[np.int64]


class BlockBounds(NamedTuple):
    """What bounds the blocks of all images of a workspace, and the floor.

    Attributes:
        features: (n_images, length) int16, the workspace's.
        unit: of the products of two features.
        floor: pairs proven to be below it are dropped.
        slack: how far the sum of a pair's computed block bounds and values may be below the true bound.
    """

    features: NDArray[np.int16]
    unit: float
    floor: float
    slack: float


class Scores(NamedTuple):
    """What became of some pairs.

    Attributes:
        outcome: (n,) uint8, PRUNED_BY_BLOCKS or IS_SCORED.
        score: (n,) float64, the SSIM; unspecified where pruned.
        detail: (n,) float64, the detail SSIM, NaN where no window is structured; unspecified where pruned.
        local: (n,) float64, the local SSIM (local.py); unspecified where pruned.
    """

    outcome: NDArray[np.uint8]
    score: NDArray[np.float64]
    detail: NDArray[np.float64]
    local: NDArray[np.float64]


def allocate_buffers(size: int, images: int) -> Windows:
    """Return memory for the windows of `images` images, which a thread uses for one tile after the other."""
    return allocate_windows(size, images)


def make_window_cache(workspace: Workspace, rows: NDArray[np.int64], channels: int, buffers: Windows) -> WindowCache:
    """Return an empty cache for the images of the workspace rows `rows`, (n,) int64; it overwrites `buffers`."""
    columns = plan_columns(workspace.size, channels)
    return WindowCache(
        source=workspace.pixels if channels == 3 else workspace.grey_pixels,
        row=rows,
        columns=columns,
        windows=shape_windows(buffers, len(rows), len(columns.group)),
        is_filled=np.zeros(len(rows), np.bool_),
        weight=1 / (channels * int(columns.edges[-1]) ** 2),
    )


def allocate_scratch(columns: Columns, pairs: int) -> Scratch:
    """Return memory for `pairs` pairs at once."""
    strips, bands, cells = len(columns.strips) - 1, len(columns.bands) - 1, len(columns.edges) - 1
    cell_rows = max(columns.strips[min(k + columns.together, strips)] - columns.strips[k] for k in range(strips))
    lanes = int(columns.lane.max()) + LANES
    # Beyond the lanes there is room for as many as a cell is wide, which `collect_losses` adds to lanes it does not use.
    spare = int(columns.edges[1])
    return Scratch(
        np.empty((pairs, strips, bands)),
        np.empty((pairs, cell_rows, lanes + spare), np.float32),
        np.empty(lanes, np.float32),
        np.empty((pairs, cells, cells), np.float32),
        np.empty(pairs, np.int64),
    )


def make_block_bounds(workspace: Workspace, floor: float) -> BlockBounds:
    """Return the bounds of the blocks of all images of a workspace, which must keep those of `CellBound`."""
    cells = len(plan_columns(workspace.size, 3).edges) - 1
    slack, features = stored_slack(workspace.size) + block_slack(workspace.size, cells), workspace.arrays["features"]
    return BlockBounds(features, feature_unit(features.shape[1]) ** 2, floor, slack)


def score_or_prune(
    workspace: Workspace, rows: Pairs, part: NDArray[np.int64], buffers: Windows, floor: float | None
) -> Scores:
    """Score pairs of images, or prove them to be below the floor.

    Args:
        workspace: that of the images.
        rows: the workspace rows of the pairs, two (n,) int64. Neighbouring pairs should share images.
        part: (n,) int64: pairs with the same number have, together, at most as many images as `buffers` holds.
        buffers: overwritten.
        floor: refine the bounds of the blocks, and drop pairs proven to be below this; None: score every pair, which is
            faster where bounds prune nothing.

    Returns:
        What became of each pair.
    """
    n = len(part)
    scores = Scores(np.full(n, UNDECIDED, np.uint8), np.empty(n), np.empty(n), np.empty(n))
    bounds = None if floor is None else make_block_bounds(workspace, floor)
    for indices, channels in _iter_parts(workspace, rows, part):
        images, position = np.unique([side[indices] for side in rows], return_inverse=True)
        a, b = position.reshape(2, -1)
        order = np.lexsort((b, a, b // SIDE, a // SIDE))
        a, b, cache = a[order], b[order], make_window_cache(workspace, images, channels, buffers)
        outcome = np.full(len(order), IS_SCORED, np.uint8) if bounds is None else refine_images(a, b, cache, bounds)
        scores.outcome[indices[order]] = outcome
        is_left = outcome == IS_SCORED
        left = indices[order[is_left]]
        found = score_images(a[is_left], b[is_left], cache)
        scores.score[left], scores.detail[left], scores.local[left] = found
    return scores


def _iter_parts(workspace: Workspace, rows: Pairs, part: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield the indices of the pairs of each part, two grey images apart from others, and the channels to compare."""
    is_grey = workspace.grey[rows[0]] & workspace.grey[rows[1]]
    key = part * 2 + is_grey
    for value in np.unique(key):
        yield np.flatnonzero(key == value), 1 if value % 2 else 3


@njit(nogil=True, cache=True, error_model="numpy")
def bound_blocks(
    bounds: BlockBounds, columns: Columns, a: int, b: int, upper: NDArray[np.float32], loose: NDArray[np.float32]
) -> None:
    """Bound each block of the workspace rows a and b.

    Args:
        bounds: of the workspace.
        columns: of one or of three channels: the blocks are the same.
        a, b: the rows.
        upper: (blocks,) float32, the bounds; overwritten.
        loose: (blocks,) float32, how loose they may be; overwritten.
    """
    for k in range(len(upper)):
        span = (columns.blocks[k], columns.blocks[k + 1])
        bound, rests = bound_block(bounds.features, (a, b), columns.runs, span)
        upper[k], loose[k] = bound * bounds.unit, rests * bounds.unit


class Refinement(NamedTuple):
    """How far the bounds of some pairs are refined.

    Attributes:
        upper: (pairs, blocks) float32, the bounds of their blocks.
        loose: (pairs, blocks) float32, how loose those may be; -1 where the bound was replaced by the exact value.
        begin: (pairs,) float64, the sums of all bounds.
        remaining: (pairs,) float64, the sums of exact values, and of the bounds that were not replaced yet.
        tried: (pairs,) float64, the sums of what was in `loose` of the blocks that were replaced.
        rest: (pairs,) float64, the sums of what still is.
        active: (pairs,) int64, the pairs that are refined further: the first of these.
        first: (blocks + 2,) int64, the first choice of each block, and the end; see `choose_blocks`.
        chosen: (pairs * TRIED,) int64, the pairs that chose a block, in the order of the blocks.
        picked: (pairs, TRIED) int64, the blocks that each chose.
    """

    upper: NDArray[np.float32]
    loose: NDArray[np.float32]
    begin: NDArray[np.float64]
    remaining: NDArray[np.float64]
    tried: NDArray[np.float64]
    rest: NDArray[np.float64]
    active: NDArray[np.int64]
    first: NDArray[np.int64]
    chosen: NDArray[np.int64]
    picked: NDArray[np.int64]


def allocate_refinement(pairs: int, blocks: int) -> Refinement:
    """Return memory for so many pairs of so many blocks."""
    return Refinement(
        upper=np.empty((pairs, blocks), np.float32),
        loose=np.empty((pairs, blocks), np.float32),
        begin=np.empty(pairs),
        remaining=np.empty(pairs),
        tried=np.empty(pairs),
        rest=np.empty(pairs),
        active=np.empty(pairs, np.int64),
        first=np.empty(blocks + 2, np.int64),
        chosen=np.empty(pairs * TRIED, np.int64),
        picked=np.empty((pairs, TRIED), np.int64),
    )


def refine_images(
    a: NDArray[np.int64], b: NDArray[np.int64], cache: WindowCache, bounds: BlockBounds
) -> NDArray[np.uint8]:
    """Return, of pairs of images of `cache`, (n,) each, which are PRUNED_BY_BLOCKS, and which are left to be scored."""
    outcome = np.full(len(a), IS_SCORED, np.uint8)
    if pairs_of_images(a, b) >= PAIRS_TO_REFINE:
        fill_images(np.unique([a, b]), cache)
    state = allocate_refinement(min(REFINED_AT_ONCE, len(a)), len(cache.columns.blocks) - 1)
    refine_pairs(a, b, cache, bounds, state, allocate_scratch(cache.columns, 1), outcome)
    return outcome


@njit(nogil=True, cache=True, error_model="numpy")
def refine_pairs(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    cache: WindowCache,
    bounds: BlockBounds,
    state: Refinement,
    scratch: Scratch,
    outcome: NDArray[np.uint8],
) -> None:
    """Refine the bounds of pairs until they are below the floor, or not expected to be.

    Some pairs at once: each chooses some blocks, and then one block after the other is scored for all pairs that chose it,
    so that what they share is in the core's cache.

    Args:
        first, second: (n,) int64, the pairs, as images of `cache`.
        cache: of their images.
        bounds: of the workspace.
        state: memory for as many pairs as are refined at once.
        scratch: for one pair.
        outcome: (n,) uint8, set to PRUNED_BY_BLOCKS where a pair is proven to be below the floor.
    """
    lowest, blocks, at_once = bounds.floor - bounds.slack, state.upper.shape[1], len(state.begin)
    for start in range(0, len(first), at_once):
        n = min(at_once, len(first) - start)
        for p in range(n):
            i, j = first[start + p], second[start + p]
            bound_blocks(bounds, cache.columns, cache.row[i], cache.row[j], state.upper[p], state.loose[p])
            state.begin[p] = state.remaining[p] = state.upper[p].sum()
            state.rest[p], state.tried[p], state.active[p] = state.loose[p].sum(), 0.0, p
        left = n
        for _ in range(0, blocks, TRIED):
            choose_blocks(state, left)
            refine_chosen(first[start : start + n], second[start : start + n], cache, state, scratch, lowest)
            still = 0
            for p in state.active[:left]:
                if state.remaining[p] < lowest:
                    outcome[start + p] = PRUNED_BY_BLOCKS
                elif (state.remaining[p] - lowest) * state.tried[p] <= (
                    state.begin[p] - state.remaining[p]
                ) * state.rest[p]:
                    state.active[still] = p
                    still += 1
            left = still
            if left == 0:
                break


@njit(nogil=True, cache=True, error_model="numpy")
def choose_blocks(state: Refinement, n: int) -> None:
    """Choose, for each of the first n active pairs, the TRIED blocks whose bounds may be the loosest."""
    state.first[:] = 0
    for p in state.active[:n]:
        loose = state.loose[p]
        for k in range(TRIED):
            block = int(np.argmax(loose))
            if loose[block] < 0:
                state.picked[p, k] = -1
                continue
            state.picked[p, k] = block
            state.tried[p] += loose[block]
            state.rest[p] -= loose[block]
            loose[block] = -1.0
            state.first[block + 2] += 1
    for block in range(2, len(state.first)):
        state.first[block] += state.first[block - 1]
    for p in state.active[:n]:
        for block in state.picked[p]:
            if block >= 0:
                state.chosen[state.first[block + 1]] = p
                state.first[block + 1] += 1


@njit(nogil=True, cache=True, error_model="numpy")
def refine_chosen(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    cache: WindowCache,
    state: Refinement,
    scratch: Scratch,
    lowest: float,
) -> None:
    """Replace the bounds of the chosen blocks by the exact values, except of pairs that are below `lowest` meanwhile.

    While the block of one pair is scored, that of the next is brought into the core's cache.
    """
    # Of each tuple that is taken apart, numba counts the references anew: not for each block.
    source, columns, row, totals = cache.source, cache.columns, cache.row, scratch.totals
    edges, strips, starts = columns.edges, columns.strips, columns.first
    group, position, held = columns.group, columns.position, columns.held
    chosen, upper, remaining = state.chosen, state.upper, state.remaining
    windows, is_filled, weight = cache.windows, cache.is_filled, cache.weight
    for block in range(len(state.first) - 2):
        strip, band = divmod(block, len(columns.bands) - 1)
        span = (strip, strip + 1)
        begin, end = state.first[block], state.first[block + 1]
        for c in range(begin, end):
            p = chosen[c]
            if remaining[p] < lowest:
                continue
            i, j = first[p], second[p]
            after = chosen[min(c + 1, end - 1)]
            ahead = (first[after], second[after])
            totals[0, strip, band] = 0
            if is_filled[i] and is_filled[j]:
                for k in range(starts[band], starts[band + 1]):
                    score_column(windows, (i, j), k, edges, strips, span, totals, None, (0, band, 0), False, ahead)
            else:
                images, ahead = (row[i], row[j]), (row[ahead[0]], row[ahead[1]])
                for k in range(starts[band], starts[band + 1]):
                    place, target = (group[k], position[k]), (0, band, 0)
                    score_pixels(
                        source, images, place, held[k], edges, strips, span, totals, None, target, False, ahead
                    )
            remaining[p] += totals[0, strip, band] * weight - np.float64(upper[p, block])


def pairs_of_images(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return in how many of the pairs, (n,) int64 each, an image is on average."""
    return 2 * len(a) / max(len(np.unique([a, b])), 1)


def score_images(a: NDArray[np.int64], b: NDArray[np.int64], cache: WindowCache) -> NDArray[np.float64]:
    """Return the SSIM, the detail SSIM and the local SSIM, (3, n), of pairs of images of `cache`, (n,) each."""
    scores = np.empty((3, len(a)))
    if len(a) > 0 and pairs_of_images(a, b) >= PAIRS_TO_KEEP:
        fill_images(np.unique([a, b]), cache)
        score_pairs(a, b, cache, allocate_scratch(cache.columns, min(AT_ONCE, len(a))), scores)
    else:
        score_sparse_pairs(a, b, cache, allocate_scratch(cache.columns, 1), scores)
    return scores


@njit(nogil=True, cache=True, error_model="numpy")
def score_sparse_pairs(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    cache: WindowCache,
    scratch: Scratch,
    scores: NDArray[np.float64],
) -> None:
    """Score pairs one by one, from their pixels alone; the scores are those of `score_pairs`, to the bit.

    Args:
        first, second: (n,) int64, the pairs, as images of `cache`.
        cache: of their images; nothing is computed in it.
        scratch: for one pair.
        scores: (3, n) float64, the SSIM, the detail SSIM and the local SSIM; overwritten.
    """
    for p in range(len(first)):
        after = min(p + 1, len(first) - 1)
        ahead = (cache.row[first[after]], cache.row[second[after]])
        score_rows(cache, (cache.row[first[p]], cache.row[second[p]]), ahead, scratch)
        set_scores(cache, scratch, 0, scores, p)


@njit(nogil=True, cache=True, error_model="numpy")
def score_rows(cache: WindowCache, images: tuple[int, int], ahead: tuple[int, int], scratch: Scratch) -> None:
    """Fill `scratch` with the sums and the losses of one pair of workspace rows; `ahead` is the next."""
    source, columns = cache.source, cache.columns
    edges, strips, bands, starts, lane = columns.edges, columns.strips, columns.bands, columns.first, columns.lane
    group, position, held = columns.group, columns.position, columns.held
    totals, losses, sums, cells, counts = scratch
    totals[:], counts[:] = 0, 0
    for band in range(len(bands) - 1):
        second_channel = starts[band] + (starts[band + 1] - starts[band]) // columns.channels
        for top in range(0, len(strips) - 1, columns.together):
            span = (top, min(top + columns.together, len(strips) - 1))
            for k in range(starts[band], starts[band + 1]):
                place, target, continues = (group[k], position[k]), (0, band, lane[k]), k >= second_channel
                counts[0] += score_pixels(
                    source, images, place, held[k], edges, strips, span, totals, losses, target, continues, ahead
                )
            collect_losses(
                losses, 0, edges, (strips[span[0]], strips[span[1]]), (bands[band], bands[band + 1]), sums, cells
            )


@njit(nogil=True, cache=True, error_model="numpy")
def score_pairs(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    cache: WindowCache,
    scratch: Scratch,
    scores: NDArray[np.float64],
) -> None:
    """Score all pairs, as many at once as there is scratch memory for.

    Args:
        first, second: (n,) int64, the pairs, as images of `cache`.
        cache: with the windows of their images.
        scratch: memory.
        scores: (3, n) float64, the SSIM, the detail SSIM and the local SSIM; overwritten.
    """
    for begin in range(0, len(first), len(scratch.counts)):
        end = min(begin + len(scratch.counts), len(first))
        score_slots(first[begin:end], second[begin:end], cache, scratch)
        for p in range(begin, end):
            set_scores(cache, scratch, p - begin, scores, p)


@njit(nogil=True, cache=True, error_model="numpy")
def fill_images(images: NDArray[np.int64], cache: WindowCache) -> None:
    """Compute the windows of some images, (n,) int64, of `cache`, where that is not done yet."""
    source, windows, columns = cache.source, cache.windows, cache.columns
    group, position, held = columns.group, columns.position, columns.held
    span = (0, columns.edges[-1])
    for image in images:
        if not cache.is_filled[image]:
            for k in range(len(held)):
                place = (cache.row[image], group[k], position[k])
                fill_column(source, place, windows, image, k, span, held[k])
            cache.is_filled[image] = True


@njit(nogil=True, cache=True, error_model="numpy")
def score_slots(first: NDArray[np.int64], second: NDArray[np.int64], cache: WindowCache, scratch: Scratch) -> None:
    """Fill `scratch` with the sums and the losses of pairs, (n,) int64 each, of images whose windows are computed."""
    windows, columns = cache.windows, cache.columns
    edges, strips, bands, starts, lane = columns.edges, columns.strips, columns.bands, columns.first, columns.lane
    totals, losses, sums, cells, counts = scratch
    totals[:], counts[:] = 0, 0
    for band in range(len(bands) - 1):
        second_channel = starts[band] + (starts[band + 1] - starts[band]) // columns.channels
        for top in range(0, len(strips) - 1, columns.together):
            span = (top, min(top + columns.together, len(strips) - 1))
            cell_rows = (strips[span[0]], strips[span[1]])
            for column in range(starts[band], starts[band + 1]):
                for p in range(len(first)):
                    pair, place, continues = (first[p], second[p]), (p, band, lane[column]), column >= second_channel
                    after = min(p + 1, len(first) - 1)
                    ahead = (first[after], second[after])
                    counts[p] += score_column(
                        windows, pair, column, edges, strips, span, totals, losses, place, continues, ahead
                    )
            for p in range(len(first)):
                collect_losses(losses, p, edges, cell_rows, (bands[band], bands[band + 1]), sums, cells)


@njit(nogil=True, cache=True, error_model="numpy")
def set_scores(cache: WindowCache, scratch: Scratch, pair: int, scores: NDArray[np.float64], target: int) -> None:
    """Set the three scores of `target` to those of a pair in `scratch`; the detail SSIM is NaN where nothing is structured."""
    count = scratch.counts[pair]
    scores[0, target] = sum_matrix(scratch.totals, pair) * cache.weight
    scores[1, target] = 1 - sum_matrix(scratch.cells, pair) / count if count > 0 else np.nan
    scores[2, target] = lowest_square(scratch.cells, pair, cache.columns.edges, cache.columns.channels)


@njit(nogil=True, cache=True, error_model="numpy")
def sum_matrix(matrices: NDArray[np.floating[Any]], index: int) -> float:
    """Return the sum of one of some matrices, in float64, always in the same order, whatever it is compiled into."""
    first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
    values = matrices[index].reshape(-1)
    whole = len(values) // 4 * 4
    for k in range(0, whole, 4):
        first += values[k]
        second += values[k + 1]
        third += values[k + 2]
        fourth += values[k + 3]
    for k in range(whole, len(values)):
        first += values[k]
    return (first + second) + (third + fourth)


@njit(nogil=True, cache=True)
def largest_difference(x: NDArray[np.uint8], y: NDArray[np.uint8]) -> int:
    """Return the largest absolute difference of the pixels of two (groups, size, pixel_width) uint8 thumbnails."""
    largest = np.int32(0)
    for k in range(x.shape[0]):
        for i in range(x.shape[1]):
            for f in range(x.shape[2]):
                largest = max(largest, np.int32(abs(np.int32(x[k, i, f]) - np.int32(y[k, i, f]))))
    return int(largest)
