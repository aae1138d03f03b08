"""The one stage of an undo: move the files of a run back to where they came from."""

from typing import Any

from prefect import task

from imagetwins.matching.choices import Choices
from imagetwins.moving.asides import find_asides
from imagetwins.moving.journal import check_journal
from imagetwins.moving.restore import restore_moves
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.task_options import STAGE
from imagetwins.storage.location import to_columns
from imagetwins.store.record import RunStatus
from imagetwins.store.runs import Run
from imagetwins.store.schemas import IMAGES
from imagetwins.store.tables import read_table


@task(name="restore-files", **STAGE)
def restore_files(run: Run) -> dict[str, Any]:
    """Move every file of the run back to where it came from, and note it in the run's record.

    Raises:
        StoreError: the journal is in use, damaged, or not the run's own.
    """
    check_journal(run.journal, run.read_record().parameters.location)
    outcomes = restore_moves(run.journal, progress_of("restore", "file"))
    restored = sum(outcome.restored for outcome in outcomes if not outcome.is_companion)
    companions = sum(outcome.restored for outcome in outcomes if outcome.is_companion)
    left = {to_columns(outcome.path)[0]: str(outcome.reason) for outcome in outcomes if not outcome.restored}
    with run.editing_record() as record:
        record.counts["restored"] += restored
        if outcomes and not left:
            record.status = RunStatus.RESTORED
    return {"restored": restored, "companions": companions, "not_restored": left}


@task(name="put-back", **STAGE)
def put_back_chosen(run: Run, choices: Choices) -> tuple[dict[str, int], dict[int, str]]:
    """Move back what a person chose to stay, from wherever runs have put it.

    Args:
        run: the run that the choices are about.
        choices: checked.

    Returns:
        How many pictures, and how many files that belong to them, are back; and the images that are not, each with the reason.

    Raises:
        StoreError: a journal is in use, damaged, or not the run's own.
    """
    asides = find_asides(run.store, read_table(run.images, IMAGES), choices.staying)
    counts = {"put_back": 0, "companions_back": 0}
    not_back: dict[int, str] = {}
    for holder in dict.fromkeys(aside.holder for aside in asides.values()):
        own = {aside.home: image for image, aside in asides.items() if aside.holder == holder}
        theirs = [asides[image].image for image in own.values()]
        check_journal(holder.journal, holder.read_record().parameters.location)
        outcomes = restore_moves(holder.journal, progress_of("restore", "file"), theirs)
        pictures = [outcome for outcome in outcomes if not outcome.is_companion]
        restored = sum(outcome.restored for outcome in pictures)
        counts["put_back"] += restored
        counts["companions_back"] += sum(outcome.restored for outcome in outcomes) - restored
        not_back |= {own[outcome.path]: str(outcome.reason) for outcome in pictures if not outcome.restored}
        with holder.editing_record() as record:
            record.counts["restored"] += restored
    return counts, not_back
