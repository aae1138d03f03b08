"""What became of each file that is not simply kept, as a table for Prefect's UI."""

from typing import Any, cast

import pandas as pd

from imagetwins.config.layout import Layout
from imagetwins.store.schemas import Action
from imagetwins.text import printable

MAX_ROWS = 1000
"""Rows of a table artifact: Prefect's first UI does not survive much longer tables."""

ORDER = [Action.REVIEW, Action.NOT_MOVED, Action.UNREADABLE, Action.MOVED, Action.WOULD_MOVE]
"""What somebody with little time looks at first: what needs a person, what went wrong, what was done."""


def tabulate_outcomes(decisions: pd.DataFrame, layout: Layout) -> list[dict[str, str]]:
    """Return a row for each file of `decisions`, `schemas.DECISIONS`, that is not simply kept, those that need a person first.

    There are at most MAX_ROWS. Paths are as `layout` shows them. The UI shows text as it is: nothing in it is markup.
    """
    rank = decisions["action"].map({action.value: place for place, action in enumerate(ORDER)})
    shown = decisions[rank.notna()].assign(rank=rank).sort_values("rank", kind="stable").head(MAX_ROWS)
    return [_outcome(row, layout) for row in cast("Any", shown.itertuples())]


def describe_outcomes(decisions: pd.DataFrame) -> str:
    """Return what the table holds, and whether all of it."""
    count = int((decisions["action"] != Action.KEPT).sum())
    if count <= MAX_ROWS:
        return "Every file that is not simply kept, those that need a person first."
    return f"The first {MAX_ROWS:,} of {count:,} files that are not simply kept, those that need a person first; the report has all."


def _outcome(row: Any, layout: Layout) -> dict[str, str]:
    path, kept, now = (
        "" if pd.isna(name) else printable(layout.shorten(name)) for name in (row.FullPath, row.kept_path, row.NewPath)
    )
    return {
        "action": row.action,
        "picture": path,
        "kept": kept,
        "SSIM": "" if pd.isna(row.ssim) else f"{row.ssim:.4f}",
        "why": printable(row.reason),
        "now at": now if row.action == Action.MOVED else "",
    }
