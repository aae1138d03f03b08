"""Pairs whose second picture is turned or mirrored: scored like others, from copies of what is kept of the two.

A *turned pair* is two groups of identical thumbnails and the orientation (orientation.py) of the second one. Of the eight turned
pairs of two groups, those that the bounds leave are scored, each on its own; the best of them is the pair's score.

**Which one is best.** Where a picture is symmetric, two of its orientations have one score, but for roundings, which differ with
the order of the windows. So scores that are EQUAL count as equal, and of those the lowest orientation is taken: of a picture
that is as it was, 1. But roundings decide nothing: where the best score is at or above the threshold, or the floor, so is the
score of the orientation that is taken.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagetwins.ssim.groups import Groups
from imagetwins.ssim.kernels import Windows
from imagetwins.ssim.orientation import INVERSE, ORIENTATIONS, turn
from imagetwins.ssim.refine import Scores, score_or_prune
from imagetwins.ssim.tiles import Pairs, divide_pairs, order_pairs
from imagetwins.ssim.windows import allocate_pixels, fill_pixels, plan_layout, restore_thumbnail
from imagetwins.ssim.workspace import Workspace

EQUAL = 1e-6
"""Scores of two orientations of one pair that differ by less count as equal: what the kernels may be off by."""

COUNT = len(ORIENTATIONS)


class TurnedPairs(NamedTuple):
    """Some turned pairs of groups.

    Attributes:
        first, second: (n,) int64, the groups.
        orientation: (n,) int64, that of the second one.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    orientation: NDArray[np.int64]

    @property
    def groups(self) -> Pairs:
        """The two groups of each."""
        return self.first, self.second

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "TurnedPairs":
        """Return some of them."""
        return TurnedPairs(*(column[which] for column in self))


def turn_every_way(first: NDArray[np.int64], second: NDArray[np.int64]) -> TurnedPairs:
    """Return pairs of groups, (n,) each, with the second one in each orientation."""
    orientation = np.repeat(np.array(ORIENTATIONS), len(first))
    return TurnedPairs(np.tile(first, COUNT), np.tile(second, COUNT), orientation)


def join_turned(parts: list[TurnedPairs]) -> TurnedPairs:
    """Return the pairs of all parts."""
    return TurnedPairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def put_in_order(pairs: TurnedPairs, groups: Groups) -> TurnedPairs:
    """Return the pairs so that it is the image with the higher number that is turned.

    Where both groups have images before images of the other, both ways are needed.
    """
    inverse = TurnedPairs(pairs.second, pairs.first, INVERSE[pairs.orientation].astype(np.int64))
    return join_turned([some.take(groups.has_order(some.groups)) for some in (pairs, inverse)])


def score_turned(
    workspace: Workspace, rows: NDArray[np.int64], pairs: TurnedPairs, buffers: Windows, floor: float | None
) -> Scores:
    """Score turned pairs, or prove them to be below the floor.

    Args:
        workspace: that of the images.
        rows: (groups,) int64, the workspace rows of all groups.
        pairs: the pairs.
        buffers, floor: as for `score_or_prune`.

    Returns:
        What became of each pair.
    """
    n = len(pairs.first)
    scores = Scores(np.empty(n, np.uint8), np.empty(n), np.empty(n), np.empty(n))
    # A thumbnail in one orientation is one image.
    of_first, of_second = pairs.first * COUNT, pairs.second * COUNT + pairs.orientation - 1
    order = order_pairs(pairs.first, of_second)
    part = divide_pairs(of_first[order], of_second[order], len(rows) * COUNT, len(buffers.rows) // 2)
    bounds = [*np.flatnonzero(np.diff(part, prepend=-1)), n]
    for start, stop in itertools.pairwise(bounds):
        some = order[start:stop]
        images, position = np.unique([of_first[some], of_second[some]], return_inverse=True)
        a, b = position.reshape(2, -1)
        turned = turn_images(workspace, rows[images // COUNT], images % COUNT + 1)
        found = score_or_prune(turned, (a, b), np.zeros(len(some), np.int64), buffers, floor)
        columns: Any = zip(scores, found, strict=True)
        for column, values in columns:
            column[some] = values
    return scores


def turn_images(workspace: Workspace, rows: NDArray[np.int64], orientations: NDArray[np.int64]) -> Workspace:
    """Return what a workspace keeps of some images, (n,), as it would keep it of them turned."""
    size, layouts = workspace.size, {channels: plan_layout(workspace.size, channels) for channels in (1, 3)}
    pixels, grey_pixels = (np.repeat(allocate_pixels(layouts[channels])[None], len(rows), 0) for channels in (3, 1))
    for k, (row, orientation) in enumerate(zip(rows.tolist(), orientations.tolist(), strict=True)):
        thumbnail = turn(restore_thumbnail(workspace.pixels[row]), orientation)
        fill_pixels(thumbnail, layouts[3], pixels[k])
        if workspace.grey[row]:
            fill_pixels(thumbnail, layouts[1], grey_pixels[k])
    arrays = {"pixels": pixels, "grey_pixels": grey_pixels, "grey": workspace.grey[rows]}
    return Workspace(len(rows), size, arrays)


def turn_pixels(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return a thumbnail, (groups, size, pixel_width) uint8 in the layout of three channels, turned."""
    layout = plan_layout(pixels.shape[1], 3)
    turned = allocate_pixels(layout)
    fill_pixels(turn(restore_thumbnail(pixels), orientation), layout, turned)
    return turned


def choose_best(pairs: TurnedPairs, score: NDArray[np.float64], limits: tuple[float, float]) -> NDArray[np.int64]:
    """Return the index of the best turned pair of each pair of groups; see the module's text.

    Args:
        pairs: n turned pairs.
        score: (n,) float64.
        limits: the threshold and the floor.
    """
    order = np.lexsort((pairs.orientation, pairs.second, pairs.first))
    first, second, score = pairs.first[order], pairs.second[order], score[order]
    begins = (np.diff(first, prepend=-1) != 0) | (np.diff(second, prepend=-1) != 0)
    if not len(score):
        return order
    pair = np.cumsum(begins) - 1
    best = np.maximum.reduceat(score, np.flatnonzero(begins))[pair]
    is_equal = score >= best - EQUAL
    for limit in limits:
        is_equal &= (score >= limit) | (best < limit)
    equal = np.flatnonzero(is_equal)
    chosen: NDArray[np.int64] = order[equal[np.diff(pair[equal], prepend=-1) > 0]]
    return chosen
