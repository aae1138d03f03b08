"""From a bound to a score, block by block: for the pairs that no bound could prune.

The features (features.py) bound what each block of windows contributes to the SSIM of a pair, and the sum U of these
bounds is at least the SSIM. It is refined: the bound of one block after the other is replaced by the exact value
(kernels.py), until U is below the floor, or until all blocks are exact and U is the score. The block whose exact value
is likely to lower U most comes first. The bound is loose where both images are structured, so blocks are ordered by the
inner product of the structure of their cells. The order affects only the cost.

`WindowCache` holds the pixels of the images of one tile, unpacked band by band, and their window sums and spreads, all
computed when a pair first needs them. Two
grey images are compared in one channel; their score is the same, because their three channels are equal.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.errors import StoreError
from imagetwins.ssim.features import dot, feature_unit, plan_cells, stored_slack
from imagetwins.ssim.kernels import sum_block
from imagetwins.ssim.local import collect_losses, lowest_square
from imagetwins.ssim.packing import Code, make_code, plan_bands, unpack_band
from imagetwins.ssim.tiles import SQUARE, Pairs
from imagetwins.ssim.windows import HALO, LANES, WINDOW, fill_windows, plan_layout
from imagetwins.ssim.workspace import Workspace

STRIPS_AT_ONCE = 4
"""Strips that are scored in a row where every pair is scored: each but the first continues the column sums above it."""

POOLED = 4
"""Images of which a thread keeps the pixels, as a multiple of those of a tile's part."""

PAIRS_TO_KEEP = 4
"""How many pairs an image must be in, on average, for its window sums to be kept. Measured: 2 is too few, 10 enough."""

UNDECIDED, PRUNED_BY_BLOCKS, IS_SCORED = 0, 1, 2
"""The outcomes of a pair; none is left undecided."""


