"""The plan of a join: groups of identical thumbnails, the bounds that are used, and batches of tiles.

It is written to a directory, so that the batches can be computed in other processes or on other machines.
"""

import itertools
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagetwins.errors import ParameterError
from imagetwins.orientation import Orientations
from imagetwins.ssim import bounds
from imagetwins.ssim.bounds.base import Bound
from imagetwins.ssim.groups import Groups, plan_groups
from imagetwins.ssim.tiles import Tile, Weights
from imagetwins.ssim.workspace import Workspace, open_workspace

TILE = 256
"""Groups along one side of a tile, at 200 pixels; fewer where thumbnails are larger, to keep the memory the same."""

LARGE_TILE = 2048
"""The same where almost all pairs are pruned by bounds: what is prepared for a tile pays for more pairs."""

LARGE_SHARE = 0.02
"""At most this share of the sampled pairs may be left by the bounds for tiles to be large."""

MIN_TILE = 16
"""No tile has a shorter side than this, unless there are no more groups."""

TILES_ALONG = 4
"""Tiles along one side of the pair matrix, at least, as long as they are not smaller than MIN_TILE."""

LARGE_TILES_ALONG = 12
"""The same for tiles that are larger than TILE."""

IDENTICAL_PAIRS = 1_000_000
"""Pairs of identical thumbnails in one tile, about: limits the memory of a batch."""

SAMPLED_PAIRS = 500
"""How many random pairs the bounds are tried on."""

PLAN, GROUPS = "plan.json", "groups.npz"


@dataclass(frozen=True)
class JoinPlan:
    """What there is to join, and the batches that do it.

    Attributes:
        n_images: all images.
        n_decoded: the images that take part.
        n_distinct: their distinct thumbnails.
        n_pairs: the pairs of images that take part, known ones included.
        batches: tiles; every pair is in exactly one tile.
        stages: by the name of each bound, whether it is used, because it is worth its cost here.
    """

    n_images: int
    n_decoded: int
    n_distinct: int
    n_pairs: int
    batches: list[list[Tile]]
    stages: dict[str, bool]


