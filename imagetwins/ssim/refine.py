"""From a bound to a score, block by block: the pairs that the matrix product could not decide.

For a pair, the features (features.py) bound the SSIM of each block of windows. Their sum U >= SSIM is refined: one block
at a time, its bound is replaced by its exact value (kernels.py), until U is below the floor, or all blocks are exact and
U is the score. The block that is likely to lower U most comes first: where both images have structure their bound is
blind, so blocks are ordered by the inner product of the structure of their cells. The order decides only the cost.

`Prepared` holds the window sums and spreads of the images of one tile, filled when a pair first needs them. Two grey
images are compared in one channel; their score is the same, because their three channels are.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.features import bound_slack, dot, plan_cells
from imagetwins.ssim.kernels import sum_block
from imagetwins.ssim.windows import LANES, fill_windows, plan_layout
from imagetwins.ssim.workspace import Workspace

SQUARE = 8
"""Images along each side of a square of pairs that are scored together: their blocks fit into a core's cache."""

STRIPS_AT_ONCE = 4
"""Strips that are scored in a row where every pair is scored anyway: only the first has no row before it."""

PRUNED_BY_BLOCKS, SCORED = 0, 1

Buffers = tuple[NDArray[np.int16], NDArray[np.float32]]
"""Memory for the sums and the spreads of a `Prepared`, which one batch uses again and again."""


class Prepared(NamedTuple):
    """Window sums and spreads of the images of one tile, in one layout, filled block by block on demand.

    Block b is strip `b // groups` of group `b % groups`.

    Attributes:
        pixels: (n_images, groups, size, pixel_width) uint8, the workspace's.
        row: (n,) int64, the images' rows in `pixels`.
        is_window: (groups, window_width) bool.
        padding: (groups,) int64, the positions in a row that hold no window.
        strips: (strips + 1,) int64, the first row of windows of each strip, and the end.
        sums: (n or more, groups, windows, window_width) int16.
        spreads: (n or more, groups, windows, window_width) float32.
        is_filled: (n, blocks) bool; (0, blocks) where nothing is kept, and each block of a pair is computed anew.
        weight: 1 / (number of windows and channels).
    """

    pixels: NDArray[np.uint8]
    row: NDArray[np.int64]
    is_window: NDArray[np.bool_]
    padding: NDArray[np.int64]
    strips: NDArray[np.int64]
    sums: NDArray[np.int16]
    spreads: NDArray[np.float32]
    is_filled: NDArray[np.bool_]
    weight: float


class Bounds(NamedTuple):
    """What bounds the blocks of some images, and the floor.

    Attributes:
        features: (n_images, dimensions) float32, the workspace's.
        structure: (n_images, cells * cells) float32, the workspace's.
        edges: (blocks + 1,) int64, first cell of each block, and the end.
        floor: pairs proven below this are dropped.
        slack: what the sum of a pair's block bounds may lie below the true bound.
    """

    features: NDArray[np.float32]
    structure: NDArray[np.float32]
    edges: NDArray[np.int64]
    floor: float
    slack: float


def open_buffers(size: int, images: int) -> Buffers:
    """Return room for the windows of `images` images, in either layout; memory is taken when it is first written."""
    layout = plan_layout(size, 3)
    shape = (images, layout.n_groups, layout.windows, layout.is_window.shape[1])
    return np.empty(shape, np.int16), np.empty(shape, np.float32)


