"""Removing the scores and reports of old runs; what an undo needs, and what was decided, stays."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from imagetwins.storage import Location, storage_of
from imagetwins.store.runs import Run, list_runs


@dataclass(frozen=True)
class Pruned:
    """`table` has one row for each pruned run: run_id, created, freed_bytes."""

    freed_bytes: int
    table: pd.DataFrame


def plan_pruning(store: Location, before: datetime) -> pd.DataFrame:
    """Return the runs that ended and were created before `before` (aware), and the bytes that pruning them frees."""
    rows = []
    for run in list_runs(store):
        record = run.read_record()
        if record.status.is_unfinished or record.created >= before:
            continue
        freed = sum(storage_of(location).size_bytes(location) for location in _prunable(run))
        if freed:
            rows.append({"run_id": run.run_id, "created": record.created.isoformat(), "freed_bytes": freed})
    return pd.DataFrame(rows, columns=["run_id", "created", "freed_bytes"])


def prune_runs(store: Location, before: datetime) -> Pruned:
    """Remove comparisons, report and workspace of the runs that `plan_pruning` names.

    What `restore` needs (journal, record, decisions) stays, and so does the images table: the history of a file by its
    content goes on working.
    """
    planned = plan_pruning(store, before)
    for run_id in planned["run_id"]:
        for location in _prunable(Run(store, run_id)):
            storage_of(location).remove_tree(location)
    return Pruned(int(planned["freed_bytes"].sum()), planned)


def _prunable(run: Run) -> tuple[Location, ...]:
    return run.comparisons, run.report, run.workspace
