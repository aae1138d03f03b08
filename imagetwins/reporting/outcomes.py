"""What became of each file that is not simply kept, as a table for Prefect's UI."""

import re
from typing import Any, cast

import pandas as pd

from imagetwins.config.layout import Layout
from imagetwins.reasons import ReasonCode
from imagetwins.reporting.advice import describe_not_read
from imagetwins.store.schemas import Action
from imagetwins.text import ZERO_WIDTH_SPACE, printable

MAX_ROWS = 1000
"""Rows of a table artifact: Prefect's first UI does not survive much longer tables."""

ORDER = [Action.REVIEW, Action.NOT_MOVED, Action.UNREADABLE, Action.MOVED, Action.WOULD_MOVE]
"""What somebody with little time looks at first: what needs a person, what went wrong, what was done."""


def tabulate_outcomes(decisions: pd.DataFrame, layout: Layout) -> list[dict[str, str]]:
    """Return a row for each file of `decisions`, `schemas.DECISIONS`, that is not simply kept, those that need a person first.

    There are at most MAX_ROWS, and none of formats that are never read. Paths are as `layout` shows them.
    """
    rank = {action.value: place for place, action in enumerate(ORDER)}
    shown = decisions[_is_told(decisions)]
    shown = shown.sort_values("action", key=lambda actions: actions.map(rank), kind="stable").head(MAX_ROWS)
    return [_outcome(row, layout) for row in cast("Any", shown.itertuples())]


def describe_outcomes(decisions: pd.DataFrame) -> str:
    """Return what the table holds, whether all of it, and what it leaves out."""
    count = int(_is_told(decisions).sum())
    told = "Every file that is not simply kept, those that need a person first."
    if count > MAX_ROWS:
        told = f"The first {MAX_ROWS:,} of {count:,} files that are not simply kept, those that need a person first; the report has all."
    return f"{told} {describe_not_read(decisions)}".rstrip()


def _is_told(decisions: pd.DataFrame) -> "pd.Series[bool]":
    """Return which files have a row: not those of formats that are never read, of which there may be thousands."""
    return decisions["action"].isin([action.value for action in ORDER]) & (
        decisions["reason_code"] != ReasonCode.FORMAT_NOT_READ
    )


def as_text(text: str) -> str:
    """Return `text` such that no link and no picture comes of it in a cell.

    Prefect's first UI reads cells as Markdown, even a link to `javascript:`, and its second shows them as they are, escapes
    included: so what links are made of is taken apart by a character of no width.
    """
    return re.sub(r"[\]<]", lambda found: found[0] + ZERO_WIDTH_SPACE, printable(text))


def _outcome(row: Any, layout: Layout) -> dict[str, str]:
    path, kept, now = (
        "" if pd.isna(name) else as_text(layout.shorten(name)) for name in (row.FullPath, row.kept_path, row.NewPath)
    )
    return {
        "action": row.action,
        "picture": path,
        "kept": kept,
        "SSIM": "" if pd.isna(row.ssim) else f"{row.ssim:.4f}",
        "why": as_text(row.reason),
        "now at": now if row.action == Action.MOVED else "",
    }
