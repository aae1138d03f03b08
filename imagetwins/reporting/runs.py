"""Answers about whole runs: the list of all, one run, and what differs between two."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from imagetwins.reporting.links import DanglingLink, find_dangling
from imagetwins.reporting.queries import parts_of_run, query
from imagetwins.storage import Location
from imagetwins.store.record import Ending, RunRecord
from imagetwins.store.runs import Run, list_runs
from imagetwins.store.schemas import DECISIONS, Action
from imagetwins.store.tables import read_table


@dataclass(frozen=True)
class RunAudit:
    """One run: its record (`run.json`), its decisions, split by what happened, and the links that lead nowhere since."""

    record: RunRecord
    table: pd.DataFrame
    review: pd.DataFrame
    unreadable: pd.DataFrame
    dangling_links: list[DanglingLink]


@dataclass(frozen=True)
class RunComparison:
    """Two runs: the parameters that differ, how many files changed in which way, and `table` of those files."""

    run_before: str
    run_after: str
    parameters: dict[str, tuple[Any, Any]]
    counts: dict[str, int]
    table: pd.DataFrame


def audit_runs(store: Location, endings: Mapping[str, Ending] | None = None) -> pd.DataFrame:
    """Return one row for each run of `store`, oldest first: when, folder (the first, and how many more), parameters, what it found and moved, seconds.

    `endings` has what ended waiting runs, by run id, where that is not in their records yet.
    """
    rows = [_summarise(run.read_record().with_ending((endings or {}).get(run.run_id))) for run in list_runs(store)]
    return pd.DataFrame(rows, columns=_SUMMARY)


_COUNTS = (
    "images",
    "pairs",
    "matches",
    "duplicates",
    "moved",
    "not_moved",
    "restored",
    "review",
    "remembered",
    "errors",
)
_SUMMARY = [
    "run_id",
    "created",
    "kind",
    "status",
    "folder",
    "more_folders",
    "threshold",
    "floor",
    "dry_run",
    *_COUNTS,
    "seconds",
]


def _summarise(record: RunRecord) -> dict[str, Any]:
    return {
        "run_id": record.run_id,
        "created": record.created.isoformat(),
        "kind": record.kind.value,
        "status": record.status.value,
        "floor": record.floor,
        **{name: getattr(record.parameters, name) for name in ("folder", "threshold", "dry_run")},
        "more_folders": len(record.parameters.more_folders),
        **{name: record.counts[name] for name in _COUNTS},
        "seconds": sum(record.seconds.values()),
    }


def audit_run(run: Run, ending: Ending | None = None) -> RunAudit:
    """Return a run's record, its duplicates with their kept files and scores, its review list, its unreadable files.

    `ending` is what ended the run while it waited, where that is not in its record yet.
    """
    record = run.read_record().with_ending(ending)
    decisions = read_table(run.decisions, DECISIONS)
    duplicates = decisions[file_states(decisions) == "duplicate"].sort_values(
        ["kept_path", "ssim"], ascending=[True, False]
    )
    return RunAudit(
        record,
        duplicates.reset_index(drop=True),
        decisions[decisions["action"] == Action.REVIEW].reset_index(drop=True),
        decisions[decisions["action"] == Action.UNREADABLE].reset_index(drop=True),
        find_dangling(run),
    )


def file_states(decisions: pd.DataFrame) -> "pd.Series[str]":
    """Return what each file is, whether or not it has been moved: "duplicate", "review", "kept" ..."""
    is_duplicate = decisions["Duplicate"] & (decisions["action"] != Action.REVIEW)
    return decisions["action"].where(~is_duplicate, "duplicate")


def compare_runs(before: Run, after: Run) -> RunComparison:
    """Return how two runs differ: parameters, and the files that are new, gone, changed or decided otherwise."""
    first, second = (run.read_record().parameters.model_dump() for run in (before, after))
    differing = {
        name: (first.get(name), second.get(name))
        for name in (*first, *(name for name in second if name not in first))
        if first.get(name) != second.get(name)
    }
    changes = query(
        _COMPARISON,
        images1=parts_of_run(before.images),
        images2=parts_of_run(after.images),
        decisions1=parts_of_run(before.decisions),
        decisions2=parts_of_run(after.decisions),
    )
    counts = {str(name): int(count) for name, count in changes["change"].value_counts().items()}
    return RunComparison(before.run_id, after.run_id, differing, counts, changes)


_COMPARISON = """
WITH before AS (
    SELECT path, digest, d."NewPath" AS new_path, kept_path, ssim,
        CASE WHEN d."Duplicate" AND action <> 'review' THEN 'duplicate' ELSE action END AS state
    FROM read_parquet($images1) JOIN read_parquet($decisions1) d USING (image)
), after AS (
    SELECT path, digest, kept_path, ssim,
        CASE WHEN d."Duplicate" AND action <> 'review' THEN 'duplicate' ELSE action END AS state
    FROM read_parquet($images2) JOIN read_parquet($decisions2) d USING (image)
), new_names AS (
    SELECT digest, min(path) AS path FROM after WHERE path NOT IN (SELECT path FROM before) GROUP BY digest
), old_names AS (
    SELECT digest, min(path) AS path FROM before WHERE path NOT IN (SELECT path FROM after) GROUP BY digest
)
SELECT
    coalesce(b.path, a.path) AS path,
    CASE
        WHEN a.path IS NULL AND b.new_path <> b.path THEN 'moved by the first run'
        WHEN a.path IS NULL AND n.path IS NOT NULL THEN 'renamed'
        WHEN a.path IS NULL THEN 'gone'
        WHEN b.path IS NULL AND o.path IS NOT NULL THEN 'renamed from'
        WHEN b.path IS NULL THEN 'new'
        WHEN a.digest IS DISTINCT FROM b.digest THEN 'content changed'
        WHEN a.state <> b.state THEN 'decided otherwise'
        ELSE 'another kept file'
    END AS change,
    coalesce(n.path, o.path) AS other_name, b.state AS was, a.state AS becomes,
    b.kept_path AS kept_path_was, a.kept_path AS kept_path, b.ssim AS ssim_was, a.ssim AS ssim
FROM before b FULL JOIN after a ON a.path = b.path
    LEFT JOIN new_names n ON a.path IS NULL AND n.digest = b.digest
    LEFT JOIN old_names o ON b.path IS NULL AND o.digest = a.digest
WHERE a.path IS NULL OR b.path IS NULL OR a.digest IS DISTINCT FROM b.digest
    OR a.state <> b.state OR a.kept_path IS DISTINCT FROM b.kept_path
ORDER BY change, 1
"""
