"""Whether a person is asked before files move, and what the answer does to the decisions. `runtime.approval` does the asking.

The request is about the duplicates that would move, those that `max_move_share` holds back included. Doubtful matches
are not duplicates; they stay where they are whatever the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from imagetwins.config.layout import Layout
from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import set_decisions
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
    """What the person said. `leave_alone` are paths of files that stay: whole, or as they are shown."""

    approve: bool
    leave_alone: Sequence[str] = ()
    comment: str = ""


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
    movable = decisions[_movable(decisions)]
    images = dict(zip(movable["FullPath"], movable["image"].astype(int), strict=True))
    # As they are shown; a whole path means itself.
    images = {layout.shorten(path): image for path, image in images.items()} | images
    found, unknown = [], []
    for given in answer.leave_alone:
        # Copied from the gallery, a long name has marks where its line may break.
        name = given.replace(ZERO_WIDTH_SPACE, "").strip()
        image = images.get(name)
        if image is None:
            unknown.append(given)
        else:
            found.append(image)
    return found, unknown


def apply_answer(decisions: pd.DataFrame, answer: Answer, layout: Layout) -> pd.DataFrame:
    """Return `decisions` as `answer` leaves them: the approved moves have the action "would move", the others "not moved"."""
    movable = _movable(decisions)
    alone = movable & decisions["image"].isin(find_left_alone(decisions, answer, layout)[0])
    rest = movable & ~alone
    left = Reason.of(ReasonCode.LEFT_ALONE, comment=answer.comment)
    refused = Reason.of(ReasonCode.NOT_APPROVED, comment=answer.comment)
    kept = decisions.loc[rest, "kept_path"].str.rpartition("/")[2] if rest.any() else []
    changed = decisions.copy()
    set_decisions(changed, alone, Action.NOT_MOVED, [left] * int(alone.sum()))
    if answer.approve:
        set_decisions(changed, rest, Action.WOULD_MOVE, [Reason.of(ReasonCode.APPROVED, kept=name) for name in kept])
    else:
        set_decisions(changed, rest, Action.NOT_MOVED, [refused] * int(rest.sum()))
    return changed
