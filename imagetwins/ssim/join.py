"""The join: a plan of tiles over the distinct thumbnails, and the batches of tiles, each on its own.

Identical thumbnails have identical rows of scores, so they collapse to one representative before the join, and each
result is expanded to all pairs of the two groups. A tile is a rectangle of the pair matrix of the representatives; its
pairs pass through the stages, each of which proves some of them below the floor:

    one matrix product of short projections, and the
    inner products of whole ones (bounds.py)                  ->  "projection"
    the inner products of the features (features.py)          ->  "cells"
    blocks replaced by their exact values (refine.py)         ->  "blocks"
    the exact score                                           ->  "scored"

Pairs of images that are known already, from a join before this one, are left out. What is left at or above the floor is stored. A score within VERIFY_MARGIN of the threshold or of the floor is replaced by
scikit-image's own before it is compared. Scores do not depend on the tiling: a pair's blocks are always the same.
"""

import itertools
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagetwins.errors import ParameterError
from imagetwins.ssim.bounds import choose_shortest, shorten
from imagetwins.ssim.features import bound_slack
from imagetwins.ssim.reference import reference_ssim
from imagetwins.ssim.refine import (
    PRUNED_BY_BLOCKS,
    SCORED,
    SQUARE,
    Buffers,
    largest_difference,
    open_bounds,
    open_buffers,
    open_prepared,
    reach_floor,
    refine_pairs,
    score_pairs,
)
from imagetwins.ssim.windows import restore_thumbnail
from imagetwins.ssim.workspace import Workspace, keep_blas_single_threaded, open_workspace

VERIFY_MARGIN = 1e-4
"""Scores this close to the threshold or to the floor are replaced by scikit-image's own."""

TILE = 256
"""Representatives along one side of a tile, at 200 pixels; fewer where thumbnails are larger, so that memory is not."""

IDENTICAL_PAIRS = 1_000_000
"""Pairs of identical thumbnails that one tile holds, which bounds the memory of a batch."""

TILES_ALONG = 4
"""Tiles along one side of the pair matrix, at least, but none smaller than 16."""

PAIRS_TO_KEEP = 4
"""In how many pairs an image must be, on average, for its windows' sums to be kept. Measured: 2 is too few, 10 is enough."""

SAMPLED_PAIRS, MIN_SHARE = 500, 0.02
"""How many pairs the bounds are tried on, and the share of them that a stage must be able to prove."""

STAGES = ("short", "projection", "cells")
"""The stages of bounds, each shorter and weaker than the next; which of them are used is chosen for each join."""

DENSE = 0.1
"""From this share of a tile's pairs on, one matrix product of all is faster than the inner products of some. Measured."""

SAMPLED_IMAGES, ROWS_AT_ONCE = 256, 1024
"""How many projections tell which of their coordinates matter, and how many are shortened at once."""

