"""Undo a run's moves: each file goes back to where it came from, unless something else is there now."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from imagetwins.moving.execute import (
    JournalState,
    make_transfer,
    mover_of,
    read_stamp,
    reason_of,
    recover_all,
    unmark,
)
from imagetwins.moving.journal import Journal, Transfer, check_journal, find_last, journal_exists, open_journal
from imagetwins.progress import Progress, counted, no_progress
from imagetwins.reasons import Reason, ReasonCode, RefusedError
from imagetwins.storage import FileStamp, Location
from imagetwins.storage.location import from_columns
from imagetwins.store.record import RunStatus
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPANIONS
from imagetwins.store.tables import read_table_if_any

Owners = Mapping[Location, Collection[int]]
"""The pictures that each file belongs to that is none itself, by where it was listed."""

NO_OWNERS: Owners = MappingProxyType({})


@dataclass(frozen=True)
class RestoreOutcome:
    """What became of a restored file: `path` is where it came from, `from_path` where it had been moved to.

    `image` is the picture of the run that it is, or belongs to.
    """

    path: Location
    from_path: Location
    restored: bool
    reason: Reason | None
    image: int
    is_companion: bool


def restore_run(
    run: Run, progress: Progress = no_progress, images: Collection[int] | None = None
) -> list[RestoreOutcome]:
    """Move back files of `run`, see `restore_moves`, and note in its record what became of it.

    Raises:
        StoreError: the journal is in use, damaged, or not the run's own.
    """
    check_journal(run.journal, run.read_record().parameters.layout.places)
    outcomes = restore_moves(run.journal, progress, images, _read_owners(run))
    last = find_last(run.journal)
    with run.editing_record() as record:
        record.counts["restored"] += sum(outcome.restored for outcome in outcomes if not outcome.is_companion)
        if last and all(transfer.direction == "back" for transfer in last.values()):
            record.status = RunStatus.RESTORED
    return outcomes


def _read_owners(run: Run) -> Owners:
    owners: dict[Location, set[int]] = defaultdict(set)
    companions = read_table_if_any(run.companions, COMPANIONS)
    for image, path, path_bytes in companions[["image", "path", "path_bytes"]].itertuples(index=False):
        owners[from_columns(path, path_bytes)].add(int(image))
    return owners


def restore_moves(
    journal: Location,
    progress: Progress = no_progress,
    images: Collection[int] | None = None,
    owners: Owners = NO_OWNERS,
) -> list[RestoreOutcome]:
    """Move back every file that `journal` moved out and that is not back yet, last moved first; may be repeated.

    Nothing is overwritten: a file whose name is taken, or that another file has replaced since, stays, with a reason. What
    belongs to a picture follows it once more: it goes back after it, and stays where it stays.
    Sub-folders of `Duplicates`, or of where else the files were, that this empties are removed, and that folder with them.

    Args:
        journal: of the moves.
        progress: called with the files that were dealt with, of all.
        images: the pictures that go back, and with them all that belongs to them; None for all.
        owners: of what belongs to several pictures, which; it goes back with the first of them that does. What is not named
            here belongs to the picture that the journal names.

    Raises:
        StoreError: the journal is in use or damaged.
    """
    if not journal_exists(journal):
        return []
    with open_journal(journal) as opened:
        recover_all(opened)
        state = JournalState.of(opened)
        away = [transfer for transfer in state.latest.values() if transfer.direction == "out"]
        out = [one for one in away if images is None or not _owners_of(one, owners).isdisjoint(images)]
        outcomes: list[RestoreOutcome] = []
        staying = {one.image: one.target for one in away if not one.is_companion}
        in_order = sorted(out, key=lambda one: (one.is_companion, -one.number))
        for transfer in counted(in_order, progress, len(out)):
            pictures = _owners_of(transfer, owners)
            held = [staying[image] for image in pictures] if pictures <= staying.keys() else []
            outcomes.append(_restore_one(opened, state, transfer, held))
            if outcomes[-1].restored and not transfer.is_companion:
                staying.pop(transfer.image, None)
        for aside in {transfer.route.aside for transfer in opened.transfers}:
            unmark(aside)
        return outcomes


def _owners_of(moved: Transfer, owners: Owners) -> set[int]:
    """Return the pictures that a file belongs to; a picture belongs to itself."""
    return set(owners.get(moved.origin, ())) if moved.is_companion and moved.origin in owners else {moved.image}


def _restore_one(journal: Journal, state: JournalState, moved: Transfer, staying: Sequence[Location]) -> RestoreOutcome:
    """Move one file back. `staying` has where its pictures are, if all that it belongs to are still away."""
    try:
        state.check_recovered(moved.origin)
        _check_picture(moved, staying)
        found = _find_moved(moved)
        if found is None:
            journal.done(_begin_back(journal, moved, moved.arrived))
        else:
            _transfer_back(journal, moved, found)
    except FileExistsError:
        return _refuse(moved, Reason(ReasonCode.NAME_TAKEN))
    except (RefusedError, OSError) as problem:
        return _refuse(moved, reason_of(problem))
    mover_of(moved.source).remove_emptied(moved.target, moved.route.above)
    reason = None if found else Reason(ReasonCode.BACK_ALREADY)
    return RestoreOutcome(
        moved.source, moved.target, restored=True, reason=reason, image=moved.image, is_companion=moved.is_companion
    )


def _check_picture(moved: Transfer, staying: Sequence[Location]) -> None:
    """Refuse what belongs to a picture that stays in `Duplicates`: another one may have its name by now.

    Raises:
        RefusedError: names the picture.
    """
    if moved.is_companion and staying:
        raise RefusedError(Reason.of(ReasonCode.PICTURE_STAYS, picture=staying[0]))


def _refuse(moved: Transfer, reason: Reason) -> RestoreOutcome:
    return RestoreOutcome(
        moved.source,
        moved.target,
        restored=False,
        reason=reason,
        image=moved.image,
        is_companion=moved.is_companion,
    )


def _find_moved(moved: Transfer) -> FileStamp | None:
    """Return what is to be moved back; None if the user has done so already.

    Raises:
        RefusedError: it is not where it was moved to, or it is another file.
    """
    mover = mover_of(moved.source)
    with suppress(FileNotFoundError):
        mover.check_way(moved.target, moved.route.above)
    found, original = read_stamp(moved.target), read_stamp(moved.source)
    if found is None and original and mover.is_same_file(moved.source, original, moved):
        return None
    if found is None:
        raise RefusedError(Reason(ReasonCode.NOT_WHERE_MOVED))
    if not mover.is_same_file(moved.target, found, moved):
        raise RefusedError(Reason(ReasonCode.REPLACED))
    return found


def _transfer_back(journal: Journal, moved: Transfer, found: FileStamp) -> None:
    mover = mover_of(moved.source)
    if mover.is_taken(moved.source):
        raise FileExistsError
    with mover.making_directories(moved.source, moved.route.home):
        make_transfer(journal, _begin_back(journal, moved, found))


def _begin_back(journal: Journal, moved: Transfer, found: FileStamp) -> Transfer:
    # What a person edited goes back as it is; but a copy of it, in a bucket, is recognised by its content.
    digest = moved.digest if mover_of(moved.source).verifies_content else None
    return journal.begin(
        "back",
        moved.image,
        moved.target,
        moved.source,
        found,
        digest,
        is_companion=moved.is_companion,
        route=moved.route,
    )
