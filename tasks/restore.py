"""The one stage of an undo: move the files of a run back to where they came from."""

from typing import Any

from prefect import task

from imagetwins.moving.journal import check_journal
from imagetwins.moving.restore import restore_moves
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.task_options import STAGE
from imagetwins.storage.location import to_columns
from imagetwins.store.record import RunStatus
from imagetwins.store.runs import Run


@task(name="restore-files", **STAGE)
def restore_files(run: Run) -> dict[str, Any]:
    """Move every file of the run back to where it came from, and note it in the run's record.

    Raises:
        StoreError: the journal is in use, damaged, or not the run's own.
    """
    check_journal(run.journal, run.read_record().parameters.layout.places)
    outcomes = restore_moves(run.journal, progress_of("restore", "file"))
    restored = sum(outcome.restored for outcome in outcomes if not outcome.is_companion)
    companions = sum(outcome.restored for outcome in outcomes if outcome.is_companion)
    left = {to_columns(outcome.path)[0]: str(outcome.reason) for outcome in outcomes if not outcome.restored}
    with run.editing_record() as record:
        record.counts["restored"] += restored
        if outcomes and not left:
            record.status = RunStatus.RESTORED
    return {"restored": restored, "companions": companions, "not_restored": left}