COUNTS = ("pairs", "known", "identical", "projection", "cells", "blocks", "scored", "stored", "verified")
"""pairs = known + identical + projection + cells + blocks + scored; `stored` and `verified` are parts of these."""


Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The first and the second representatives of some pairs."""


class Tile(NamedTuple):
    """Pairs of representatives `row_start ... row_stop` with `column_start ... column_stop`, each pair once.

    Where `kind` is "identical": the pairs, within their groups, that begin with members `row_start ... row_stop`.
    """

    kind: str
    row_start: int
    row_stop: int
    column_start: int
    column_stop: int


@dataclass(frozen=True)
class JoinPlan:
    """What there is to join, and the batches that do it.

    Attributes:
        n_images, n_decoded, n_distinct: images, those that take part, their distinct thumbnails.
        n_pairs: all pairs of images that take part, the known ones too.
        batches: tiles; every pair is in one tile.
        stages: whether each stage of bounds is worth its cost on these images at this floor.
    """

    n_images: int
    n_decoded: int
    n_distinct: int
    n_pairs: int
    batches: list[list[Tile]]
    stages: dict[str, bool]


@dataclass(frozen=True)
class JoinResult:
    """The stored pairs of one batch, sorted, and how many pairs each stage took.

    Attributes:
        image1, image2: (m,) int32 row ids, image1 < image2.
        ssim: (m,) float64.
        detail_ssim: (m,) float64, NaN where no window of either image has structure.
        max_difference: (m,) uint8, only meaningful where `detail_ssim` is NaN.
        verified: (m,) bool, `ssim` is scikit-image's own number.
        counts: pairs by stage, see COUNTS; to be summed over batches.
    """

    image1: NDArray[np.int32]
    image2: NDArray[np.int32]
    ssim: NDArray[np.float64]
    detail_ssim: NDArray[np.float64]
    max_difference: NDArray[np.uint8]
    verified: NDArray[np.bool_]
    counts: dict[str, int]


class Groups(NamedTuple):
    """The images that take part, in order of their groups of identical thumbnails.

    Group g is `members[offsets[g]:offsets[g + 1]]`, and its first member stands for it. The first `settled` groups have
    known images only.

    Attributes:
        members: (n,) int32, images.
        offsets: (groups + 1,) int64.
        rows: (groups,) int64, the row of each group's first member in the workspace.
        is_known: (n_images,) bool, by image.
        settled: number of groups.
    """

    members: NDArray[np.int32]
    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    is_known: NDArray[np.bool_]
    settled: int

    def sizes(self) -> NDArray[np.int64]:
        """Return how many members each group has."""
        return np.diff(self.offsets)

    def known_sizes(self) -> NDArray[np.int64]:
        """Return how many members of each group are known."""
        before = np.concatenate([[0], np.cumsum(self.is_known[self.members])])
        known: NDArray[np.int64] = np.diff(before[self.offsets])
        return known


def plan_join(
    directory: Path,
    plan_directory: Path,
    rows: NDArray[np.int64],
    *,
    threshold: float,
    floor: float,
    known: NDArray[np.bool_] | None = None,
    max_batches: int = 200,
) -> JoinPlan:
    """Collapse identical thumbnails, choose the stages, and cut the pairs into at most `max_batches` batches.

    Args:
        directory: the workspace.
        plan_directory: where the plan is written, for `join_batch`: 4 kB for each distinct thumbnail.
        rows: (n,) integers, the row in the workspace of each image, -1 of one that takes no part.
        threshold: scores near it are verified.
        floor: pairs below it are proven, and not stored.
        known: (n,) the images whose pairs with each other are not wanted.
        max_batches: limit on the number of batches.

    Raises:
        ParameterError: the floor is above the threshold.
        StoreError: `directory` holds no workspace.
    """
    if floor > threshold:
        raise ParameterError(f"floor {floor} is above the threshold {threshold}: give a floor at or below it")
    workspace = open_workspace(directory)
    is_known = np.zeros(len(rows), np.bool_) if known is None else known
    groups = _plan_groups(workspace, rows, is_known)
    plan_directory.mkdir(parents=True, exist_ok=True)
    stages = _plan_stages(workspace, groups.rows, floor)
    if stages["short"]:
        _write_short(workspace, groups.rows, plan_directory / "short.npy")
    np.savez(plan_directory / "groups.npz", **groups._asdict())
    settings = {
        "workspace": str(directory.absolute()),
        "threshold": threshold,
        "floor": floor,
        "stages": stages,
        "size": workspace.size,
    }
    (plan_directory / "plan.json").write_text(json.dumps(settings), encoding="utf-8")
    # Small folders have small tiles, so that there is one for every core.
    side = min(_tile_side(workspace.size), max(16, -(-len(groups.rows) // TILES_ALONG)))
    batches = _plan_batches(groups, side, max_batches)
    n = len(groups.members)
    return JoinPlan(len(rows), n, len(groups.rows), n * (n - 1) // 2, batches, stages)


def _plan_groups(workspace: Workspace, rows: NDArray[np.int64], is_known: NDArray[np.bool_]) -> Groups:
    images = np.flatnonzero(rows >= 0)
    _, first, group = np.unique(workspace.digests[rows[images]], axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    is_new = np.bincount(group, weights=~is_known[images], minlength=len(first)) > 0
    # Settled groups first; then in the order of their first images, whatever their digests.
    rank = np.empty(len(first), np.int64)
    rank[np.lexsort((first, is_new))] = np.arange(len(first))
    group = rank[group]
    members = images[np.argsort(group, kind="stable")].astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(first)))]).astype(np.int64)
    # The kernels take 64-bit rows; callers' tables may hold 32-bit ones.
    places = rows[members[offsets[:-1]]].astype(np.int64)
    return Groups(members, offsets, places, is_known, int((~is_new).sum()))


def _plan_stages(workspace: Workspace, rows: NDArray[np.int64], floor: float) -> dict[str, bool]:
    """Try the bounds on a sample of pairs: a stage that proves next to none of them costs more than it saves."""
    if len(rows) < 2 or floor <= -1:
        return dict.fromkeys(STAGES, False)
    first, second = np.random.default_rng(0).integers(0, len(rows), (2, SAMPLED_PAIRS))
    pairs = [(rows[a], rows[b]) for a, b in zip(first, second, strict=True) if a != b]
    projection, features = workspace.projection, workspace.features
    bounds = {
        name: np.array([vectors[a] @ vectors[b] for a, b in pairs])
        for name, vectors in (("projection", projection), ("cells", features))
    }
    stages = {name: bool((bound < floor).mean() > MIN_SHARE) for name, bound in bounds.items()}
    # A short projection proves less than a whole one, but costs next to nothing. Blocks can lower a bound to the score
    # itself, so the cells are worth it unless all is far above the floor.
    cells = bool((bounds["cells"] < floor + 0.25).mean() > MIN_SHARE)
    return stages | {"short": stages["projection"], "cells": cells}


def _write_short(workspace: Workspace, rows: NDArray[np.int64], target: Path) -> None:
    """Write the shortened projection of each of `rows`, on the coordinates that are the longest in some of them."""
    some = np.linspace(0, len(rows) - 1, min(SAMPLED_IMAGES, len(rows))).astype(np.int64)
    chosen = choose_shortest(workspace.projection[rows[some]])
    short = np.lib.format.open_memmap(target, "w+", np.float32, (len(rows), len(chosen) + 1))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        stop = start + ROWS_AT_ONCE
        shorten(workspace.projection, rows[start:stop], chosen, short[start:stop])
    short.flush()


def _tile_side(size: int) -> int:
    return max(16, TILE * 200**2 // max(size, 200) ** 2)


def _plan_batches(groups: Groups, side: int, max_batches: int) -> list[list[Tile]]:
    n_distinct, settled = len(groups.rows), groups.settled
    spans = list(itertools.pairwise([*range(0, settled, side), *range(settled, n_distinct, side), n_distinct]))
    tiles = [Tile("pairs", *row, *column) for i, row in enumerate(spans) for column in spans[i:] if column[1] > settled]
    stop = np.repeat(groups.offsets[1:], groups.sizes())
    following = stop - 1 - np.arange(len(stop))
    if following.any():
        begun = np.cumsum(following) // IDENTICAL_PAIRS
        cuts = [0, *(np.flatnonzero(np.diff(begun)) + 1).tolist(), len(stop)]
        tiles += [Tile("identical", start, end, 0, 0) for start, end in itertools.pairwise(cuts)]
    if settled:
        tiles.append(Tile("settled", 0, settled, 0, settled))
    count = min(max_batches, len(tiles))
    return [tiles[len(tiles) * k // count : len(tiles) * (k + 1) // count] for k in range(count)]


def join_batch(plan_directory: Path, batch: Sequence[Sequence[Any]]) -> JoinResult:
    """Return the stored pairs of the tiles of `batch`. Runs without the GIL, in any number of threads or processes."""
    plan = _open_plan(plan_directory, (plan_directory / "plan.json").stat().st_mtime_ns)
    workspace, groups = open_workspace(plan.workspace), plan.groups
    buffers = _thread_buffers(workspace.size)
    results = []
    keep_blas_single_threaded()
    for tile in (Tile(*given) for given in batch):
        if tile.kind == "identical":
            results.append(_join_identical(workspace, tile, groups))
        elif tile.kind == "settled":
            results.append(_count_settled(tile, groups))
        else:
            results.append(_join_tile(workspace, tile, plan, buffers))
    return _merge_results(results)


class _Plan(NamedTuple):
    """What `plan_join` wrote, see there; `short` has a row for each group, None where that stage is not used."""

    workspace: Path
    floor: float
    threshold: float
    stages: dict[str, bool]
    groups: Groups
    short: NDArray[np.float32] | None


@lru_cache(maxsize=1)
def _open_plan(directory: Path, _written_ns: int) -> _Plan:
    """Read a plan once for all batches of this process."""
    settings = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
    with np.load(directory / "groups.npz") as arrays:
        groups = Groups(**{name: arrays[name] for name in Groups._fields[:-1]}, settled=int(arrays["settled"]))
    stages = settings["stages"]
    short = np.asarray(np.load(directory / "short.npy", mmap_mode="r")) if stages["short"] else None
    return _Plan(Path(settings["workspace"]), settings["floor"], settings["threshold"], stages, groups, short)


def _join_tile(workspace: Workspace, tile: Tile, plan: _Plan, buffers: Buffers) -> JoinResult:
    """Pass the pairs of one tile through the stages."""
    groups, floor, stages = plan.groups, plan.floor, plan.stages
    sizes, known = groups.sizes(), groups.known_sizes()
    counts = dict.fromkeys(COUNTS, 0)
    counts["pairs"], counts["known"] = _count_pairs(tile, sizes), _count_pairs(tile, known)

    def count(pairs: Pairs) -> int:
        first, second = pairs
        return int((sizes[first] * sizes[second] - known[first] * known[second]).sum())

    lowest = floor - bound_slack(workspace.size)
    pairs = _bound_tile(tile, plan.short, lowest)
    if stages["projection"]:
        pairs = _bound_pairs(workspace.projection, groups.rows, tile, pairs, lowest)
    projected = count(pairs)
    counts["projection"] = counts["pairs"] - counts["known"] - projected
    if stages["cells"]:
        pairs = _bound_pairs(workspace.features, groups.rows, tile, pairs, lowest)
    counts["cells"] = projected - count(pairs)
    outcome, score, detail = _refine_tile(workspace, groups.rows, pairs, buffers, floor, by_bounds=stages["cells"])
    first, second = pairs
    for stage, name in ((PRUNED_BY_BLOCKS, "blocks"), (SCORED, "scored")):
        counts[name] = count((first[outcome == stage], second[outcome == stage]))
    left = np.flatnonzero((outcome == SCORED) & (score >= floor - VERIFY_MARGIN))
    first, second, score, detail = first[left], second[left], score[left], detail[left]
    verified = np.minimum(abs(score - plan.threshold), abs(score - floor)) <= VERIFY_MARGIN
    difference = np.zeros(len(left), np.uint8)
    for k in np.flatnonzero(verified | np.isnan(detail)):
        x, y = workspace.pixels[groups.rows[first[k]]], workspace.pixels[groups.rows[second[k]]]
        if verified[k]:
            score[k] = reference_ssim(restore_thumbnail(x), restore_thumbnail(y))
        if np.isnan(detail[k]):
            difference[k] = largest_difference(x, y)
    stored = score >= floor
    image1, image2, origin = _expand_groups(groups, first[stored], second[stored])
    columns: Any = (score, detail, difference, verified)
    score, detail, difference, verified = (column[stored][origin] for column in columns)
    counts["stored"], counts["verified"] = len(origin), int(verified.sum())
    return JoinResult(image1, image2, score, detail, difference, verified, counts)


def _count_pairs(tile: Tile, sizes: NDArray[np.int64]) -> int:
    rows, columns = sizes[tile.row_start : tile.row_stop], sizes[tile.column_start : tile.column_stop]
    if tile.row_start == tile.column_start:
        return int((rows.sum() ** 2 - (rows**2).sum()) // 2)
    return int(rows.sum() * columns.sum())


def carry_pairs(
    directory: Path, rows: NDArray[np.int64], past: JoinResult, *, threshold: float, floor: float
) -> JoinResult:
    """Return what a join would store of the pairs of `past`, which an earlier one stored at a floor not above this one.

    `past` is sorted, in this join's images; what was verified in it for any other reason is as computed again.
    """
    workspace = open_workspace(directory)
    first, second = rows[past.image1], rows[past.image2]
    identical = (workspace.digests[first] == workspace.digests[second]).all(axis=1)
    score, verified = past.ssim.copy(), past.verified & ~identical
    side = _tile_side(workspace.size)
    replaced = np.flatnonzero(verified)
    for start in range(0, len(replaced), side):
        some = replaced[start : start + side]
        score[some] = _score_rows(workspace, first[some], second[some])
    is_near = ~identical & (np.minimum(abs(score - threshold), abs(score - floor)) <= VERIFY_MARGIN)
    score[is_near & verified] = past.ssim[is_near & verified]
    for k in np.flatnonzero(is_near & ~verified):
        x, y = (restore_thumbnail(workspace.pixels[row]) for row in (first[k], second[k]))
        score[k] = reference_ssim(x, y)
    stored, verified = score >= floor, is_near | identical
    counts = {"stored": int(stored.sum()), "verified": int(verified[stored].sum())}
    return JoinResult(
        past.image1[stored],
        past.image2[stored],
        score[stored],
        past.detail_ssim[stored],
        past.max_difference[stored],
        verified[stored],
        dict.fromkeys(COUNTS, 0) | counts,
    )


def _score_rows(workspace: Workspace, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the kernels' scores of some pairs of rows, no more than a tile has rows."""
    images, position = np.unique([first, second], return_inverse=True)
    a, b = position.reshape(2, -1)
    score: NDArray[np.float64]
    _, score, _ = _refine_tile(workspace, images, (a, b), _thread_buffers(workspace.size), -1.0, by_bounds=False)
    return score


