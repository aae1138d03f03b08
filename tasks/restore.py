"""The one stage of an undo: move the files of a run back to where they came from, and remember that a person did so."""

from collections.abc import Collection, Sequence
from typing import Any

import pyarrow.compute as pc
from prefect import task

from imagetwins.config.parameters import Remember
from imagetwins.moving.journal import check_journal, find_last, read_journal
from imagetwins.moving.named import find_images
from imagetwins.moving.restore import restore_run
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.task_options import STAGE
from imagetwins.storage.location import to_columns
from imagetwins.store.memory import Source, Verdict, begin_act
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table


@task(name="restore-files", **STAGE)
def restore_files(run: Run, files: Sequence[str] = (), remember: Remember = "put back") -> dict[str, Any]:
    """Move files of the run, all by default, back to where they came from; note it in the run's record, and remember it.

    What is remembered is written before anything moves: after a kill in between a person is asked about a picture that is in
    `Duplicates` still, and none that was put back moves again. What did not come back is taken out at the end.

    Raises:
        ParameterError: one of `files` is none that the run moved.
        StoreError: the journal is in use, damaged, or not the run's own.
    """
    check_journal(run.journal, run.read_record().parameters.location)
    images = find_images(run, files) if files else None
    pairs = [] if remember == "nothing" else _find_pairs(run, images)
    act = begin_act(run, pairs, Verdict(remember), Source.RESTORE) if pairs else None
    try:
        outcomes = restore_run(run, progress_of("restore", "file"), images)
    finally:
        back = {
            one.image for one in find_last(run.journal).values() if one.direction == "back" and not one.is_companion
        }
        if act:
            act.take_back({image for image, _ in pairs} - back)
    left = {to_columns(outcome.path)[0]: str(outcome.reason) for outcome in outcomes if not outcome.restored}
    return {
        "restored": sum(outcome.restored for outcome in outcomes if not outcome.is_companion),
        "companions": sum(outcome.restored for outcome in outcomes if outcome.is_companion),
        "not_restored": left,
        "remembered": sum(image in back for image, _ in pairs),
        "remembered_as": remember,
    }


def _find_pairs(run: Run, images: Collection[int] | None) -> list[tuple[int, int]]:
    """Return the pictures that the run moved, those among `images` if any are named, each with the one that was kept for it."""
    # An interrupted move is finished, or undone, before all are restored.
    out = [one for one in read_journal(run.journal) if one.direction == "out" and one.state != "void"]
    moved = {one.image for one in out if not one.is_companion}
    wanted = sorted(moved if images is None else moved.intersection(images))
    if not wanted:
        return []
    decided = read_table(run.decisions, DECISIONS, where=pc.field("image").isin(wanted))
    kept = decided[decided["kept_image"].notna()]
    return [(int(image), int(of)) for image, of in kept[["image", "kept_image"]].itertuples(index=False)]
