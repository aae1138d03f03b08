"""What should have moved in a run and did not: planned, and refused by the disk or by what happened to the file meanwhile.

What a person's answer leaves alone was never to move; nor was what is for review, nor anything in a dry run.
"""

import re
from collections import Counter, defaultdict

import pandas as pd

from imagetwins.reasons import ReasonCode
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPANIONS, DECISIONS, Action
from imagetwins.store.tables import read_table, read_table_if_any

LEFT_BY_PERSONS = [
    code.value
    for code in (
        ReasonCode.LEFT_ALONE,
        ReasonCode.NOT_APPROVED,
        ReasonCode.MOVED_BEFORE,
        ReasonCode.RESTORED_BEFORE,
        ReasonCode.RESTORED,
    )
]
"""Reasons for which a duplicate stays, or lies elsewhere, as a person wants it."""

_NAME = re.compile(r": (?=/|\w+://)")


def find_refused(decisions: pd.DataFrame) -> "pd.Series[bool]":
    """Return which rows of `schemas.DECISIONS` are of duplicates that should have moved and did not.

    Files that a past run's scores no longer hold for are no duplicates any more, unless a person chose them.
    """
    stayed = decisions["Duplicate"] & (decisions["action"] == Action.NOT_MOVED)
    return stayed & ~decisions["reason_code"].isin(LEFT_BY_PERSONS)


def count_refusals(run: Run) -> dict[str, int]:
    """Return why files of `run` did not move that should have, and of how many each reason holds; the most frequent first.

    The name at the end of a reason is left out where it is not the same for all: so one reason counts once.
    """
    decisions = read_table(run.decisions, DECISIONS)
    companions = read_table_if_any(run.companions, COMPANIONS)
    behind = companions[companions["reason"].notna()].drop_duplicates("path")
    reasons = [*decisions.loc[find_refused(decisions), "reason"], *behind["reason"]]
    kinds: dict[str, set[str]] = defaultdict(set)
    for reason in reasons:
        kinds[_without_name(reason)].add(reason)
    words = {kind: min(said) if len(said) == 1 else kind for kind, said in kinds.items()}
    return dict(Counter(words[_without_name(reason)] for reason in reasons).most_common())


def _without_name(reason: str) -> str:
    return _NAME.split(reason)[0]
