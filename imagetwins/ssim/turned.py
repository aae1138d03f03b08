"""Pairs whose second picture is turned or mirrored: scored like others, from copies of what is kept of the two.

A *turned pair* is two groups of identical thumbnails and the orientation (orientation.py) of the second one. Of the eight turned
pairs of two groups, those that the bounds leave are scored, each on its own; the best of them is the pair's score.

**Which one is best.** Where a picture is symmetric, two of its orientations have one score, but for roundings, which differ with
the order of the windows. So scores that are EQUAL count as equal, and of those the lowest orientation is taken: of a picture
that is as it was, 1. But roundings decide nothing: where the best score is at or above the threshold, or the floor, so is the
score of the orientation that is taken.
"""

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from imagetwins.orientation import INVERSE, ORIENTATIONS
from imagetwins.ssim.bounds.base import Arrays
from imagetwins.ssim.features import count_features
from imagetwins.ssim.groups import Groups
from imagetwins.ssim.kernels import Windows
from imagetwins.ssim.refine import Scores, score_or_prune
from imagetwins.ssim.tiles import Pairs, TilePairs, Weights, divide_pairs, order_pairs
from imagetwins.ssim.turns import plan_feature_turn, turn_features
from imagetwins.ssim.windows import allocate_pixels, fill_channels, plan_layout, restore_channels
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

    @classmethod
    def of(cls, pairs: TilePairs) -> "TurnedPairs":
        """Return the pairs of a tile that are left in one orientation."""
        return cls(*pairs.listed, np.full(len(pairs), pairs.orientation))

    def count_pairs(self, weights: Weights) -> int:
        """Return how many pairs of images, not both known, they stand for, each counted once."""
        first, second = np.minimum(*self.groups), np.maximum(*self.groups)
        pairs = np.unique(first * len(weights.images) + second)
        distinct = np.divmod(pairs, max(len(weights.images), 1))
        return weights.count_pairs(distinct, np.ones(len(pairs), np.bool_))

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
    inverse = TurnedPairs(pairs.second, pairs.first, np.array(INVERSE)[pairs.orientation])
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
    order, most = order_pairs(pairs.first, of_second), len(buffers.rows)
    part = divide_pairs(of_first[order], of_second[order], len(rows) * COUNT, most)
    memory = _thread_memory(workspace.size, most)
    bounds = [*np.flatnonzero(np.diff(part, prepend=-1)), n]
    for start, stop in itertools.pairwise(bounds):
        some = order[start:stop]
        images, position = np.unique([of_first[some], of_second[some]], return_inverse=True)
        a, b = position.reshape(2, -1)
        ways = images % COUNT + 1
        turned = turn_images(workspace, rows[images // COUNT], ways, memory, with_features=floor is not None)
        found = score_or_prune(turned, (a, b), np.zeros(len(some), np.int64), buffers, floor)
        columns: Any = zip(scores, found, strict=True)
        for column, values in columns:
            column[some] = values
    return scores


class TurnedMemory(NamedTuple):
    """Memory for what a workspace keeps of some images, turned.

    Attributes:
        pixels, grey_pixels: (images, groups, size, pixel_width) uint8, in the layouts of three channels and of one.
        features: (images, length) int16.
    """

    pixels: NDArray[np.uint8]
    grey_pixels: NDArray[np.uint8]
    features: NDArray[np.int16]


def allocate_turned(size: int, images: int) -> TurnedMemory:
    """Return memory for `images` thumbnails of `size` pixels; the system provides it when written."""
    pixels, grey_pixels = (
        np.zeros((images, layout.n_groups, size, layout.column.shape[1]), np.uint8)
        for layout in (plan_layout(size, channels) for channels in (3, 1))
    )
    return TurnedMemory(pixels, grey_pixels, np.empty((images, count_features(size)), np.int16))


_thread = threading.local()


def _thread_memory(size: int, images: int) -> TurnedMemory:
    """Return this thread's memory: fresh memory would cost more than filling it."""
    if getattr(_thread, "key", None) != (size, images):
        _thread.key, _thread.memory = (size, images), allocate_turned(size, images)
    memory: TurnedMemory = _thread.memory
    return memory


def turn_images(
    workspace: Workspace,
    rows: NDArray[np.int64],
    orientations: NDArray[np.int64],
    memory: TurnedMemory,
    *,
    with_features: bool,
) -> Workspace:
    """Return what a workspace keeps of some images, (n,), as it would keep it of them turned; it overwrites `memory`."""
    n = len(rows)
    pixels, grey_pixels, features = (array[:n] for array in memory)
    for k, (row, orientation) in enumerate(zip(rows.tolist(), orientations.tolist(), strict=True)):
        channels = turn_channels(workspace.pixels[row], orientation)
        fill_channels(channels, plan_layout(workspace.size, 3), pixels[k])
        if workspace.grey[row]:
            fill_channels(channels, plan_layout(workspace.size, 1), grey_pixels[k])
        if with_features:
            turn_features(
                workspace.arrays["features"], row, plan_feature_turn(workspace.size, orientation), features[k]
            )
    arrays: Arrays = {"pixels": pixels, "grey_pixels": grey_pixels, "grey": workspace.grey[rows], "features": features}
    return replace(workspace, n_rows=n, arrays=arrays)


_BY_OPENCV: dict[int, tuple[Callable[..., Any], ...]] = {
    1: (),
    2: (partial(cv2.flip, flipCode=1),),
    3: (partial(cv2.flip, flipCode=-1),),
    4: (partial(cv2.flip, flipCode=0),),
    5: (cv2.transpose,),
    6: (partial(cv2.rotate, rotateCode=cv2.ROTATE_90_CLOCKWISE),),
    7: (cv2.transpose, partial(cv2.flip, flipCode=-1)),
    8: (partial(cv2.rotate, rotateCode=cv2.ROTATE_90_COUNTERCLOCKWISE),),
}
"""What OpenCV does for each orientation, in a tenth of NumPy's time."""


def turn_channels(pixels: NDArray[np.uint8], orientation: int) -> list[NDArray[np.uint8]]:
    """Return the three channels, (size, size) uint8 each, of a thumbnail, (groups, size, pixel_width), turned."""
    channels = list(restore_channels(pixels))
    for step in _BY_OPENCV[orientation]:
        channels = [step(channel) for channel in channels]
    return channels


def turn_pixels(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return a thumbnail, (groups, size, pixel_width) uint8 in the layout of three channels, turned."""
    layout = plan_layout(pixels.shape[1], 3)
    turned = allocate_pixels(layout)
    fill_channels(turn_channels(pixels, orientation), layout, turned)
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
