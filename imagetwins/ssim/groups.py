"""Groups of identical thumbnails: they have identical scores, so one of them stands for all."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagetwins.ssim.tiles import Pairs, Weights


class Groups(NamedTuple):
    """The images that take part in a join, by groups of identical thumbnails.

    Group g is `members[offsets[g]:offsets[g + 1]]`; its first member stands for it.

    Attributes:
        members: (n,) int32, images, group after group.
        offsets: (groups + 1,) int64, where each group begins in `members`, and the end.
        rows: (groups,) int64, the workspace row of the first member of each group.
        is_known: (n_images,) bool, by image: pairs of two known images are not wanted.
        n_known: how many groups consist of known images only; these are the first ones.
    """

    members: NDArray[np.int32]
    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    is_known: NDArray[np.bool_]
    n_known: int

    def weigh(self) -> Weights:
        """Return how many images each group has, and how many of them are known."""
        before = np.concatenate([[0], np.cumsum(self.is_known[self.members])])
        known: NDArray[np.int64] = np.diff(before[self.offsets])
        return Weights(np.diff(self.offsets), known)

    def expand(self, pairs: Pairs) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
        """Return the pairs of images, not both known, that some pairs of groups stand for.

        Returns:
            image1 and image2, (m,) int32 with image1 < image2, and, (m,) int64, the index in `pairs` that each comes
            from.
        """
        a, b, origin = self._pair_members(pairs)
        return np.minimum(a, b), np.maximum(a, b), origin

    def expand_in_order(self, pairs: Pairs) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
        """Return those of these pairs of images whose image1 is of the first of the two groups; see `expand`."""
        a, b, origin = self._pair_members(pairs)
        is_in_order = a < b
        return a[is_in_order], b[is_in_order], origin[is_in_order]

    def has_order(self, pairs: Pairs) -> NDArray[np.bool_]:
        """Return for which pairs of groups, (n,), the first one has an image before one of the second."""
        first, second = pairs
        earlier: NDArray[np.bool_] = self.members[self.offsets[first]] < self.members[self.offsets[second + 1] - 1]
        return earlier

    def _pair_members(self, pairs: Pairs) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
        first, second = pairs
        sizes = np.diff(self.offsets)
        n_pairs = sizes[first] * sizes[second]
        origin = np.repeat(np.arange(len(first)), n_pairs)
        within = np.arange(len(origin)) - np.repeat(np.cumsum(n_pairs) - n_pairs, n_pairs)
        width = sizes[second][origin]
        a = self.members[self.offsets[first][origin] + within // width]
        b = self.members[self.offsets[second][origin] + within % width]
        is_wanted = ~(self.is_known[a] & self.is_known[b])
        return a[is_wanted], b[is_wanted], origin[is_wanted]


def plan_groups(digests: NDArray[np.uint8], rows: NDArray[np.int64], is_known: NDArray[np.bool_]) -> Groups:
    """Group the images that take part by their thumbnails' digests.

    Args:
        digests: (workspace rows, DIGEST_BYTES) uint8.
        rows: (n_images,) integers, the workspace row of each image, -1 for one that takes no part.
        is_known: (n_images,) bool.
    """
    images = np.flatnonzero(rows >= 0)
    _, first, group = np.unique(digests[rows[images]], axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    has_new = np.bincount(group, weights=~is_known[images], minlength=len(first)) > 0
    # First the groups of known images only; then in the order of their first images, not of their digests.
    rank = np.empty(len(first), np.int64)
    rank[np.lexsort((first, has_new))] = np.arange(len(first))
    group = rank[group]
    members = images[np.argsort(group, kind="stable")].astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(first)))]).astype(np.int64)
    # The kernels take 64-bit rows; the tables of callers may hold 32-bit ones.
    group_rows = rows[members[offsets[:-1]]].astype(np.int64)
    return Groups(members, offsets, group_rows, is_known, int((~has_new).sum()))
