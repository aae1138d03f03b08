"""What an upper bound of the SSIM is to the workspace and to the join: the one interface of all bounds."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import DTypeLike, NDArray

from imagetwins.ssim.features import Basis, dot
from imagetwins.ssim.image import MeasuredImage
from imagetwins.ssim.tiles import TilePairs
from imagetwins.ssim.turns import FeatureTurn, plan_feature_turn, turn_features, turn_rows

MIN_SHARE = 0.02
"""The share of the sampled pairs that a bound must be able to prune to be worth its cost."""

DENSE = 0.1
"""If this share of a tile's pairs is left, one matrix product is faster than the inner products of those. Measured."""

Arrays = Mapping[str, NDArray[Any]]
"""Arrays by name. Those of a workspace have one row for each image."""


class ArraySpec(NamedTuple):
    """The type and the shape of what is kept of one image."""

    dtype: DTypeLike
    shape: tuple[int, ...]


class Bound(ABC):
    """An upper bound of the SSIM of a pair, computed from what is kept of each of its two images.

    A bound has no state of its own: it is given the workspace's arrays and what it wrote when the join was planned.

    Attributes:
        name: the name under which pruned pairs are counted.
        label: what reports say of those pairs.
    """

    name: ClassVar[str]
    label: ClassVar[str]

    @abstractmethod
    def arrays(self, size: int) -> Mapping[str, ArraySpec]:
        """Return the arrays that are kept of one thumbnail of `size` pixels, by names that no other bound uses."""

    @abstractmethod
    def make_preparer(self, size: int, basis: Basis) -> Callable[[MeasuredImage], Arrays]:
        """Return the function that computes `arrays` of an image; what it needs for all of them is computed here, once.

        `basis` is the workspace's, `size` that of its thumbnails. The function is called in many threads at once.
        """

    @abstractmethod
    def upper_bounds(
        self, arrays: Arrays, first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> NDArray[np.floating[Any]]:
        """Return the bounds of some pairs as computed, without slack; see `VectorBound` for a simple case.

        For the sample that decides whether the bound is used, and for tests: it need not be fast.

        Args:
            arrays: the workspace's.
            first, second: (n,) int64, the workspace rows of the pairs.

        Returns:
            (n,) floats.
        """

    @abstractmethod
    def slack(self, size: int) -> float:
        """Return how far a computed bound may be below the true one: proven, at least the error of all roundings."""

    def is_worthwhile(self, upper: NDArray[np.floating[Any]], floor: float) -> bool:
        """Decide from the bounds of a sample of pairs, (n,), whether the bound is worth its cost at this floor."""
        return bool((upper < floor).mean() > MIN_SHARE)

    def open_plan(self, arrays: Arrays, rows: NDArray[np.int64]) -> Any:  # noqa: ARG002 - optional
        """Return what `prune` needs for all tiles, of the workspace's arrays.

        It is kept while the plan is open: arrays in it stay mapped, while others are mapped anew for each batch. `rows`,
        (groups,) int64, are the workspace rows of the distinct thumbnails that are joined.
        """
        return None

    @abstractmethod
    def prune(self, arrays: Arrays, planned: Any, pairs: TilePairs, lowest: float) -> int:
        """Drop the pairs that are proven to be below the floor.

        Args:
            arrays: the workspace's.
            planned: what `open_plan` returned.
            pairs: those of one tile that are left; changed, by its methods. The second picture of each is turned as
                `pairs.orientation` says.
            lowest: the floor less the slack: pairs whose computed bound is below this are dropped.

        Returns:
            The number of pairs of images that were dropped: the sum of what the methods of `pairs` return.
        """

    def prune_turned(self, arrays: Arrays, planned: Any, every: list[TilePairs], lowest: float) -> None:
        """Drop pairs as `prune` does; `every` are those of one tile in each orientation."""
        for pairs in every:
            self.prune(arrays, planned, pairs, lowest)


class VectorBound(Bound):
    """A bound that is the inner product of two vectors, one kept of each image.

    Attributes:
        vectors: the name of the array of these vectors, float32 or integers.
        are_features: whether these are the features (features.py), whole or scaled: only then are those of turned pictures
            known, and pairs with such are pruned.
    """

    vectors: ClassVar[str]
    are_features: ClassVar[bool] = False

    def unit(self, vectors: NDArray[Any]) -> float:  # noqa: ARG002 - optional
        """Return the unit in which the vectors are stored."""
        return 1.0

    def upper_bounds(self, arrays: Arrays, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the inner products, (n,) float32; see `Bound.upper_bounds`."""
        vectors = arrays[self.vectors]
        products = [dot(vectors[a], vectors[b]) for a, b in zip(first, second, strict=True)]
        return np.array(products, np.float32) * np.float32(self.unit(vectors) ** 2)

    def prune(self, arrays: Arrays, planned: Any, pairs: TilePairs, lowest: float) -> int:  # noqa: ARG002
        """Drop the pairs whose inner product is below `lowest`; see `Bound.prune`."""
        vectors = arrays[self.vectors]
        least = lowest / self.unit(vectors) ** 2
        if pairs.orientation > 1:
            return _prune_turned(vectors, pairs, least) if self.are_features else 0
        if len(pairs) >= DENSE * pairs.size:
            rows, columns = (vectors[some].astype(np.float32, copy=False) for some in (pairs.rows, pairs.columns))
            return pairs.prune_matrix(rows @ columns.T, least)
        return pairs.prune_listed(reach(*pairs.listed_rows, vectors, least))


def _prune_turned(vectors: NDArray[Any], pairs: TilePairs, least: float) -> int:
    """Do as `VectorBound.prune` where the second pictures are turned."""
    table = plan_feature_turn(pairs.thumbnail_size, pairs.orientation)
    if len(pairs) >= DENSE * pairs.size:
        rows = vectors[pairs.rows].astype(np.float32, copy=False)
        return pairs.prune_matrix(rows @ turn_rows(vectors, pairs.columns, table).T, least)
    return pairs.prune_listed(reach_turned(*pairs.listed_rows, vectors, table, least))


@njit(nogil=True, cache=True, error_model="numpy")
def reach(
    first: NDArray[np.int64], second: NDArray[np.int64], vectors: NDArray[Any], least: float
) -> NDArray[np.bool_]:
    """Return for which pairs of rows of `vectors`, (n,) each, the inner product is at least `least`: (n,) bool."""
    reached = np.empty(len(first), np.bool_)
    for p in range(len(first)):
        reached[p] = dot(vectors[first[p]], vectors[second[p]]) >= least
    return reached


@njit(nogil=True, cache=True, error_model="numpy")
def reach_turned(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    vectors: NDArray[Any],
    table: FeatureTurn,
    least: float,
) -> NDArray[np.bool_]:
    """Do as `reach`, where the second picture of each pair is turned as the table says."""
    reached, turned = np.empty(len(first), np.bool_), np.empty(vectors.shape[1], np.float32)
    last = -1
    # What is turned once serves for all pairs of it.
    for p in np.argsort(second, kind="mergesort"):
        if second[p] != last:
            last = second[p]
            turn_features(vectors, last, table, turned)
        reached[p] = dot(vectors[first[p]], turned) >= least
    return reached
