"""Stage 6: move the duplicates, and move them back. Never retried: the journal, and not Prefect, knows what is done."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import task

from imagetwins.moving.journal import check_journal
from imagetwins.moving.moves import MoveOutcome, PlannedMove, apply_moves, plan_moves, restore_moves
from imagetwins.storage.location import place_of
from imagetwins.store.runs import Run
from imagetwins.store.tables import DECISIONS, IMAGES, path_columns, read_table, write_table
from tasks import STAGE


@task(name="move-duplicates", **STAGE)
def move_duplicates(run: Run, folder: Path) -> dict[str, int]:
    """Move the files whose action is "would move", and write what became of each into the decisions."""
    decisions = read_table(run.decisions, DECISIONS)
    waiting = decisions.loc[decisions["action"] == "would move", ["image", "kept_image"]]
    duplicates = [(int(image), int(kept)) for image, kept in waiting.itertuples(index=False)]
    moves = plan_moves(folder, read_table(run.images, IMAGES), duplicates)
    outcomes = _apply_until_stopped(moves, run.journal)
    write_table(_apply_outcomes(decisions, outcomes), DECISIONS, run.decisions / "part-0.parquet")
    moved = sum(outcome.moved for outcome in outcomes)
    return {"moved": moved, "not_moved": len(outcomes) - moved}


def _apply_until_stopped(moves: Sequence[PlannedMove], journal: Path) -> list[MoveOutcome]:
    """Move the files in a thread of their own, so that Ctrl-C and Cancel, which end the main one, stop between two."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as mover:
        outcomes = mover.submit(apply_moves, moves, journal, stop=stop.is_set)
        try:
            return outcomes.result()
        except BaseException:
            stop.set()
            raise


def _apply_outcomes(decisions: pd.DataFrame, outcomes: Sequence[MoveOutcome]) -> pd.DataFrame:
    changed = decisions.set_index("image", drop=False)
    for outcome in outcomes:
        changed.at[outcome.image, "NewPath"] = path_columns(outcome.new_path)[0]  # noqa: PD008 - one cell
        changed.at[outcome.image, "action"] = "moved" if outcome.moved else "not moved"  # noqa: PD008
        if not outcome.moved:
            changed.at[outcome.image, "reason"] = outcome.reason  # noqa: PD008
    return changed


@task(name="restore-files", **STAGE)
def restore_files(run: Run) -> dict[str, Any]:
    """Move every file of the run back to where it came from, and note it in the run's record.

    Raises:
        StoreError: the journal is in use, damaged, or not the run's own.
    """
    check_journal(run.journal, place_of(run.read_record()["parameters"]["folder"]))
    outcomes = restore_moves(run.journal)
    restored = sum(outcome.restored for outcome in outcomes)
    left = {path_columns(outcome.path)[0]: outcome.reason for outcome in outcomes if not outcome.restored}
    record = run.read_record()
    counts = record["counts"] | {"restored": record["counts"].get("restored", 0) + restored}
    run.update_record(counts=counts, status="restored" if restored and not left else record["status"])
    return {"restored": restored, "not_restored": left}
