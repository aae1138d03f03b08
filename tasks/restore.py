"""The one stage of an undo: move the files of a run back to where they came from, and remember that a person did so."""

from collections.abc import Collection, Sequence
from typing import Any

import pyarrow.compute as pc
from prefect import task

from imagetwins.config.parameters import Remember
from imagetwins.matching.choices import Choices
from imagetwins.moving.asides import find_asides
from imagetwins.moving.journal import check_journal, find_last, read_journal
from imagetwins.moving.named import find_images
from imagetwins.moving.restore import restore_run
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.task_options import STAGE
from imagetwins.storage.location import to_columns
from imagetwins.store.memory import Source, Verdict, begin_act
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS, IMAGES
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
    check_journal(run.journal, run.read_record().parameters.layout.places)
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
        outcomes = restore_run(holder, progress_of("restore", "file"), theirs)
        pictures = [outcome for outcome in outcomes if not outcome.is_companion]
        restored = sum(outcome.restored for outcome in pictures)
        counts["put_back"] += restored
        counts["companions_back"] += sum(outcome.restored for outcome in outcomes) - restored
        not_back |= {own[outcome.path]: str(outcome.reason) for outcome in pictures if not outcome.restored}
    return counts, not_back
