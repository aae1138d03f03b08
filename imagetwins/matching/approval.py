"""Whether a person is asked before files move, and what the answer does to the decisions. Pure: who asks is elsewhere.

A question is about the duplicates that would move, those that `max_move_share` holds back included. Doubtful matches
are not duplicates; they stay where they are whatever the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from imagetwins.config.parameters import Parameters
from imagetwins.reporting.gallery import ZERO_WIDTH_SPACE


@dataclass(frozen=True)
class Question:
    """What a person is asked: how many files would move, and how many matches are doubtful."""

    moves: int
    doubtful: int


@dataclass(frozen=True)
class Answer:
    """What the person said. `leave_alone` are paths of files that stay: whole, or without the folder."""

    approve: bool
    leave_alone: Sequence[str] = ()
    comment: str = ""


def plan_question(decisions: pd.DataFrame, parameters: Parameters) -> Question | None:
    """Return what to ask before `decisions` (`tables.DECISIONS`) are carried out; None if nobody need be asked."""
    question = Question(int(_movable(decisions).sum()), int(_doubtful(decisions).sum()))
    held_back = bool((_movable(decisions) & (decisions["action"] == "review")).any())
    asked = {
        "never": False,
        "review": held_back or question.doubtful > 0,
        "always": True,
    }[parameters.approval]
    above = parameters.approve_above is not None and question.moves > parameters.approve_above
    return question if question.moves and (asked or above) else None


def _movable(decisions: pd.DataFrame) -> "pd.Series[bool]":
    return decisions["Duplicate"] & decisions["action"].isin(["would move", "review"])


def _doubtful(decisions: pd.DataFrame) -> "pd.Series[bool]":
    return ~decisions["Duplicate"] & (decisions["action"] == "review")


def find_left_alone(decisions: pd.DataFrame, answer: Answer, folder: str) -> tuple[list[int], list[str]]:
    """Return the images that `answer` leaves alone, and the names in it that are none of the files to move."""
    movable = decisions[_movable(decisions)]
    paths = dict(zip(movable["FullPath"], movable["image"].astype(int), strict=True))
    found, unknown = [], []
    for given in answer.leave_alone:
        # Copied from the gallery, a long name has marks where its line may break.
        name = given.replace(ZERO_WIDTH_SPACE, "").strip()
        image = paths.get(name, paths.get(f"{folder.rstrip('/')}/{name}"))
        if image is None:
            unknown.append(given)
        else:
            found.append(image)
    return found, unknown


def apply_answer(decisions: pd.DataFrame, answer: Answer, folder: str) -> pd.DataFrame:
    """Return `decisions` as `answer` leaves them: the approved moves have the action "would move", the others not."""
    movable = _movable(decisions)
    alone = decisions["image"].isin(find_left_alone(decisions, answer, folder)[0])
    said = f": {answer.comment}" if answer.comment else ""
    changed = decisions.copy()
    changed.loc[movable & alone, ["action", "reason"]] = ["not moved", f"left alone by the person asked{said}"]
    if answer.approve:
        approved = movable & ~alone
        changed.loc[approved, "action"] = "would move"
        changed.loc[approved, "reason"] = [_reason(path) for path in decisions.loc[approved, "kept_path"]]
    else:
        changed.loc[movable & ~alone, ["action", "reason"]] = ["not moved", f"not approved{said}"]
    return changed


def _reason(kept: Any) -> str:
    return f"matches {str(kept).rpartition('/')[2]}, which is kept before it; approved"