def plan_join(
    directory: Path,
    plan_directory: Path,
    rows: NDArray[np.int64],
    *,
    threshold: float,
    floor: float,
    known: NDArray[np.bool_] | None = None,
    max_batches: int = 200,
    orientations: Orientations = "same",
) -> JoinPlan:
    """Group identical thumbnails, choose the bounds, and divide the pairs into at most `max_batches` batches.

    Args:
        directory: the workspace.
        plan_directory: where the plan is written, for `join_batch`.
        rows: (n,) integers, the workspace row of each image, -1 for one that takes no part.
        threshold: scores close to it are verified.
        floor: pairs that score below it are not stored.
        known: (n,) bool, the images whose pairs with each other are not wanted; by default none.
        max_batches: the limit on the number of batches.
        orientations: "all" to compare the second picture of a pair turned and mirrored in all eight ways, too.

    Raises:
        ParameterError: the floor is above the threshold.
        StoreError: `directory` holds no intact workspace.
    """
    if floor > threshold:
        raise ParameterError(f"floor {floor} is above the threshold {threshold}: give a floor at or below it")
    workspace = open_workspace(directory)
    groups = plan_groups(workspace.digests, rows, np.zeros(len(rows), np.bool_) if known is None else known)
    # Where all pairs are known, nothing is left to prune, and no kernel need be loaded.
    is_done = groups.n_known == len(groups.rows)
    stages, share = choose_bounds(workspace, groups.rows[:0] if is_done else groups.rows, floor)
    settings = {"workspace": str(directory.absolute()), "threshold": threshold, "floor": floor}
    _write_plan(plan_directory, groups, settings | {"orientations": orientations, "stages": stages})
    batches = _plan_batches(groups, choose_side(len(groups.rows), workspace.size, share), max_batches)
    n = len(groups.members)
    return JoinPlan(len(rows), n, len(groups.rows), n * (n - 1) // 2, batches, stages)


def choose_bounds(workspace: Workspace, rows: NDArray[np.int64], floor: float) -> tuple[dict[str, bool], float]:
    """Try the bounds on a sample of the pairs of `rows`, (groups,) int64.

    Returns:
        By the name of each bound, whether to use it: one that prunes next to nothing costs more than it saves. And the
        share of the sampled pairs that none of these prunes.
    """
    if len(rows) < 2 or floor <= -1:
        return dict.fromkeys((bound.name for bound in bounds.BOUNDS), False), 1.0
    first, second = np.random.default_rng(0).integers(0, len(rows), (2, SAMPLED_PAIRS))
    is_pair = first != second
    sample = rows[first[is_pair]], rows[second[is_pair]]
    stages, is_left = {}, np.ones(is_pair.sum(), np.bool_)
    for bound in bounds.BOUNDS:
        upper = bound.upper_bounds(workspace.arrays, *sample)
        stages[bound.name] = bound.is_worthwhile(upper, floor)
        if stages[bound.name]:
            is_left &= upper >= floor
    return stages, float(is_left.mean()) if len(is_left) else 1.0


def choose_side(n: int, size: int, share: float) -> int:
    """Return how many of n groups a tile has along one side, at most.

    In a small folder tiles are small, so that there is work for every core.

    Args:
        n: groups.
        size: of the thumbnails, in pixels.
        share: of the pairs that bounds do not prune, see `choose_bounds`.
    """
    side = min(tile_side(size), max(MIN_TILE, -(-n // TILES_ALONG)))
    return max(side, min(LARGE_TILE, -(-n // LARGE_TILES_ALONG))) if share <= LARGE_SHARE else side


def _write_plan(target: Path, groups: Groups, description: dict[str, Any]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    np.savez(target / GROUPS, **groups._asdict())
    # Last, and at once, as a file that was never there before: by that `open_plan` knows that a plan is another one.
    temporary = target / f"{PLAN}.tmp"
    temporary.write_text(json.dumps(description), encoding="utf-8")
    temporary.replace(target / PLAN)


class OpenPlan(NamedTuple):
    """A plan as `join_batch` uses it.

    Attributes:
        workspace: its directory.
        threshold, floor: as given to `plan_join`.
        orientations: as given to `plan_join`.
        bounds: the bounds that are used, each with what it needs for all tiles (`Bound.open_plan`).
        groups: of identical thumbnails.
        weights: of these groups.
    """

    workspace: Path
    threshold: float
    floor: float
    orientations: Orientations
    bounds: list[tuple[Bound, Any]]
    groups: Groups
    weights: Weights


def open_plan(directory: Path) -> OpenPlan:
    """Read a plan; once for all batches of this process."""
    written = (directory / PLAN).stat()
    return _read_plan(directory, (written.st_ino, written.st_mtime_ns, written.st_size))


@lru_cache(maxsize=1)
def _read_plan(directory: Path, _file: tuple[int, int, int]) -> OpenPlan:
    description = json.loads((directory / PLAN).read_text(encoding="utf-8"))
    with np.load(directory / GROUPS) as saved:
        groups = Groups(**{name: saved[name] for name in Groups._fields[:-1]}, n_known=int(saved["n_known"]))
    used = [bound for bound in bounds.BOUNDS if description["stages"][bound.name]]
    arrays = open_workspace(Path(description["workspace"])).arrays
    return OpenPlan(
        Path(description["workspace"]),
        description["threshold"],
        description["floor"],
        description["orientations"],
        [(bound, bound.open_plan(arrays, groups.rows)) for bound in used],
        groups,
        groups.weigh(),
    )


def tile_side(size: int) -> int:
    """Return how many groups a tile of pairs that must be scored has along one side, at most."""
    return max(MIN_TILE, TILE * 200**2 // max(size, 200) ** 2)


def _plan_batches(groups: Groups, side: int, max_batches: int) -> list[list[Tile]]:
    tiles = [*_plan_pairs(groups, side), *_plan_identical(groups)]
    if groups.n_known:
        tiles.append(Tile("known", 0, groups.n_known, 0, groups.n_known))
    count = min(max_batches, len(tiles))
    return [tiles[len(tiles) * k // count : len(tiles) * (k + 1) // count] for k in range(count)]


def _plan_pairs(groups: Groups, side: int) -> list[Tile]:
    """Return the tiles on and above the diagonal of the pair matrix, except where all images are known.

    They are in the order of Morton (1966), square in square: any run of them has few rows and columns for its length.
    So a workspace that does not fit into memory is read seldom, whatever the memory, and a batch reads little of it.
    """
    n_distinct, n_known = len(groups.rows), groups.n_known
    spans = list(itertools.pairwise([*range(0, n_known, side), *range(n_known, n_distinct, side), n_distinct]))
    # The bits of a number, each followed by a 0: between those of a row there is room for those of a column.
    spread = [2 * int(f"{number:b}", 4) for number in range(len(spans))]
    places = [(i, j) for i in range(len(spans)) for j in range(i, len(spans)) if spans[j][1] > n_known]
    places.sort(key=lambda place: spread[place[0]] + spread[place[1]] // 2)
    return [Tile("pairs", *spans[i], *spans[j]) for i, j in places]


def _plan_identical(groups: Groups) -> list[Tile]:
    """Return the tiles of the pairs within groups, with about IDENTICAL_PAIRS pairs each."""
    stop = np.repeat(groups.offsets[1:], np.diff(groups.offsets))
    following = stop - 1 - np.arange(len(stop))
    if not following.any():
        return []
    number = np.cumsum(following) // IDENTICAL_PAIRS
    cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(stop)]
    return [Tile("identical", start, end, 0, 0) for start, end in itertools.pairwise(cuts)]
