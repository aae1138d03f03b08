"""Whether a person is asked before files move, and what the answer does to the decisions. `runtime.approval` does the asking.

The request is about the duplicates that would move, those that `max_move_share` holds back included. Doubtful matches
are not duplicates; they stay where they are whatever the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from imagetwins.config.layout import Layout
from imagetwins.config.parameters import Parameters
from imagetwins.matching.choices import Choices
from imagetwins.matching.decisions import keep_apart, set_decisions
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.store.schemas import Action
from imagetwins.text import ZERO_WIDTH_SPACE


@dataclass(frozen=True)
class ApprovalRequest:
    """What a person is asked to approve: how many files would move, and how many matches are doubtful."""

    moves: int
    doubtful: int


@dataclass(frozen=True)
class Answer:
    """What the person said.

    Attributes:
        approve: whether anything moves.
        leave_alone: paths of files that stay: whole, or as they are shown.
        comment: kept with the run.
        not_duplicates: likewise files that are no duplicates of what they match: they stay, and it is to be remembered.
        choices: checked. What moves instead of what the run would move, if there are any; then no file is named besides.
    """

    approve: bool
    leave_alone: Sequence[str] = ()
    comment: str = ""
    not_duplicates: Sequence[str] = ()
    choices: Choices | None = None


def plan_approval(decisions: pd.DataFrame, parameters: Parameters) -> ApprovalRequest | None:
    """Return what to ask before `decisions` (`schemas.DECISIONS`) are carried out; None if nobody need be asked."""
    movable, doubtful = _movable(decisions), _doubtful(decisions)
    request = ApprovalRequest(int(movable.sum()), int(doubtful.sum()))
    held_back = bool((movable & (decisions["action"] == Action.REVIEW)).any())
    by_policy = {"never": False, "review": held_back or request.doubtful > 0, "always": True}[parameters.approval]
    above = parameters.approve_above is not None and request.moves > parameters.approve_above
    return request if request.moves and (by_policy or above) else None


def _movable(decisions: pd.DataFrame) -> "pd.Series[bool]":
    return decisions["Duplicate"] & decisions["action"].isin([Action.WOULD_MOVE.value, Action.REVIEW.value])


def _doubtful(decisions: pd.DataFrame) -> "pd.Series[bool]":
    return ~decisions["Duplicate"] & (decisions["action"] == Action.REVIEW)


def find_left_alone(decisions: pd.DataFrame, answer: Answer, layout: Layout) -> tuple[list[int], list[str]]:
    """Return the images that `answer` leaves alone, and the names in it that are none of the files to move."""
    return _find_named(decisions[_movable(decisions)], answer.leave_alone, layout)


def find_apart(decisions: pd.DataFrame, answer: Answer, layout: Layout) -> tuple[list[tuple[int, int]], list[str]]:
    """Return the pairs that `answer` calls no duplicates, (image, kept), and the names in it that match nothing."""
    if answer.choices:
        return answer.choices.apart, []
    found, unknown = _find_named(decisions[_movable(decisions) | _doubtful(decisions)], answer.not_duplicates, layout)
    kept = decisions.set_index("image")["kept_image"]
    return [(image, int(kept[image])) for image in found], unknown


def _find_named(rows: pd.DataFrame, names: Sequence[str], layout: Layout) -> tuple[list[int], list[str]]:
    """Return the images of the files that `names` mean, and the names that mean none of `rows`."""
    images = dict(zip(rows["FullPath"], rows["image"].astype(int), strict=True))
    # As they are shown; a whole path means itself.
    images = {layout.shorten(path): image for path, image in images.items()} | images
    found, unknown = [], []
    for given in names:
        # Copied from the gallery, a long name has marks where its line may break.
        name = given.replace(ZERO_WIDTH_SPACE, "").strip()
        image = images.get(name)
        if image is None:
            unknown.append(given)
        else:
            found.append(image)
    return found, unknown


def apply_answer(decisions: pd.DataFrame, answer: Answer, layout: Layout) -> pd.DataFrame:
    """Return `decisions` as `answer` leaves them: the approved moves have the action "would move", the others "not moved".

    An answer that brings choices is not for this function: `chosen.decide_chosen` carries those out.
    """
    changed = decisions.copy()
    for image, kept in find_apart(decisions, answer, layout)[0]:
        keep_apart(changed, image, kept)
    movable = _movable(changed)
    alone = movable & decisions["image"].isin(find_left_alone(decisions, answer, layout)[0])
    rest = movable & ~alone
    left = Reason.of(ReasonCode.LEFT_ALONE, comment=answer.comment)
    refused = Reason.of(ReasonCode.NOT_APPROVED, comment=answer.comment)
    kept = decisions.loc[rest, "kept_path"].str.rpartition("/")[2] if rest.any() else []
    set_decisions(changed, alone, Action.NOT_MOVED, [left] * int(alone.sum()))
    if answer.approve:
        set_decisions(changed, rest, Action.WOULD_MOVE, [Reason.of(ReasonCode.APPROVED, kept=name) for name in kept])
    else:
        set_decisions(changed, rest, Action.NOT_MOVED, [refused] * int(rest.sum()))
    return changed