def open_prepared(
    workspace: Workspace, rows: NDArray[np.int64], channels: int, buffers: Buffers, *, is_kept: bool
) -> Prepared:
    """Return an empty `Prepared` of the images `rows`, which overwrites `buffers`."""
    layout, strips = plan_layout(workspace.size, channels), plan_cells(workspace.size).strips
    shape = (len(rows) if is_kept else 2, layout.n_groups, layout.windows, layout.is_window.shape[1])
    blocks = (len(strips) - 1) * layout.n_groups
    return Prepared(
        pixels=workspace.pixels if channels == 3 else workspace.grey_pixels,
        row=rows,
        is_window=layout.is_window,
        padding=(~layout.is_window).sum(1),
        strips=strips,
        sums=buffers[0].reshape(-1)[: np.prod(shape)].reshape(shape),
        spreads=buffers[1].reshape(-1)[: np.prod(shape)].reshape(shape),
        is_filled=np.zeros((len(rows) if is_kept else 0, blocks), np.bool_),
        weight=1 / (channels * layout.windows**2),
    )


def exact_slack(width: int) -> float:
    """Return what the score of a block may be off: each window's by some 12 roundings in float32, and as many more as one of
    LANES of its row of `width` positions has windows, when they are added up.
    """
    return float((width // LANES + 12) * 2.0**-23)


def open_bounds(workspace: Workspace, floor: float) -> Bounds:
    """Return the bounds of all images of a workspace."""
    slack = bound_slack(workspace.size) + exact_slack(plan_layout(workspace.size, 3).is_window.shape[1])
    return Bounds(workspace.features, workspace.structure, plan_cells(workspace.size).blocks, floor, slack)


@njit(nogil=True, cache=True, error_model="numpy")
def fill_block(prepared: Prepared, image: int, block: int, spare: int) -> int:
    """Compute the sums and spreads of one block of `image` unless they are kept; return their place, else `spare`."""
    place = spare
    if len(prepared.is_filled) > 0:
        if prepared.is_filled[image, block]:
            return image
        prepared.is_filled[image, block] = True
        place = image
    strip, group = divmod(block, len(prepared.is_window))
    start, stop = prepared.strips[strip], prepared.strips[strip + 1]
    pixels = prepared.pixels[prepared.row[image], group, start : stop + 6]
    sums, spreads = prepared.sums[place, group, start:stop], prepared.spreads[place, group, start:stop]
    fill_windows(pixels, prepared.is_window[group], sums, spreads)
    return place


@njit(nogil=True, cache=True, error_model="numpy")
def score_block(
    prepared: Prepared, i: int, j: int, block: int, follows: bool, down: NDArray[np.int32]
) -> tuple[float, float, float]:
    """Return the sums of `sum_block` for one block of images i and j, of the windows only.

    `follows` if the call before was for the block above it.
    """
    a, b = fill_block(prepared, i, block, 0), fill_block(prepared, j, block, 1)
    strip, group = divmod(block, len(prepared.is_window))
    images, rows = (prepared.row[i], prepared.row[j]), (prepared.strips[strip], prepared.strips[strip + 1])
    ssim, detail, count = sum_block(
        prepared.pixels, prepared.sums, prepared.spreads, group, images, (a, b), rows, follows, down
    )
    return ssim, detail, count - (rows[1] - rows[0]) * prepared.padding[group]


@njit(nogil=True, cache=True, error_model="numpy")
def bound_blocks(bounds: Bounds, a: int, b: int, upper: NDArray[np.float64], gain: NDArray[np.float64]) -> None:
    """Fill `upper` with the bound of each block of rows a and b, and `gain` with how much its exact value may lower it."""
    features_x, features_y = bounds.features[a], bounds.features[b]
    structure_x, structure_y = bounds.structure[a], bounds.structure[b]
    depth = len(features_x) // len(structure_x)
    for k in range(len(upper)):
        start, stop = bounds.edges[k], bounds.edges[k + 1]
        upper[k] = dot(features_x[start * depth : stop * depth], features_y[start * depth : stop * depth])
        gain[k] = dot(structure_x[start:stop], structure_y[start:stop])


@njit(nogil=True, cache=True, error_model="numpy")
def reach_floor(
    first: NDArray[np.int64], second: NDArray[np.int64], vectors: NDArray[np.float32], floor: float
) -> NDArray[np.bool_]:
    """Return which pairs of rows of `vectors` have an inner product of at least `floor`."""
    reached = np.empty(len(first), np.bool_)
    for p in range(len(first)):
        reached[p] = dot(vectors[first[p]], vectors[second[p]]) >= floor
    return reached


@njit(nogil=True, cache=True, error_model="numpy")
def refine_pairs(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    prepared: Prepared,
    bounds: Bounds,
    outcome: NDArray[np.uint8],
    score: NDArray[np.float64],
    detail: NDArray[np.float64],
) -> None:
    """Fill `outcome` (PRUNED_BY_BLOCKS or SCORED) of pairs of positions in `prepared`.

    Where a pair is scored, fill `score` and `detail` (NaN where there is no structure) too.
    """
    blocks = prepared.is_filled.shape[1]
    upper, gain, sums = np.empty(blocks), np.empty(blocks), np.empty((blocks, 3))
    down = np.empty((2, prepared.pixels.shape[3]), np.int32)
    for p in range(len(first)):
        i, j = first[p], second[p]
        outcome[p] = SCORED
        bound_blocks(bounds, prepared.row[i], prepared.row[j], upper, gain)
        remaining = upper.sum() + bounds.slack
        for _ in range(blocks):
            k = int(np.argmax(gain))
            gain[k] = -1.0
            sums[k, 0], sums[k, 1], sums[k, 2] = score_block(prepared, i, j, k, False, down)
            remaining += sums[k, 0] * prepared.weight - upper[k]
            if remaining < bounds.floor:
                outcome[p] = PRUNED_BY_BLOCKS
                break
        if outcome[p] == SCORED:
            score[p], detail[p] = mean_score(sums, prepared.weight)


@njit(nogil=True, cache=True, error_model="numpy")
def mean_score(sums: NDArray[np.float64], weight: float) -> tuple[float, float]:
    """Return the score and the detail score, NaN where there is no structure, from the sums of all blocks, (blocks, 3)."""
    count = sums[:, 2].sum()
    return sums[:, 0].sum() * weight, sums[:, 1].sum() / count if count > 0 else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def score_pairs(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    prepared: Prepared,
    score: NDArray[np.float64],
    detail: NDArray[np.float64],
) -> None:
    """Fill `score` and `detail` (NaN where there is no structure) of all pairs of positions in `prepared`.

    The sums are the same as in `refine_pairs`, to the bit. Neighbouring pairs should share images: SQUARE * SQUARE pairs go
    through the same blocks together, which keeps these in the cache.
    """
    blocks, groups = prepared.is_filled.shape[1], len(prepared.is_window)
    down = np.empty((2, prepared.pixels.shape[3]), np.int32)
    sums = np.empty((SQUARE * SQUARE, blocks, 3))
    together = STRIPS_AT_ONCE * groups
    for begin in range(0, len(first), SQUARE * SQUARE):
        end = min(begin + SQUARE * SQUARE, len(first))
        for top in range(0, blocks, together):
            for group in range(groups):
                for p in range(begin, end):
                    for k in range(top + group, min(top + together, blocks), groups):
                        some = score_block(prepared, first[p], second[p], k, k >= top + groups, down)
                        sums[p - begin, k, 0], sums[p - begin, k, 1], sums[p - begin, k, 2] = some
        for p in range(begin, end):
            score[p], detail[p] = mean_score(sums[p - begin], prepared.weight)


@njit(nogil=True, cache=True)
def largest_difference(x: NDArray[np.uint8], y: NDArray[np.uint8]) -> int:
    """Return the largest absolute difference of two pixels of (groups, size, pixel_width) thumbnails."""
    largest = np.int32(0)
    for k in range(x.shape[0]):
        for i in range(x.shape[1]):
            for f in range(x.shape[2]):
                largest = max(largest, np.int32(abs(np.int32(x[k, i, f]) - np.int32(y[k, i, f]))))
    return int(largest)
