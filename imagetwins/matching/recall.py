"""What persons said about pictures, where it concerns those of a run: which pairs are kept apart, and what never moves unasked.

The rules, over the table `store/memory.py` keeps; pictures are known by their content:

- *Kept apart.* A pair that is "not duplicates" is no match, whatever its score. The pair of a content with itself keeps all files
  of that content.
- *Put back.* A picture that had moved and was put back does not move again unasked, not even for an equal file; nor does the one
  that it had been a duplicate of move for its sake. Such a match is doubtful.
- *Kept apart before.* Nor does a picture that was kept apart from another move unasked for a third: to the person it was worth
  keeping, and scores have been wrong about it. An equal file is no third.
- *Between two.* A picture that matches two which are kept apart may be a copy of either: which, a score cannot tell.

All four hold for every rule and grouping. The last two are there because SSIM is all that a run knows, and a person has said
that it does not tell these pictures apart.
"""

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.reasons import Reason, ReasonCode
from imagetwins.store.memory import Verdict
from imagetwins.text import name_two

UNASKED = (ReasonCode.PUT_BACK, ReasonCode.KEPT_APART_BEFORE, ReasonCode.MATCHES_BOTH)
"""Why a match is for review because of what a person said."""

NOBODY = -1
"""In place of a row of the memory where there is none."""


class Recall:
    """What a store remembers of the pictures of a run.

    Args:
        memory: `schemas.NOT_DUPLICATES`; of two rows about the same pair the later one is told.
        images: `schemas.IMAGES`; row i is the image with the id i.
    """

    def __init__(self, memory: pd.DataFrame, images: pd.DataFrame) -> None:
        self._memory = memory
        digests = pd.Index(pd.unique(pd.concat([memory["digest1"], memory["digest2"]])))
        # A number for each content that is remembered, NOBODY of all other pictures.
        self._contents: NDArray[np.intp] = digests.get_indexer(images["digest"])
        self._partners: dict[int, dict[int, int]] = defaultdict(dict)
        self._put_back: dict[int, int] = {}
        self._put_back_pairs: dict[tuple[int, int], int] = {}
        contents = (digests.get_indexer(memory[name]).tolist() for name in ("digest1", "digest2"))
        for row, (first, second, verdict) in enumerate(zip(*contents, memory["verdict"], strict=True)):
            if verdict == Verdict.NOT_DUPLICATES:
                self._partners[first][second] = self._partners[second][first] = row
            elif verdict == Verdict.PUT_BACK:
                self._put_back[first] = row
                self._put_back_pairs[first, second] = self._put_back_pairs[second, first] = row

    def find_apart(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each pair of images, (n,) each, the row of the memory by which it is kept apart, NOBODY where it is not."""
        found = np.full(len(first), NOBODY, np.int64)
        one, other = self._contents[first], self._contents[second]
        for row in np.flatnonzero((one != NOBODY) & (other != NOBODY)).tolist():
            found[row] = self._partners.get(int(one[row]), {}).get(int(other[row]), NOBODY)
        return found

    def find_doubts(self, earlier: NDArray[np.int64], later: NDArray[np.int64]) -> NDArray[np.object_]:
        """Return for each match the `Reason` not to move its later picture unasked, None where nothing was said about it.

        Args:
            earlier: (n,) int64, the images that would stay.
            later: (n,) int64, those that would move. All matches of each must be among them, in either place.
        """
        doubts = np.full(len(later), None, dtype=object)
        staying, moving = self._contents[earlier], self._contents[later]
        concerned = np.flatnonzero((staying != NOBODY) | (moving != NOBODY)).tolist()
        matched = self._collect_matched(earlier, later, concerned)
        for row in concerned:
            doubts[row] = self._find_doubt(int(staying[row]), int(moving[row]), matched[int(later[row])])
        return doubts

    def _collect_matched(
        self, earlier: NDArray[np.int64], later: NDArray[np.int64], rows: list[int]
    ) -> dict[int, set[int]]:
        """Return the remembered contents that each image matches, by image."""
        matched: dict[int, set[int]] = defaultdict(set)
        for one, other in zip(earlier[rows].tolist(), later[rows].tolist(), strict=True):
            matched[one].add(int(self._contents[other]))
            matched[other].add(int(self._contents[one]))
        return matched

    def _find_doubt(self, staying: int, moving: int, matched: set[int]) -> Reason | None:
        """Return why a picture of the content `moving`, which matches those in `matched`, does not move unasked for `staying`."""
        row = self._put_back.get(moving, self._put_back_pairs.get((staying, moving), NOBODY))
        if row != NOBODY:
            moved, kept = self._names(row)
            return Reason.of(ReasonCode.PUT_BACK, **self._said(row), moved=moved, kept=kept)
        if moving == staying:
            return None
        if partners := self._partners.get(moving):
            row = max(partners.values())
            return self._tell_both(ReasonCode.KEPT_APART_BEFORE, row)
        partners = self._partners.get(staying, {})
        between = [row for content, row in partners.items() if content in matched and content != staying]
        return self._tell_both(ReasonCode.MATCHES_BOTH, max(between)) if between else None

    def tell_apart(self, row: int, other: str, count: int) -> Reason:
        """Return the reason of a picture that is kept apart, by a row of the memory, from `other`, one of `count`."""
        return Reason.of(ReasonCode.KEPT_APART, **self._said(row), other=other, more=count - 1)

    def _said(self, row: int) -> dict[str, Any]:
        names = ("who", "decided", "source", "run_id", "why")
        return {name: self._memory[name].iat[row] for name in names}

    def _tell_both(self, code: ReasonCode, row: int) -> Reason:
        first, second = self._names(row)
        return Reason.of(code, **self._said(row), first=first, second=second)

    def _names(self, row: int) -> tuple[str, str]:
        return name_two(self._memory["path1"].iat[row], self._memory["path2"].iat[row])
