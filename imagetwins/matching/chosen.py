"""From what a person chose to decisions: which picture goes, as a duplicate of which, and what becomes of all others.

A decision here rests on a person and on no score: those that the run has stored of the pair are told with it. What the person left
undecided stays where it is, and is for review still.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from imagetwins.matching.choices import Choices
from imagetwins.matching.decisions import SCORES
from imagetwins.matching.orientation import invert, read_orientations
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.store.schemas import DECISIONS, Action
from imagetwins.store.tables import as_frame
from imagetwins.text import name_beside


class Aside(NamedTuple):
    """Where the file of an image lies that a run has moved: that run, and the file's path as tables show it."""

    run_id: str
    path: str


def decide_chosen(
    before: pd.DataFrame,
    comparisons: pd.DataFrame,
    choices: Choices,
    asides: Mapping[int, Aside],
    changes: Mapping[int, Reason],
) -> pd.DataFrame:
    """Return the decisions (`schemas.DECISIONS`) that follow from `choices`, before anything moves.

    Args:
        before: the decisions of the run that the choices are about; row i is image i.
        comparisons: its pairs, `schemas.COMPARISONS`, in any order.
        choices: checked, see `choices.check_choices`.
        asides: the images whose files runs have moved, and that lie where these put them.
        changes: the images of which nothing may be done, and why: their files are not what the run compared, or should have been
            put back and were not. None is moved, and for none is another moved.
    """
    decisions = _Decisions(before, asides)
    for image in before.index[before["action"].isin([Action.WOULD_MOVE.value, Action.MOVED.value])]:
        decisions.leave_undecided(int(image))
    for image, other in _iter_apart(choices):
        if before["action"].iat[image] == Action.KEPT or _is_about_another(before, image, other):
            continue
        decisions.stay(image, Reason.of(ReasonCode.CHOSEN_APART, other=decisions.name_beside(image, other)))
    scores = _Scores(comparisons, choices)
    for image, stays in choices.moving.items():
        decisions.stay(stays, Reason.of(ReasonCode.CHOSEN, kept=decisions.name(stays)))
        decisions.go(image, stays, scores.of(image, stays), changes)
    decisions.count_duplicates(dict(_iter_apart(choices)))
    for image in choices.staying:
        if image in changes:
            decisions.refuse(image, changes[image])
    return decisions.to_frame()


def _iter_apart(choices: Choices) -> list[tuple[int, int]]:
    """Return the members of the pairs that are no duplicates, each with the other one, but for those that go for another reason."""
    both = [pair for image, other in choices.apart for pair in ((image, other), (other, image))]
    return [(image, other) for image, other in both if image not in choices.moving]


def _is_about_another(before: pd.DataFrame, image: int, other: int) -> bool:
    """Whether an image is for review because of a third one, about which nothing was said."""
    kept = before["kept_image"].iat[image]
    return bool(before["action"].iat[image] == Action.REVIEW and pd.notna(kept) and kept != other)