class PixelPool:
    """Unpacked pixels of the images that a thread used last, in one layout: the next tiles have half of theirs in common.

    Attributes:
        pixels: (slots, groups, size, pixel_width) uint8; the system provides the memory of a band when it is unpacked.
        n_unpacked: (slots, bands) int64, how many rows of each band are in `pixels`.
    """

    def __init__(self, size: int, channels: int, slots: int) -> None:
        layout = plan_layout(size, channels)
        self.pixels = np.empty((slots, layout.n_groups, size, layout.column.shape[1]), np.uint8)
        self.n_unpacked = np.zeros((slots, len(plan_bands(size)) - 1), np.int64)
        self._slot_of: dict[int, int] = {}
        self._row_in: list[int | None] = [None] * slots
        self._next = 0

    def clear(self) -> None:
        """Forget everything: rows may hold other images now."""
        self.n_unpacked[:] = 0
        self._slot_of.clear()
        self._row_in = [None] * len(self._row_in)

    def find_slots(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the slot of each of some workspace rows, no more than there are slots; those that had none are given one."""
        slots = {row: self._slot_of[row] for row in rows.tolist() if row in self._slot_of}
        taken = {*slots.values()}
        for row in rows.tolist():
            if row not in slots:
                slots[row] = self._give_slot(row, taken)
        return np.array([slots[row] for row in rows.tolist()], np.int64)

    def _give_slot(self, row: int, taken: set[int]) -> int:
        """Return a slot that is not `taken`, those that were given the longest ago first."""
        while self._next in taken:
            self._next = (self._next + 1) % len(self._row_in)
        slot, self._next = self._next, (self._next + 1) % len(self._row_in)
        before = self._row_in[slot]
        if before is not None:
            del self._slot_of[before]
        self._row_in[slot], self._slot_of[row] = row, slot
        self.n_unpacked[slot] = 0
        taken.add(slot)
        return slot


class Buffers(NamedTuple):
    """Memory for some images, which a thread uses for one tile after the other.

    Attributes:
        pools: by the number of channels of the layout.
        sums: (images, groups, windows, window_width) int16.
        spreads: the same shape, float32.
    """

    pools: dict[int, PixelPool]
    sums: NDArray[np.int16]
    spreads: NDArray[np.float32]


class PackedImages(NamedTuple):
    """The thumbnails of a workspace, packed, and where their pixels are to be laid out.

    Attributes:
        words: (n_images, words) uint32, the workspace's.
        bands: (bands + 1,) int64, the first row of pixels of each band, and the end.
        code: the tables.
        segments: (n, 5) int64, the layout's.
        is_damaged: (1,) bool, set when one is found that is not whole.
    """

    words: NDArray[np.uint32]
    bands: NDArray[np.int64]
    code: Code
    segments: NDArray[np.int64]
    is_damaged: NDArray[np.bool_]


class WindowCache(NamedTuple):
    """Pixels, window sums and spreads of the images of one tile, in one layout, computed block by block on demand.

    Block b is strip `b // groups` in group `b % groups`.

    Attributes:
        packed: the thumbnails of the workspace.
        row: (n,) int64, the rows of the images in it.
        slot: (n,) int64, where the images are in `pixels`.
        pixels, n_unpacked: of a `PixelPool`.
        is_window: (groups, window_width) bool, the layout's.
        padding: (groups,) int64, the positions in a row that hold no window.
        strips: (strips + 1,) int64, the first row of windows of each strip, and the end.
        cell_rows: (windows,) int64, the row of cells that each row of windows belongs to.
        groups: (groups + 1,) int64, the first column of cells of each group, and the end.
        edges: (cells + 1,) int64, the row or column of windows at which each cell begins, and the end.
        first: (cells, channels) int64, the position in its group at which each column of cells begins in each channel.
        sums: (n or more, groups, windows, window_width) int16.
        spreads: the same shape, float32.
        is_filled: (n, blocks) bool, which blocks are computed; (0, blocks) where nothing is kept, and `sums` and
            `spreads` hold two images only, whose blocks are computed for each pair anew.
        weight: 1 / (number of windows and channels).
    """

    packed: PackedImages
    row: NDArray[np.int64]
    slot: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    n_unpacked: NDArray[np.int64]
    is_window: NDArray[np.bool_]
    padding: NDArray[np.int64]
    strips: NDArray[np.int64]
    cell_rows: NDArray[np.int64]
    groups: NDArray[np.int64]
    edges: NDArray[np.int64]
    first: NDArray[np.int64]
    sums: NDArray[np.int16]
    spreads: NDArray[np.float32]
    is_filled: NDArray[np.bool_]
    weight: float


class Scratch(NamedTuple):
    """Memory for one pair after the other.

    Attributes:
        channels: (3, rows, size) uint8, for one band.
        columns: (2, pixel_width) int32, see `sum_block`.
        losses: (groups, cells, window_width) float32, see `sum_block`.
    """

    channels: NDArray[np.uint8]

    columns: NDArray[np.int32]
    losses: NDArray[np.float32]


class BlockBounds(NamedTuple):
    """What bounds the blocks of all images of a workspace, and the floor.

    Attributes:
        features: (n_images, length) int16, the workspace's.
        unit: of the products of two features.
        structure: (n_images, cells * cells) uint8, the workspace's.
        edges: (blocks + 1,) int64, the first cell of each block, and the end.
        floor: pairs proven to be below it are dropped.
        slack: how far the sum of a pair's computed block bounds and values may be below the true bound.
    """

    features: NDArray[np.int16]
    unit: float
    structure: NDArray[np.uint8]
    edges: NDArray[np.int64]
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


def allocate_buffers(size: int, images: int) -> Buffers:
    """Return memory for the windows of `images` images, in either layout; the system provides it when it is written."""
    layout = plan_layout(size, 3)
    shape = (images, layout.n_groups, layout.windows, layout.is_window.shape[1])
    pools = {channels: PixelPool(size, channels, POOLED * images) for channels in (1, 3)}
    return Buffers(pools, np.empty(shape, np.int16), np.empty(shape, np.float32))


def make_window_cache(
    workspace: Workspace, rows: NDArray[np.int64], channels: int, buffers: Buffers, *, is_kept: bool
) -> WindowCache:
    """Return an empty cache for the images of the workspace rows `rows`, (n,) int64; it overwrites `buffers`."""
    layout, strips = plan_layout(workspace.size, channels), plan_cells(workspace.size).strips
    shape = (len(rows) if is_kept else 2, layout.n_groups, layout.windows, layout.is_window.shape[1])
    pool = buffers.pools[channels]
    blocks, bands = (len(strips) - 1) * layout.n_groups, plan_bands(workspace.size)
    return WindowCache(
        packed=PackedImages(workspace.packed, bands, make_code(), layout.segments, np.zeros(1, np.bool_)),
        row=rows,
        slot=pool.find_slots(rows),
        pixels=pool.pixels,
        n_unpacked=pool.n_unpacked,
        is_window=layout.is_window,
        padding=(~layout.is_window).sum(1),
        strips=strips,
        cell_rows=np.repeat(np.arange(layout.cells), np.diff(layout.edges)),
        groups=layout.groups,
        edges=layout.edges,
        first=np.array([[layout.position(c, cell) for c in range(channels)] for cell in range(layout.cells)]),
        sums=buffers.sums.reshape(-1)[: np.prod(shape)].reshape(shape),
        spreads=buffers.spreads.reshape(-1)[: np.prod(shape)].reshape(shape),
        is_filled=np.zeros((len(rows) if is_kept else 0, blocks), np.bool_),
        weight=1 / (channels * layout.windows**2),
    )


def score_slack(width: int) -> float:
    """Return how far the computed mean SSIM of a block, or a score, may be off, for rows of `width` positions.

    Each window has some 12 roundings in float32, and in each of LANES partial sums a row adds `width / LANES` windows.
    """
    return float((width // LANES + 12) * 2.0**-23)


def make_block_bounds(workspace: Workspace, floor: float) -> BlockBounds:
    """Return the bounds of the blocks of all images of a workspace, which must keep those of `CellBound`."""
    slack = stored_slack(workspace.size) + score_slack(plan_layout(workspace.size, 3).is_window.shape[1])
    features, blocks = workspace.arrays["features"], plan_cells(workspace.size).blocks
    unit = feature_unit(features.shape[1]) ** 2
    return BlockBounds(features, unit, workspace.arrays["structure"], blocks, floor, slack)


def score_or_prune(
    workspace: Workspace, rows: Pairs, part: NDArray[np.int64], buffers: Buffers, floor: float | None
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

    Raises:
        StoreError: the pixels of an image are damaged.
    """
    n = len(part)
    scores = Scores(np.full(n, UNDECIDED, np.uint8), np.empty(n), np.empty(n), np.empty(n))
    bounds = None if floor is None else make_block_bounds(workspace, floor)
    for indices, channels in _iter_parts(workspace, rows, part):
        images, position = np.unique([side[indices] for side in rows], return_inverse=True)
        a, b = position.reshape(2, -1)
        # Where an image is in few pairs, each of its blocks is needed at most once, and keeping them costs more than it
        # saves.
        is_kept = 2 * len(indices) >= PAIRS_TO_KEEP * len(images)
        cache = make_window_cache(workspace, images, channels, buffers, is_kept=is_kept)
        found = Scores(scores.outcome[indices], scores.score[indices], scores.detail[indices], scores.local[indices])
        if bounds is None:
            score_pairs(a, b, cache, found)
        else:
            refine_pairs(a, b, cache, bounds, found)
        if cache.packed.is_damaged[0]:
            raise StoreError("pixels of the cache are damaged: remove the cache, and run again")
        scores.outcome[indices], scores.score[indices], scores.detail[indices], scores.local[indices] = found
    return scores


def _iter_parts(workspace: Workspace, rows: Pairs, part: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield the indices of the pairs of each part, two grey images apart from others, and the channels to compare."""
    is_grey = workspace.grey[rows[0]] & workspace.grey[rows[1]]
    key = part * 2 + is_grey
    for value in np.unique(key):
        yield np.flatnonzero(key == value), 1 if value % 2 else 3


@njit(nogil=True, cache=True, error_model="numpy")
def unpack_rows(cache: WindowCache, image: int, start: int, stop: int, channels: NDArray[np.uint8]) -> None:
    """Have the pixel rows `start`, at which a band begins, to `stop` of `image` in `cache.pixels`.

    `channels`, (3, rows, size) uint8 with as many rows as a band has at most, is overwritten.
    """
    packed, slot = cache.packed, cache.slot[image]
    for band in range(np.searchsorted(packed.bands, start), len(packed.bands) - 1):
        top, height = packed.bands[band], packed.bands[band + 1] - packed.bands[band]
        if top >= stop:
            break
        rows = min(height, stop - top)
        if cache.n_unpacked[slot, band] >= rows:
            continue
        words = packed.words[cache.row[image]]
        is_whole = words[0] > 0 and unpack_band(words, band, rows, packed.code, channels, 0)
        # A band ends in a state that is known, but not its first rows.
        packed.is_damaged[0] |= not is_whole and (rows == height or words[0] == 0)
        for k in range(len(packed.segments)):
            group, position, channel, first, last = packed.segments[k]
            for i in range(rows):
                line = cache.pixels[slot, group, top + i]
                line[position : position + last - first] = channels[channel, i, first:last]
        cache.n_unpacked[slot, band] = rows


@njit(nogil=True, cache=True, error_model="numpy")
def fill_block(cache: WindowCache, image: int, block: int, spare: int, channels: NDArray[np.uint8]) -> int:
    """Compute the pixels, unless they are there already, and the sums and spreads of one block of `image`, unless they are kept already.

    `channels` is scratch, see `unpack_rows`.

    Returns:
        Where they are in `cache.sums` and `cache.spreads`: at `image` where they are kept, else at `spare`.
    """
    slot = spare
    if len(cache.is_filled) > 0:
        if cache.is_filled[image, block]:
            return image
        cache.is_filled[image, block] = True
        slot = image
    strip, group = divmod(block, len(cache.is_window))
    start, stop = cache.strips[strip], cache.strips[strip + 1]
    # A block that continues this one needs the row below it, too, when this one is scored.
    unpack_rows(cache, image, start, stop + WINDOW, channels)
    pixels = cache.pixels[cache.slot[image], group, start : stop + HALO]
    sums, spreads = cache.sums[slot, group, start:stop], cache.spreads[slot, group, start:stop]
    fill_windows(pixels, cache.is_window[group], sums, spreads)
    return slot


@njit(nogil=True, cache=True)
def allocate_scratch(cache: WindowCache) -> Scratch:
    """Return memory for the pairs of a cache."""
    groups, width = cache.is_window.shape
    columns = np.empty((2, cache.pixels.shape[3]), np.int32)
    channels = np.empty((3, np.diff(cache.packed.bands).max(), cache.pixels.shape[2]), np.uint8)
    return Scratch(channels, columns, np.empty((groups, len(cache.first), width), np.float32))


@njit(nogil=True, cache=True, error_model="numpy")
def score_block(
    cache: WindowCache, i: int, j: int, block: int, continues: bool, scratch: Scratch
) -> tuple[float, float]:
    """Return the sums of `sum_block` for one block of the images i and j, of its windows only.

    `continues` says whether the call before was for the same images and the block above this one. The losses of the
    block's cells in `scratch` are overwritten.
    """
    a, b = fill_block(cache, i, block, 0, scratch.channels), fill_block(cache, j, block, 1, scratch.channels)
    strip, group = divmod(block, len(cache.is_window))
    images, rows = (cache.slot[i], cache.slot[j]), (cache.strips[strip], cache.strips[strip + 1])
    for row in range(cache.cell_rows[rows[0]], cache.cell_rows[rows[1] - 1] + 1):
        for f in range(scratch.losses.shape[2]):
            scratch.losses[group, row, f] = 0
    ssim, count = sum_block(
        cache.pixels,
        cache.sums,
        cache.spreads,
        group,
        images,
        (a, b),
        rows,
        continues,
        scratch.columns,
        cache.cell_rows,
        scratch.losses,
    )
    return ssim, count - (rows[1] - rows[0]) * cache.padding[group]


@njit(nogil=True, cache=True)
def collect_block(cache: WindowCache, block: int, scratch: Scratch, cells: NDArray[np.float64]) -> None:
    """Set the losses of the cells of a block, in `cells`, (cells, cells), to what `score_block` left in `scratch`."""
    strip, group = divmod(block, len(cache.is_window))
    left, right = cache.groups[group], cache.groups[group + 1]
    for row in range(cache.cell_rows[cache.strips[strip]], cache.cell_rows[cache.strips[strip + 1] - 1] + 1):
        losses = scratch.losses[group, row]
        collect_losses(losses, cache.first[left:right], cache.edges[left : right + 1], cells[row, left:right])


@njit(nogil=True, cache=True, error_model="numpy")
def bound_blocks(bounds: BlockBounds, a: int, b: int, upper: NDArray[np.float64], gain: NDArray[np.float64]) -> None:
    """Bound each block of the workspace rows a and b.

    Args:
        bounds: of the workspace.
        a, b: the rows.
        upper: (blocks,) float64, the bounds; overwritten.
        gain: (blocks,) float64, by how much the exact value may lower them, up to a common factor; overwritten.
    """
    features_x, features_y = bounds.features[a], bounds.features[b]
    structure_x, structure_y = bounds.structure[a], bounds.structure[b]
    length = len(features_x) // len(structure_x)
    for k in range(len(upper)):
        start, stop = bounds.edges[k], bounds.edges[k + 1]
        product = dot(features_x[start * length : stop * length], features_y[start * length : stop * length])
        upper[k] = product * bounds.unit
        gain[k] = dot(structure_x[start:stop], structure_y[start:stop])


@njit(nogil=True, cache=True, error_model="numpy")
def refine_pairs(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    cache: WindowCache,
    bounds: BlockBounds,
    scores: Scores,
) -> None:
    """Refine the bounds of pairs until they are below the floor, or exact.

    Args:
        first, second: (n,) int64, the pairs, as images of `cache`.
        cache: of their images.
        bounds: of the workspace.
        scores: overwritten.
    """
    blocks, n_cells = cache.is_filled.shape[1], len(cache.first)
    upper, gain, sums = np.empty(blocks), np.empty(blocks), np.empty((blocks, 2))
    cells, scratch = np.empty((n_cells, n_cells)), allocate_scratch(cache)
    for p in range(len(first)):
        i, j = first[p], second[p]
        scores.outcome[p] = IS_SCORED
        bound_blocks(bounds, cache.row[i], cache.row[j], upper, gain)
        remaining = upper.sum() + bounds.slack
        for _ in range(blocks):
            k = int(np.argmax(gain))
            gain[k] = -1.0
            sums[k, 0], sums[k, 1] = score_block(cache, i, j, k, False, scratch)
            remaining += sums[k, 0] * cache.weight - upper[k]
            if remaining < bounds.floor:
                scores.outcome[p] = PRUNED_BY_BLOCKS
                break
        if scores.outcome[p] == IS_SCORED:
            for k in range(blocks):
                collect_block(cache, k, scratch, cells)
            set_scores(scores, p, sums, cells, cache)


@njit(nogil=True, cache=True, error_model="numpy")
def set_scores(
    scores: Scores, p: int, sums: NDArray[np.float64], cells: NDArray[np.float64], cache: WindowCache
) -> None:
    """Set the three scores of the pair number `p`; the detail SSIM is NaN where no window is structured.

    `sums` is (blocks, 2) float64, see `score_block`, and `cells` (cells, cells) float64, see `collect_block`.
    """
    count = sums[:, 1].sum()
    scores.score[p] = sums[:, 0].sum() * cache.weight
    scores.detail[p] = 1 - cells.sum() / count if count > 0 else np.nan
    scores.local[p] = lowest_square(cells, cache.edges, cache.first.shape[1])


@njit(nogil=True, cache=True, error_model="numpy")
def score_pairs(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    cache: WindowCache,
    scores: Scores,
) -> None:
    """Score all pairs. The scores are the same as those of `refine_pairs`, to the bit.

    SQUARE * SQUARE pairs go through the same blocks together, which stay in the core's cache if neighbouring pairs
    share images.

    Args:
        first, second: (n,) int64, the pairs, as images of `cache`.
        cache: of their images.
        scores: overwritten.
    """
    blocks, groups, n_cells = cache.is_filled.shape[1], len(cache.is_window), len(cache.first)
    scratch = allocate_scratch(cache)
    sums, cells = np.empty((SQUARE * SQUARE, blocks, 2)), np.empty((SQUARE * SQUARE, n_cells, n_cells))
    together = STRIPS_AT_ONCE * groups
    for begin in range(0, len(first), SQUARE * SQUARE):
        end = min(begin + SQUARE * SQUARE, len(first))
        for top in range(0, blocks, together):
            for group in range(groups):
                for p in range(begin, end):
                    for k in range(top + group, min(top + together, blocks), groups):
                        found = score_block(cache, first[p], second[p], k, k >= top + groups, scratch)
                        sums[p - begin, k, 0], sums[p - begin, k, 1] = found
                        collect_block(cache, k, scratch, cells[p - begin])
        for p in range(begin, end):
            set_scores(scores, p, sums[p - begin], cells[p - begin], cache)
            scores.outcome[p] = IS_SCORED
