"""What should have moved in a run and did not: planned, and refused by the disk or by what happened to the file meanwhile.

What a person's answer leaves alone was never to move; nor was what is for review, nor anything in a dry run.
"""

import re
from collections import Counter, defaultdict

import pandas as pd

from imagetwins.reasons import ReasonCode
from imagetwins.store.record import RunRecord
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPANIONS, DECISIONS, Action
from imagetwins.store.tables import read_table, read_table_if_any
from imagetwins.text import as_argument, format_command, format_words, pluralize

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

MAX_REASONS = 3
"""Reasons that a sentence has room for."""

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


def moved_nothing(record: RunRecord) -> bool:
    """Whether a run moved nothing, not even back, although it should have moved something."""
    counts = record.counts
    return counts["not_moved"] > 0 and not (counts["moved"] or counts["put_back"])


def describe_refusals(record: RunRecord) -> str:
    """Return what should have moved in a run and did not, why, and what to do; "" if all of it moved."""
    counts = record.counts
    moved, stayed, behind = counts["moved"] + counts["put_back"], counts["not_moved"], counts["companions_not_moved"]
    told = [_describe_stayed(moved, stayed)] if stayed else []
    if behind:
        belong = "belongs" if behind == 1 else "belong"
        told.append(f"{pluralize(behind, 'file')} that {belong} to moved pictures stayed behind")
    if not told:
        return ""
    why = sorted(record.not_moved_why.items(), key=lambda one: -one[1])
    listed = "; ".join(reason if len(why) == 1 else f"{reason} ({count:,})" for reason, count in why[:MAX_REASONS])
    rest = f"; and {pluralize(len(why) - MAX_REASONS, 'other reason')}" if len(why) > MAX_REASONS else ""
    audit = format_command("audit", record.run_id, record.parameters.store)
    doctor = format_words("imagetwins", "doctor", as_argument(record.parameters.folder))
    return (
        f"{' and '.join(told)}: {listed}{rest}. What did not move is where it was: `{audit}` lists it. `{doctor}` tries whether files can "
        "be moved there; once they can, run again."
    )


def _describe_stayed(moved: int, stayed: int) -> str:
    if moved:
        return (
            f"{stayed:,} of {moved + stayed:,} pictures that should have moved {'has' if stayed == 1 else 'have'} not"
        )
    only = "The only picture" if stayed == 1 else f"None of the {stayed:,} pictures"
    return f"{only} that should have moved has{' not' if stayed == 1 else ''}"