class _Decisions:
    """The columns of decisions, while they are made."""

    def __init__(self, before: pd.DataFrame, asides: Mapping[int, Aside]) -> None:
        self._columns: dict[str, list[Any]] = {name: before[name].astype(object).tolist() for name in DECISIONS.names}
        self._columns["NewPath"] = list(self._columns["FullPath"])
        self._asides = asides
        for image, aside in asides.items():
            self._columns["NewPath"][image] = aside.path

    def name(self, image: int) -> str:
        return str(self._columns["FileName"][image])

    def name_beside(self, image: int, other: int) -> str:
        paths = self._columns["FullPath"]
        return name_beside(str(paths[image]), str(paths[other]))

    def leave_undecided(self, image: int) -> None:
        """Leave alone what the run moved, or would have moved."""
        if image in self._asides:
            self._decide(image, Action.NOT_MOVED, Reason.of(ReasonCode.MOVED_BEFORE, run_id=self._asides[image].run_id))
        else:
            reason = Reason.of(ReasonCode.UNDECIDED, before=self._columns["reason"][image])
            self._decide(image, Action.REVIEW, reason)

    def stay(self, image: int, reason: Reason) -> None:
        """Keep an image: it is nobody's duplicate."""
        self._set(image, Duplicate=False, kept_path=None, kept_image=None, orientation=None, **dict.fromkeys(SCORES))
        self._decide(image, Action.KEPT, reason)

    def refuse(self, image: int, reason: Reason) -> None:
        """Say why nothing is done with an image that is to stay, or to be put back."""
        self._decide(image, Action.NOT_MOVED, reason)

    def go(self, image: int, kept: int, scores: Mapping[str, Any], changes: Mapping[int, Reason]) -> None:
        """Make an image the duplicate of `kept`, which goes if nothing is in the way."""
        self._set(image, Duplicate=True, kept_path=self._columns["FullPath"][kept], kept_image=kept, **scores)
        if image in changes:
            self._decide(image, Action.NOT_MOVED, changes[image])
        elif image in self._asides:
            self._decide(image, Action.NOT_MOVED, Reason.of(ReasonCode.MOVED_BEFORE, run_id=self._asides[image].run_id))
        elif kept in changes:
            why = Reason.of(ReasonCode.KEPT_UNUSABLE, kept=self.name(kept), why=changes[kept])
            self._decide(image, Action.NOT_MOVED, why)
        else:
            self._decide(image, Action.WOULD_MOVE, Reason.of(ReasonCode.CHOSEN, kept=self.name(kept)))

    def count_duplicates(self, apart: Mapping[int, int]) -> None:
        """Say of the images that stay how many duplicates they have now; `apart` has one for each that is none of theirs."""
        columns = self._columns
        is_duplicate = zip(columns["kept_image"], columns["Duplicate"], strict=True)
        counts = Counter(int(kept) for kept, counts in is_duplicate if counts and pd.notna(kept))
        for image, code in enumerate(columns["reason_code"]):
            if columns["action"][image] != Action.KEPT:
                continue
            if count := counts[image]:
                self._decide(image, Action.KEPT, Reason.of(ReasonCode.HAS_DUPLICATES, count=count))
            elif code == ReasonCode.HAS_DUPLICATES and image in apart:
                self._decide(
                    image, Action.KEPT, Reason.of(ReasonCode.CHOSEN_APART, other=self.name_beside(image, apart[image]))
                )

    def to_frame(self) -> pd.DataFrame:
        columns = {
            name: [None if value is pd.NA or value != value else value for value in values]  # noqa: PLR0124 - NaN
            for name, values in self._columns.items()
        }
        return as_frame(columns, DECISIONS)

    def _set(self, image: int, **values: Any) -> None:
        for name, value in values.items():
            self._columns[name][image] = value

    def _decide(self, image: int, action: Action, reason: Reason) -> None:
        self._set(image, action=action.value, reason=str(reason), reason_code=reason.code.value)


class _Scores:
    """What a run has stored of the pairs that were chosen."""

    def __init__(self, comparisons: pd.DataFrame, choices: Choices) -> None:
        wanted = {tuple(sorted(pair)) for pair in choices.moving.items()}
        ids = comparisons[["image1", "image2"]].to_numpy(np.int64)
        named = np.isin(ids, [image for pair in wanted for image in pair]).all(axis=1)
        rows = comparisons[named]
        orientations = read_orientations(rows)
        columns = (rows[name].tolist() for name in (*SCORES, "image1", "image2"))
        self._found = {
            (int(first), int(second)): (scores, orientation)
            for *scores, first, second, orientation in zip(*columns, orientations, strict=True)
            if (first, second) in wanted
        }

    def of(self, image: int, kept: int) -> dict[str, Any]:
        """Return the scores of a pair, null where none are stored, and how `image` is turned to match."""
        scores, orientation = self._found.get((min(image, kept), max(image, kept)), ([None] * len(SCORES), None))
        if orientation is not None and image < kept:
            orientation = invert(np.array([orientation]))[0]
        turned = None if orientation is None else int(orientation)
        return dict(zip(SCORES, scores, strict=True)) | {"orientation": turned}
