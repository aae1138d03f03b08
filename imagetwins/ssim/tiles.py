"""A tile of the pair matrix, and which of its pairs no bound has pruned yet.

The pair matrix has a row and a column for each group of identical thumbnails (groups.py). One pair of groups stands for
all pairs of their images, so pairs are counted with the product of the sizes of the two groups; pairs of two known
images, which are not wanted, are left out of that.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

SQUARE = 8
"""Thumbnails along each side of a square of pairs that are scored together: their blocks fit into a core's cache."""

SQUARES = (SQUARE, 128)
"""Sides of the squares in which the pairs of a tile are ordered, and so scored."""

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The first and the second group of some pairs: two (n,) int64 arrays."""


class Tile(NamedTuple):
    """A part of the work of a join.

    Attributes:
        kind: what the ranges mean.
            "pairs": a rectangle of the pair matrix, of the groups `row_start ... row_stop` and `column_start ...
            column_stop`; if the two ranges are the same, only the triangle above the diagonal.
            "identical": the pairs within groups that begin with one of the members `row_start ... row_stop`.
            "known": the pairs of the groups `row_start ... row_stop`, all of known images; they are only counted.
        row_start, row_stop, column_start, column_stop: these ranges.
    """

    kind: str
    row_start: int
    row_stop: int
    column_start: int
    column_stop: int


class Weights(NamedTuple):
    """How many images each group has.

    Attributes:
        images: (groups,) int64.
        known: (groups,) int64, how many of them are known.
    """

    images: NDArray[np.int64]
    known: NDArray[np.int64]

    def count_pairs(self, pairs: Pairs, is_counted: NDArray[np.bool_]) -> int:
        """Return how many pairs of images, not both known, the pairs of groups stand for where `is_counted`, (n,)."""
        return int(count_listed(*pairs, is_counted, *self))


class TilePairs:
    """The pairs of groups of one tile that no bound has pruned so far.

    They are kept as a matrix, made when it is first needed, until they are needed one by one, and as a list from then on.
    What is pruned is counted as it is pruned: by the pruned pairs themselves, not by how many are left.

    Attributes:
        row_span, column_span: the groups of the tile.
        rows: (height,) int64, the workspace rows of the groups of the tile's rows.
        columns: (width,) int64, those of its columns.
        weights: of all groups.
        thumbnail_size: in pixels.
        orientation: that in which the second picture of each pair is compared.
    """

    def __init__(
        self, tile: Tile, group_rows: NDArray[np.int64], weights: Weights, thumbnail_size: int, orientation: int = 1
    ) -> None:
        """Begin with all pairs of a tile; `group_rows`, (groups,) int64, are the workspace rows of all groups."""
        self.thumbnail_size, self.orientation = thumbnail_size, orientation
        self.row_span = slice(tile.row_start, tile.row_stop)
        self.column_span = slice(tile.column_start, tile.column_stop)
        self.rows, self.columns = group_rows[self.row_span], group_rows[self.column_span]
        self._group_rows, self.weights = group_rows, weights
        self._matrix: NDArray[np.bool_] | None = None
        self._listed: Pairs | None = None

    def __len__(self) -> int:
        """Return the number of pairs that are left."""
        return int(np.count_nonzero(self._is_left)) if self._listed is None else len(self._listed[0])

    @property
    def size(self) -> int:
        """The number of elements of the tile's rectangle."""
        return len(self.rows) * len(self.columns)

    @property
    def spans(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The first group of the rows and the end, and those of the columns."""
        return (self.row_span.start, self.row_span.stop), (self.column_span.start, self.column_span.stop)

    @property
    def is_whole(self) -> bool:
        """Whether nothing has been asked or dropped so far: all pairs of the tile are left."""
        return self._listed is None and self._matrix is None

    @property
    def _is_left(self) -> NDArray[np.bool_]:
        """(height, width) bool, the pairs that are left."""
        if self._matrix is None:
            is_left = np.ones((len(self.rows), len(self.columns)), np.bool_)
            self._matrix = np.triu(is_left, 1) if self.row_span == self.column_span else is_left
        return self._matrix

    @property
    def listed(self) -> Pairs:
        """The pairs that are left, by groups, in squares of neighbours: of SQUARES, one within the other."""
        if self._listed is None:
            first, second = np.nonzero(self._is_left)
            first, second = first + self.row_span.start, second + self.column_span.start
            order = order_pairs(first, second)
            self._listed = first[order], second[order]
        return self._listed

    @property
    def listed_rows(self) -> Pairs:
        """The pairs that are left, by workspace rows, in the order of `listed`."""
        first, second = self.listed
        return self._group_rows[first], self._group_rows[second]

    def replace_all(self, first: NDArray[np.int64], second: NDArray[np.int64], pruned: int) -> int:
        """Keep only some pairs of groups of a tile that `is_whole`, (n,) each, and return `pruned`, the count of others."""
        order = order_pairs(first, second)
        self._listed = first[order], second[order]
        return pruned

    def prune_matrix(self, upper: NDArray[np.float32], lowest: float) -> int:
        """Drop the pairs whose upper bound is below `lowest`; return how many pairs of images these were.

        `upper` is (height, width), of all pairs of the tile's rectangle.
        """
        if self._listed is None:
            weights = (part[span] for part in self.weights for span in (self.row_span, self.column_span))
            return int(prune_matrix(upper, lowest, self._is_left, *weights))
        first, second = self._listed
        listed = upper[first - self.row_span.start, second - self.column_span.start]
        # With a Python float, NumPy would compare in float32, and round `lowest`, perhaps upwards.
        return self.prune_listed(listed >= np.float64(lowest))

    def prune_listed(self, is_left: NDArray[np.bool_]) -> int:
        """Keep the pairs of `listed` where `is_left`, (n,); return how many pairs of images the dropped ones were."""
        pairs = self.listed
        self._listed = pairs[0][is_left], pairs[1][is_left]
        return self.weights.count_pairs(pairs, ~is_left)


def order_pairs(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of pairs in the order of `TilePairs.listed`."""
    keys = [second, first]
    for side in SQUARES:
        keys += [second // side, first // side]
    return np.lexsort(keys)


@njit(nogil=True, cache=True)
def prune_matrix(
    upper: NDArray[np.float32],
    lowest: float,
    is_left: NDArray[np.bool_],
    row_images: NDArray[np.int64],
    column_images: NDArray[np.int64],
    row_known: NDArray[np.int64],
    column_known: NDArray[np.int64],
) -> int:
    """Clear `is_left` where the bound is below `lowest`; return how many pairs of images were cleared.

    Args:
        upper: (height, width) float32, upper bounds.
        lowest: pairs with a lower bound than this are dropped.
        is_left: (height, width) bool; changed.
        row_images, row_known: (height,) int64, the `Weights` of the rows.
        column_images, column_known: (width,) int64, those of the columns.
    """
    pruned = 0
    for i in range(len(upper)):
        images, known = 0, 0
        for j in range(len(column_images)):
            is_pruned = is_left[i, j] & (not upper[i, j] >= lowest)
            images += column_images[j] if is_pruned else 0
            known += column_known[j] if is_pruned else 0
            is_left[i, j] ^= is_pruned
        pruned += row_images[i] * images - row_known[i] * known
    return pruned


@njit(nogil=True, cache=True)
def count_listed(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    is_counted: NDArray[np.bool_],
    images: NDArray[np.int64],
    known: NDArray[np.int64],
) -> int:
    """Return how many pairs of images, not both known, the pairs of groups stand for where `is_counted`, all (n,).

    `images` and `known`, (groups,) int64, are the `Weights` of all groups.
    """
    total = 0
    for p in range(len(first)):
        if is_counted[p]:
            a, b = first[p], second[p]
            total += images[a] * images[b] - known[a] * known[b]
    return total


@njit(nogil=True, cache=True)
def divide_pairs(first: NDArray[np.int64], second: NDArray[np.int64], n: int, most: int) -> NDArray[np.int64]:
    """Divide pairs of numbers below `n`, in their order, into parts of at most `most` numbers; return each pair's part.

    Args:
        first, second: (pairs,) int64, two different numbers each.
        n: more than any of them.
        most: at least 2.
    """
    parts, last = np.empty(len(first), np.int64), np.full(n, -1)
    part, count = 0, 0
    for p in range(len(first)):
        a, b = first[p], second[p]
        added = int(last[a] != part) + int(last[b] != part)
        if count + added > most:
            part, count, added = part + 1, 0, 2
        count += added
        last[a] = last[b] = parts[p] = part
    return parts