def _count_settled(tile: Tile, groups: Groups) -> JoinResult:
    """Return no pairs, but the number of those between settled groups."""
    pairs = _count_pairs(tile, groups.sizes())
    result = _merge_results([])
    result.counts.update(pairs=pairs, known=pairs)
    return result


def _bound_tile(tile: Tile, short: NDArray[np.float32] | None, lowest: float) -> Pairs:
    """Return the pairs of representatives that their short projections leave, square after square of neighbours."""
    if short is None:
        is_left = np.ones((tile.row_stop - tile.row_start, tile.column_stop - tile.column_start), np.bool_)
    else:
        is_left = short[tile.row_start : tile.row_stop] @ short[tile.column_start : tile.column_stop].T >= lowest
    if tile.row_start == tile.column_start:
        is_left = np.triu(is_left, 1)
    first, second = np.nonzero(is_left)
    order = np.lexsort((second, first, second // SQUARE, first // SQUARE))
    return first[order] + tile.row_start, second[order] + tile.column_start


def _bound_pairs(
    vectors: NDArray[np.float32], rows: NDArray[np.int64], tile: Tile, pairs: Pairs, lowest: float
) -> Pairs:
    """Return those of a tile's pairs of representatives for which the inner product of their `vectors` is `lowest` or more."""
    first, second = pairs
    height, width = tile.row_stop - tile.row_start, tile.column_stop - tile.column_start
    if len(first) >= DENSE * height * width:
        one, other = (vectors[rows[slice(*span)]] for span in (tile[1:3], tile[3:5]))
        is_left = (one @ other.T)[first - tile.row_start, second - tile.column_start] >= lowest
    else:
        is_left = reach_floor(rows[first], rows[second], vectors, lowest)
    return first[is_left], second[is_left]


def _refine_tile(
    workspace: Workspace, rows: NDArray[np.int64], pairs: Pairs, buffers: Buffers, floor: float, *, by_bounds: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Return outcome, score and detail score of each pair of representatives, see `refine_pairs`.

    Without `by_bounds` every pair is scored, whatever the floor.
    """
    n = len(pairs[0])
    outcome, score, detail = np.full(n, SCORED, np.uint8), np.empty(n), np.empty(n)
    bounds = open_bounds(workspace, floor)
    for places, channels in _iter_parts(workspace, pairs, rows, len(buffers[0]) // 2):
        images, position = np.unique([rows[pairs[0][places]], rows[pairs[1][places]]], return_inverse=True)
        a, b = position.reshape(2, -1)
        # Where an image is in few pairs, a strip of it is needed once or never, and keeping it costs more than it saves.
        is_kept = 2 * len(places) >= PAIRS_TO_KEEP * len(images)
        results = outcome[places], score[places], detail[places]
        prepared = open_prepared(workspace, images, channels, buffers, is_kept=is_kept)
        if by_bounds:
            refine_pairs(a, b, prepared, bounds, *results)
        else:
            score_pairs(a, b, prepared, results[1], results[2])
        outcome[places], score[places], detail[places] = results
    return outcome, score, detail


def _iter_parts(
    workspace: Workspace, pairs: Pairs, rows: NDArray[np.int64], side: int
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Divide `pairs` into parts of 2 * side images at most, in one layout; yield their places, in order, and its channels."""
    first, second = pairs
    is_grey = workspace.grey[rows[first]] & workspace.grey[rows[second]]
    part = ((first // side) * (len(rows) // side + 1) + second // side) * 2 + is_grey
    for name in np.unique(part):
        yield np.flatnonzero(part == name), 1 if name % 2 else 3


def _expand_groups(
    groups: Groups, first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Return the pairs of images, not both known, of the pairs of groups, and which pair of groups each is from.

    image1 < image2.
    """
    sizes = groups.sizes()
    n_pairs = sizes[first] * sizes[second]
    origin = np.repeat(np.arange(len(first)), n_pairs)
    within = np.arange(len(origin)) - np.repeat(np.cumsum(n_pairs) - n_pairs, n_pairs)
    width = sizes[second][origin]
    a = groups.members[groups.offsets[first][origin] + within // width]
    b = groups.members[groups.offsets[second][origin] + within % width]
    wanted = ~(groups.is_known[a] & groups.is_known[b])
    return np.minimum(a, b)[wanted], np.maximum(a, b)[wanted], origin[wanted]


def _join_identical(workspace: Workspace, tile: Tile, groups: Groups) -> JoinResult:
    """Return the pairs of identical images that begin with the tile's members: exactly 1, by reference.py's proof."""
    begin = np.arange(tile.row_start, tile.row_stop)
    group = np.searchsorted(groups.offsets, begin, side="right") - 1
    following = groups.offsets[group + 1] - begin - 1
    first = np.repeat(np.arange(len(begin)), following)
    within = np.arange(len(first)) - np.repeat(np.cumsum(following) - following, following)
    image1, image2 = groups.members[begin[first]], groups.members[begin[first] + 1 + within]
    wanted = ~(groups.is_known[image1] & groups.is_known[image2])
    n_pairs, n = len(image1), int(wanted.sum())
    detail = np.where(workspace.structured[groups.rows[group[first[wanted]]]] == 1, 1.0, np.nan)
    counts = dict.fromkeys(COUNTS, 0) | dict.fromkeys(("identical", "stored", "verified"), n)
    counts |= {"pairs": n_pairs, "known": n_pairs - n}
    rest = np.ones(n), detail, np.zeros(n, np.uint8), np.ones(n, np.bool_)
    return JoinResult(image1[wanted], image2[wanted], *rest, counts)


_thread = threading.local()


def _thread_buffers(size: int) -> Buffers:
    """Return this thread's buffers for one tile: fresh memory for every batch costs more than filling it."""
    if getattr(_thread, "size", None) != size:
        _thread.size, _thread.buffers = size, open_buffers(size, _tile_side(size))
    buffers: Buffers = _thread.buffers
    return buffers


def _merge_results(results: list[JoinResult]) -> JoinResult:
    counts = {name: sum(result.counts[name] for result in results) for name in COUNTS}
    image1, image2 = (
        np.concatenate([np.empty(0, np.int32), *(getattr(r, name) for r in results)]) for name in ("image1", "image2")
    )
    order = np.lexsort((image2, image1))
    names = {"ssim": np.float64, "detail_ssim": np.float64, "max_difference": np.uint8, "verified": np.bool_}
    rest: Any = {
        name: np.concatenate([np.empty(0, kind), *(getattr(r, name) for r in results)])[order]
        for name, kind in names.items()
    }
    return JoinResult(image1[order], image2[order], **rest, counts=counts)
